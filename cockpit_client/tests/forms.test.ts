import { describe, expect, it } from "vitest";
import { type Control, controlFor } from "../src/logic/argument_hint";
import { readArguments } from "../src/logic/event_arguments";
import { limitProblem, readValue, sliderStep, writeValue } from "../src/logic/form_value";

describe("the control for a type hint", () => {
  it.each<[string | null, Control]>([
    ["int", { kind: "number", whole: true }],
    ["float", { kind: "number", whole: false }],
    ["int | float", { kind: "number", whole: false }],
    ["bool", { kind: "bool" }],
    ["str", { kind: "text" }],
    ["str | None", { kind: "text" }],
    ["Optional[int]", { kind: "number", whole: true }],
    ["typing.Union[bool, None]", { kind: "bool" }],
    ["Literal['a', \"b,c\", 3, True]", { kind: "choice", choices: ["a", "b,c", 3, true] }],
    ["list[int]", { kind: "json" }],
    ["dict[str, int | None] | None", { kind: "json" }],
    ["int | str", { kind: "json" }],
    [null, { kind: "json" }],
  ])("%s", (hint, control) => {
    expect(controlFor(hint)).toEqual(control);
  });
});

describe("a value that was typed", () => {
  it("is read as its type", () => {
    expect(readValue({ kind: "number", whole: true }, "3")).toEqual({ value: 3 });
    expect(readValue({ kind: "number", whole: true }, "3.5")).toHaveProperty("problem");
    expect(readValue({ kind: "number", whole: false }, "")).toHaveProperty("problem");
    expect(readValue({ kind: "json" }, "[1, 2]")).toEqual({ value: [1, 2] });
    expect(readValue({ kind: "json" }, "word")).toEqual({ value: "word" });
    expect(readValue({ kind: "json" }, "[1, 2")).toHaveProperty("problem");
    expect(readValue({ kind: "text" }, "")).toEqual({ value: "" });
  });

  it("is written so that it is read again as the same", () => {
    const choice: Control = { kind: "choice", choices: ["1", 1, true] };
    for (const value of ["1", 1, true]) expect(readValue(choice, writeValue(choice, value))).toEqual({ value });
  });

  it("keeps to limits", () => {
    expect([limitProblem(1, 2, null), limitProblem(3, null, 2), limitProblem(2, 2, 2)]).toEqual(["at least 2", "at most 2", null]);
    expect([sliderStep(0, 4, false), sliderStep(1, 60, true), sliderStep(0, 100_000, true)]).toEqual([0.01, 1, 1000]);
  });
});

describe("the arguments of an event", () => {
  const known = [
    { name: "text", type: "str", required: true, default: null },
    { name: "times", type: "int", required: false, default: 1 },
    { name: "sure", type: "bool", required: true, default: null },
  ];

  it("leaves out what has a default and was not touched", () => {
    expect(readArguments(known, { text: "x" }, false)).toEqual({ params: { text: "x", sure: false }, problems: {} });
  });

  it("says of each field what is wrong with it", () => {
    expect(readArguments(known, { text: "x", times: "many" }, false).problems).toEqual({ times: "a number is needed" });
  });

  it("takes an object for a handler that is not known", () => {
    expect(readArguments([], { arguments: '{"a": 1}' }, true).params).toEqual({ a: 1 });
    expect(readArguments([], { arguments: "3" }, true).problems).toHaveProperty("arguments");
    expect(readArguments([], {}, true)).toEqual({ params: {}, problems: {} });
  });
});
