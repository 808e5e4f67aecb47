/** Since when each problem is there, and which ones have cleared of late. */

import { type Problem, worstFirst } from "./problems";

export interface Standing extends Problem {
  readonly since: number;
  /** When it was found the last time. */
  readonly seen: number;
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
/** What comes and goes by the second, as a routine that fails at every tenth message, is one problem and not many. */
export const HOLD_SECONDS = 5;

/** The history after a look at what stands now. */
export function nextHistory(before: ProblemHistory, found: readonly Problem[], now: number): ProblemHistory {
  const known = new Map(before.standing.map((problem) => [problem.key, problem.since]));
  const keys = new Set(found.map((problem) => problem.key));
  const held = before.standing.filter((problem) => !keys.has(problem.key) && problem.severity === "warning" && now - problem.seen < HOLD_SECONDS);
  const standing = [...found.map((problem) => ({ ...problem, since: known.get(problem.key) ?? now, seen: now })), ...held].sort(worstFirst);
  for (const problem of held) keys.add(problem.key);
  // Notes come and go with each gust of data: what was good to know a moment ago is not worth a line.
  const gone = before.standing.filter((problem) => !keys.has(problem.key) && problem.severity !== "note").map((problem) => ({ ...problem, until: problem.severity === "warning" ? problem.seen : now }));
  return { standing, cleared: [...gone, ...before.cleared].slice(0, MOST_CLEARED) };
}
