import { describe, expect, it } from "vitest";
import { bytesOf, MOST_POINTS, NO_RESULTS, short, withSketches } from "../src/logic/results";
import type { ShownValue } from "../src/protocol/records";

const value = (name: string, more: Partial<ShownValue> = {}): ShownValue => ({
  routine: "reduce", name, kind: "number", time: 1, text: "1", shape: [], at: [], values: [], least: null, greatest: null, png: "", ...more,
});
const answer = (last: number, ...values: ShownValue[]) => ({ values, last, more: false });

describe("results", () => {
  it("grow where they are numbers, without points that come twice", () => {
    const first = withSketches(NO_RESULTS, answer(20, value("mean", { at: [1, 2], values: [5, null] })));
    const second = withSketches(first, answer(30, value("mean", { at: [2, 3], values: [9, 7], text: "7" })));
    expect(second.values[0]).toMatchObject({ at: [1, 2, 3], values: [5, null, 7], text: "7" });
    expect(second.after).toBe(30);
  });

  it("are replaced where they are arrays, or have become something else", () => {
    const first = withSketches(NO_RESULTS, answer(1, value("a", { kind: "curve", at: [0, 1], values: [1, 2] }), value("b", { at: [1], values: [1] })));
    const second = withSketches(first, answer(2, value("a", { kind: "curve", at: [0], values: [9] }), value("b", { kind: "text", text: "off" })));
    expect(second.values.map((one) => [one.kind, one.values])).toEqual([["curve", [9]], ["text", []]]);
  });

  it("stand in the order of their names, each replica by itself, and stay the same where nothing is new", () => {
    const first = withSketches(NO_RESULTS, answer(1, value("b"), value("a", { routine: "work#2" }), value("a", { routine: "work#1" })));
    expect(first.values.map((one) => `${one.name} ${one.routine}`)).toEqual(["a work#1", "a work#2", "b reduce"]);
    const numbered = withSketches(NO_RESULTS, answer(1, value("n10"), value("n9")));
    expect(numbered.values.map((one) => one.name)).toEqual(["n9", "n10"]);
    const second = withSketches(first, answer(2, value("b", { text: "2" })));
    expect(second.values[0]).toBe(first.values[0]);
    expect(withSketches(second, answer(2))).toBe(second);
  });

  it("keep no more than an hour of points", () => {
    let results = NO_RESULTS;
    for (let at = 0; at < MOST_POINTS + 50; at += 50) {
      const points = Array.from({ length: 50 }, (_, index) => at + index);
      results = withSketches(results, answer(at, value("n", { at: points, values: points })));
    }
    expect(results.values[0]?.at.length).toBe(MOST_POINTS);
    expect(results.values[0]?.at.at(-1)).toBe(MOST_POINTS + 49);
  });

  it("have numbers that fit beside an axis, and pictures in base64 of either kind", () => {
    expect([short(null), short(0), short(0.1 + 0.2), short(12345.678), short(1e-5), short(-2.5e7)]).toEqual(["–", "0", "0.3", "12350", "1.00e-5", "-2.50e7"]);
    expect([...bytesOf("-_8=")]).toEqual([251, 255]);
    expect(bytesOf("<no>").length).toBe(0);
  });
});
