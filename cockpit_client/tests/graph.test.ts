import { describe, expect, it } from "vitest";
import { curve } from "../src/logic/curve";
import { eventsOf } from "../src/logic/event_choice";
import { bridged } from "../src/logic/gaps";
import { aroundHeads, HEAD } from "../src/logic/headroom";
import { type Box, place } from "../src/logic/layout";
import { sameShape } from "../src/logic/shape";
import { possibleDestinations } from "../src/logic/link_choice";
import { byImportance, pipeFor } from "../src/logic/pipe_choice";
import { routine, structure, summary } from "./samples";

const apart = (one: Box, other: Box) =>
  one.x + one.width <= other.x || other.x + other.width <= one.x || one.y + one.height <= other.y || other.y + other.height <= one.y;

function everythingApart(boxes: Box[]): boolean {
  return boxes.every((one, index) => boxes.slice(index + 1).every((other) => apart(one, other)));
}

describe("the layout", () => {
  it("goes from left to right and keeps all apart", () => {
    const made = place(structure([routine("a", "f"), routine("b", "g"), routine("c", "g"), routine("d", "h")], [["a", "b"], ["b", "c"], ["b", "d"], ["c", "d"]]));
    expect((made.routines.get("a")?.x ?? 0) < (made.routines.get("b")?.x ?? 0)).toBe(true);
    expect(everythingApart([...made.flows.values()])).toBe(true);
    expect(everythingApart([...made.routines.values()])).toBe(true);
  });

  it("keeps flows apart that send to each other to and fro", () => {
    const made = place(structure([routine("a", "f"), routine("b", "g"), routine("c", "f"), routine("d", "g")], [["a", "b"], ["b", "c"], ["c", "d"], ["d", "a"]]));
    expect(everythingApart([...made.flows.values()])).toBe(true);
  });

  it("keeps wires out of the heads of flows", () => {
    const made = place(structure(
      [routine("camera", "input"), routine("brighten", "work"), routine("detect", "work"), routine("report", "output"), routine("archive", "output")],
      [["camera", "brighten"], ["brighten", "detect"], ["brighten", "archive"], ["detect", "report"]],
    ));
    expect(everythingApart([...made.flows.values()])).toBe(true);
    expect(made.wires.size).toBe(4);
    for (const { bends, label } of made.wires.values())
      for (const { x, y } of [...bends, label])
        for (const box of made.flows.values()) expect(x >= box.x && x <= box.x + box.width && y >= box.y - 6 && y <= box.y + HEAD).toBe(false);
  });

  it("leads a wire around the head of a flow between its ends", () => {
    const between = new Map([["between", { x: 100, y: 200, width: 300, height: 180 }]]);
    const way = aroundHeads({ key: "", flows: ["from", "to"], bends: [{ x: 50, y: 210 }, { x: 150, y: 210 }], label: { x: 250, y: 190 } }, between);
    expect(way).toEqual({ bends: [{ x: 50, y: 210 }, { x: 150, y: 182 }], label: { x: 250, y: 182 } });
  });

  it("places a hundred routines, and wires that lead back to themselves or nowhere", () => {
    const many = Array.from({ length: 100 }, (_, index) => routine(`r${index}`, `f${index % 10}`));
    const wires = many.slice(1).map((one, index): [string, string] => [`r${Math.floor(index / 3)}`, one.name]);
    const made = place(structure(many, [...wires, ["r1", "r1"], ["r1", "ghost"]]));
    expect(made.routines.size).toBe(100);
    expect(everythingApart([...made.flows.values()])).toBe(true);
    expect(everythingApart([...made.routines.values()])).toBe(true);
  });

  it("stays while only values change, and changes with the wires", () => {
    const before = structure([routine("a", "f"), routine("b", "f")], [["a", "b"]]);
    expect(sameShape(before, { ...before, version: 2, routines: before.routines.map((one) => ({ ...one, log_level: "DEBUG" })) })).toBe(true);
    expect(sameShape(before, { ...before, wires: [] })).toBe(false);
    expect(sameShape(before, null)).toBe(false);
  });

  it("draws wires through their bends", () => {
    expect(curve([{ x: 0, y: 0 }, { x: 10, y: 20 }])).toBe("M0,0 C5,0 5,20 10,20");
    expect(curve([])).toBe("");
  });
});

describe("choices", () => {
  it("offers only destinations that take data and are not linked yet", () => {
    const made = structure([routine("s", "f", { kind: "source" }), routine("m", "f"), routine("d", "f", { kind: "destination" })], [["s", "m"]]);
    expect(possibleDestinations(made, "s")).toEqual(["d"]);
  });

  it("joins what several handlers of an event take", () => {
    const event = (argument: string) => ({ name: "E", help: "", arguments: [{ name: argument, type: null, required: false, default: null }] });
    const made = structure([routine("a", "f", { events: [event("x")] }), routine("b", "g", { events: [event("y")] })], []);
    expect(eventsOf(made, {})[0]?.arguments.map((one) => one.name)).toEqual(["x", "y"]);
    expect(eventsOf(made, { flow: "g" })[0]?.arguments.map((one) => one.name)).toEqual(["y"]);
  });

  it("takes a name in a link for the newest pipe of that name that is there", () => {
    const pipes = [summary({ id: "1", started: 5, connected: false }), summary({ id: "2", started: 3 }), summary({ id: "3", started: 4, name: "q" })];
    expect([pipeFor(pipes, "p")?.id, pipeFor(pipes, "1")?.id, pipeFor(pipes, "none"), pipeFor(pipes, null)]).toEqual(["2", "1", null, null]);
  });

  it("puts pipes in trouble first and those that are gone last", () => {
    const pipes = [summary({ id: "gone", connected: false }), summary({ id: "well" }), summary({ id: "ill", ok: false })];
    expect(byImportance(pipes).map((pipe) => pipe.id)).toEqual(["ill", "well", "gone"]);
  });
});

describe("gaps in charts", () => {
  it("are bridged only if they are one value wide", () => {
    expect(bridged([1, null, 3, null, null, 4, null])).toEqual([1, 2, 3, null, null, 4, null]);
  });
});
