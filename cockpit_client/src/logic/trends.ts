/** What two statuses one after the other tell: what happens now, and not just that it happened once. */

import type { PipeStatus, WireStatus } from "../protocol/records";

export interface WireTrend {
  /** Messages dropped per second. */
  readonly dropping: number;
  /** Share of the time that the source waited for room, 0 to 1. */
  readonly blocked: number;
  /** Messages per second that arrive as copies because too many views are held. */
  readonly copying: number;
}

export interface RoutineTrend {
  readonly failing: number;
  readonly skipping: number;
}

export interface Trends {
  readonly wires: ReadonlyMap<string, WireTrend>;
  readonly routines: ReadonlyMap<string, RoutineTrend>;
}

export const NO_TRENDS: Trends = { wires: new Map(), routines: new Map() };
const STILL_WIRE: WireTrend = { dropping: 0, blocked: 0, copying: 0 };
const STILL_ROUTINE: RoutineTrend = { failing: 0, skipping: 0 };

/** One name for a wire; names of routines cannot hold a NUL. */
export function wireKey(source: string, destination: string): string {
  return `${source}\u0000${destination}`;
}

/** How fast the counters moved. Counters that went back (a pipe began anew) count as standing still. */
export function trendsBetween(before: PipeStatus | null, now: PipeStatus): Trends {
  const seconds = before ? now.time - before.time : 0;
  if (!before || seconds <= 0) return NO_TRENDS;
  const speed = (from: number, to: number): number => Math.max(0, to - from) / seconds;
  const oldWires = new Map(before.wires.map((wire) => [wireKey(wire.source, wire.destination), wire]));
  const oldRoutines = new Map(before.routines.map((routine) => [routine.name, routine]));
  const wires = new Map<string, WireTrend>();
  for (const wire of now.wires) {
    const key = wireKey(wire.source, wire.destination);
    const old = oldWires.get(key);
    if (old) wires.set(key, wireTrend(old, wire, speed));
  }
  const routines = new Map<string, RoutineTrend>();
  for (const routine of now.routines) {
    const old = oldRoutines.get(routine.name);
    if (!old) continue;
    routines.set(routine.name, {
      failing: speed(old.errors, routine.errors),
      skipping: speed(old.skipped, routine.skipped),
    });
  }
  return { wires, routines };
}

function wireTrend(old: WireStatus, wire: WireStatus, speed: (from: number, to: number) => number): WireTrend {
  return {
    dropping: speed(old.dropped, wire.dropped),
    blocked: Math.min(1, speed(old.blocked_seconds, wire.blocked_seconds)),
    copying: speed(old.copied, wire.copied),
  };
}

export function wireTrendOf(trends: Trends, source: string, destination: string): WireTrend {
  return trends.wires.get(wireKey(source, destination)) ?? STILL_WIRE;
}

export function routineTrendOf(trends: Trends, name: string): RoutineTrend {
  return trends.routines.get(name) ?? STILL_ROUTINE;
}
