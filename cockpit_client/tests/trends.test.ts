import { describe, expect, it } from "vitest";
import { trendsBetween, wireTrendOf } from "../src/logic/trends";
import { wireLook, wireWords } from "../src/logic/wire_look";
import { pipeStatus, wireStatus } from "./samples";

describe("what two statuses tell", () => {
  it("counts drops and waiting per second", () => {
    const before = pipeStatus({ time: 10, wires: [wireStatus({ dropped: 5, blocked_seconds: 1 })] });
    const now = pipeStatus({ time: 12, wires: [wireStatus({ dropped: 25, blocked_seconds: 2 })] });
    expect(wireTrendOf(trendsBetween(before, now), "a", "b")).toEqual({ dropping: 10, blocked: 0.5, copying: 0 });
  });

  it("takes counters that went back as standing still", () => {
    const before = pipeStatus({ time: 10, wires: [wireStatus({ dropped: 500 })] });
    const now = pipeStatus({ time: 11, wires: [wireStatus({ dropped: 1 })] });
    expect(wireTrendOf(trendsBetween(before, now), "a", "b").dropping).toBe(0);
  });

  it("says nothing from a single status", () => {
    expect(trendsBetween(null, pipeStatus({})).wires.size).toBe(0);
  });
});

describe("how a wire looks", () => {
  const still = { dropping: 0, blocked: 0, copying: 0 };

  it("tells a blocked lossless wire from a dropping real-time one", () => {
    expect(wireLook(wireStatus({ lossless: true }), { ...still, blocked: 0.8 })).toBe("blocked");
    expect(wireLook(wireStatus({ lossless: false }), { ...still, dropping: 3 })).toBe("dropping");
  });

  it("does not call a lossless wire blocked whose source waits now and then", () => {
    expect(wireLook(wireStatus({ lossless: true, rate: 5 }), { ...still, blocked: 0.1 })).toBe("flowing");
  });

  it("is idle when nothing moves", () => {
    expect(wireWords(wireStatus({ rate: 0 }), still)).toBe("real-time, idle");
  });
});
