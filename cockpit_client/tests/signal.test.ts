import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { PacedSignal } from "../src/live/signal";

describe("a paced signal", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("tells its listeners some at a time", () => {
    const signal = new PacedSignal(0, 2);
    const told: number[] = [];
    for (const one of [1, 2, 3]) signal.subscribe(() => told.push(one));
    signal.set(7);
    expect(told).toEqual([1, 2]);
    vi.runAllTimers();
    expect(told).toEqual([1, 2, 3]);
    expect(signal.get()).toBe(7);
  });

  it("tells who has waited longest first when it changes again, and each once", () => {
    const signal = new PacedSignal(0, 1);
    const told: number[] = [];
    for (const one of [1, 2, 3]) signal.subscribe(() => told.push(one));
    signal.set(1);
    signal.set(2);
    vi.runAllTimers();
    expect(told).toEqual([1, 2, 3, 1]);
  });

  it("tells nobody who has left meanwhile, and nothing when nothing changed", () => {
    const signal = new PacedSignal(0, 1);
    const told: number[] = [];
    signal.subscribe(() => told.push(1));
    const leave = signal.subscribe(() => told.push(2));
    signal.set(1);
    leave();
    signal.set(1);
    vi.runAllTimers();
    expect(told).toEqual([1]);
  });
});
