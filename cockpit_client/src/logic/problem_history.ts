/** Since when each problem is there, and which ones have cleared of late. */

import type { Problem } from "./problems";

export interface Standing extends Problem {
  readonly since: number;
}

export interface Cleared extends Standing {
  readonly until: number;
}

export interface ProblemHistory {
  readonly standing: readonly Standing[];
  /** The newest first. */
  readonly cleared: readonly Cleared[];
}

export const NO_HISTORY: ProblemHistory = { standing: [], cleared: [] };
const MOST_CLEARED = 50;

/** The history after a look at what stands now. */
export function nextHistory(before: ProblemHistory, found: readonly Problem[], now: number): ProblemHistory {
  const known = new Map(before.standing.map((problem) => [problem.key, problem.since]));
  const standing = found.map((problem) => ({ ...problem, since: known.get(problem.key) ?? now }));
  const keys = new Set(found.map((problem) => problem.key));
  const gone = before.standing.filter((problem) => !keys.has(problem.key)).map((problem) => ({ ...problem, until: now }));
  return { standing, cleared: [...gone, ...before.cleared].slice(0, MOST_CLEARED) };
}
