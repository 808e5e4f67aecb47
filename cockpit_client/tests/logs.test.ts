import { describe, expect, it, vi } from "vitest";
import { stack } from "../src/logic/histogram_stack";
import { LogRing } from "../src/logic/log_ring";
import { parts } from "../src/logic/marks";
import { throttled } from "../src/logic/throttle";
import { atEnd, visibleRows } from "../src/logic/visible_rows";
import { record } from "./samples";

const numbers = (ring: LogRing) => ring.copy().map((one) => one.number);

describe("the ring of records", () => {
  it("leaves out what it has already", () => {
    const ring = new LogRing();
    expect([ring.append([record(1), record(2)]), ring.append([record(2), record(3)])]).toEqual([2, 1]);
    expect(numbers(ring)).toEqual([1, 2, 3]);
  });

  it("lets the oldest go and stays near its size", () => {
    const ring = new LogRing(100);
    for (let number = 1; number <= 1000; number += 1) ring.append([record(number)]);
    expect(ring.length).toBeGreaterThanOrEqual(100);
    expect(ring.length).toBeLessThanOrEqual(110);
    expect(ring.newest).toBe(1000);
  });

  it("puts older ones in front as long as there is room", () => {
    const ring = new LogRing(4);
    ring.append([record(5), record(6)]);
    expect(ring.prepend([record(1), record(2), record(3), record(5)])).toBe(2);
    expect(numbers(ring)).toEqual([2, 3, 5, 6]);
  });

  it("counts what was skipped", () => {
    const ring = new LogRing();
    ring.append([], 7);
    expect(ring.skipped).toBe(7);
  });
});

describe("a list of which only a part is drawn", () => {
  it("draws what is in sight and some more", () => {
    expect(visibleRows(220, 100, 10, 1000, 2)).toEqual({ first: 20, last: 34 });
    expect(visibleRows(0, 100, 10, 3, 2)).toEqual({ first: 0, last: 3 });
    expect(visibleRows(5000, 100, 10, 0)).toEqual({ first: 0, last: 0 });
  });

  it("knows its end", () => {
    expect([atEnd(895, 100, 1000, 10), atEnd(500, 100, 1000, 10)]).toEqual([true, false]);
  });
});

describe("marks", () => {
  it("stand on each word, whatever its case", () => {
    expect(parts("Frame 12 lost", "LOST frame")).toEqual([
      { text: "Frame", marked: true },
      { text: " 12 ", marked: false },
      { text: "lost", marked: true },
    ]);
  });

  it("take signs as they are", () => {
    expect(parts("a (b) c", "(b)").filter((part) => part.marked)).toEqual([{ text: "(b)", marked: true }]);
    expect(parts("abc", '  " ')).toEqual([{ text: "abc", marked: false }]);
  });
});

describe("bars of levels", () => {
  it("stack the worst at the bottom and put levels of users' own to the next known one", () => {
    const made = stack({ from: 0, to: 2, seconds: 1, levels: { INFO: [3, 0], ERROR: [1, 0], "Level 25": [1, 2] } });
    expect(made.bars[0]?.parts.map((part) => [part.level, part.begin, part.end])).toEqual([["ERROR", 0, 1], ["INFO", 1, 5]]);
    expect([made.most, made.totals]).toEqual([5, [["ERROR", 1], ["INFO", 6]]]);
  });
});

describe("throttling", () => {
  it("calls at once, and later ones together", () => {
    vi.useFakeTimers();
    let calls = 0;
    const call = throttled(() => (calls += 1), 100);
    for (let time = 0; time < 50; time += 1) call();
    expect(calls).toBe(1);
    vi.advanceTimersByTime(100);
    expect(calls).toBe(2);
    vi.advanceTimersByTime(1000);
    expect(calls).toBe(2);
    vi.useRealTimers();
  });
});
