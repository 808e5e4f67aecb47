/** Counts per level and time as stacked bars, the worst level at the bottom where it is seen best. */

import type { Histogram } from "../protocol/messages";
import { levelClass, LEVELS } from "./levels";

export interface BarPart {
  readonly level: string;
  readonly count: number;
  readonly begin: number;
  readonly end: number;
}

export interface Stack {
  readonly from: number;
  readonly seconds: number;
  /** The highest bar, at least 1. */
  readonly most: number;
  readonly bars: readonly { readonly parts: readonly BarPart[] }[];
  readonly totals: readonly (readonly [string, number])[];
}

const WORST_FIRST = [...LEVELS].reverse();

export function stack(histogram: Histogram): Stack {
  const lists = new Map<string, number[]>();
  for (const [level, counts] of Object.entries(histogram.levels)) {
    const known = levelClass(level).toUpperCase();
    const sum = lists.get(known) ?? counts.map(() => 0);
    lists.set(known, counts.map((count, index) => count + (sum[index] ?? 0)));
  }
  const width = Math.max(0, ...[...lists.values()].map((list) => list.length));
  let most = 1;
  const bars = Array.from({ length: width }, (_, index) => {
    let end = 0;
    const parts: BarPart[] = [];
    for (const level of WORST_FIRST) {
      const count = lists.get(level)?.[index] ?? 0;
      if (count === 0) continue;
      parts.push({ level, count, begin: end, end: end + count });
      end += count;
    }
    most = Math.max(most, end);
    return { parts };
  });
  const totals = WORST_FIRST.map((level) => [level, (lists.get(level) ?? []).reduce((sum, count) => sum + count, 0)] as const);
  return { from: histogram.from, seconds: histogram.seconds, most, bars, totals: totals.filter(([, total]) => total > 0) };
}
