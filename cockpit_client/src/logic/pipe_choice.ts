/** Which pipe a link means. */

import type { PipeSummary } from "../protocol/messages";

/** The pipe with this id; else the newest one of this name, one that is connected first. */
export function pipeFor(pipes: readonly PipeSummary[], wanted: string | null): PipeSummary | null {
  if (wanted === null) return null;
  const exact = pipes.find((pipe) => pipe.id === wanted);
  return exact ?? byImportance(pipes).find((pipe) => pipe.name === wanted) ?? null;
}

/** Connected ones first, those in trouble before the others, then the newest. */
export function byImportance(pipes: readonly PipeSummary[]): PipeSummary[] {
  const rank = (pipe: PipeSummary): number => (pipe.connected ? 0 : 2) + (pipe.ok ? 1 : 0);
  return [...pipes].sort((one, other) => rank(one) - rank(other) || other.started - one.started);
}
