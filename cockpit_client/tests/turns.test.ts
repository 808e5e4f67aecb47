import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { inTurn } from "../src/live/turns";

describe("work in turns", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("is done one piece after the other, with room between them", () => {
    const done: string[] = [];
    for (const name of ["a", "b", "c"]) inTurn(() => done.push(name));
    expect(done).toEqual([]);
    vi.advanceTimersToNextTimer();
    expect(done).toEqual(["a"]);
    vi.advanceTimersToNextTimer();
    expect(done).toEqual(["a", "b"]);
    vi.runAllTimers();
    expect(done).toEqual(["a", "b", "c"]);
  });

  it("is not done when it was taken back, and others are all the same", () => {
    const done: string[] = [];
    const back = inTurn(() => done.push("a"));
    inTurn(() => done.push("b"));
    back();
    vi.runAllTimers();
    expect(done).toEqual(["b"]);
    inTurn(() => done.push("c"));
    vi.runAllTimers();
    expect(done).toEqual(["b", "c"]);
  });

  it("goes on after a piece that failed", () => {
    const done: string[] = [];
    inTurn(() => {
      throw new Error("no canvas");
    });
    inTurn(() => done.push("b"));
    expect(() => vi.runAllTimers()).toThrow("no canvas");
    vi.runAllTimers();
    expect(done).toEqual(["b"]);
  });
});
