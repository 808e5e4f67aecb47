/** A flow's processes, and what it waits for before it starts. */

import type { FlowStatus, PipeStatus, Structure } from "../protocol/records";

/** The most that the buttons ask for; the pipe itself may allow more. */
export const MOST_REPLICAS = 16;

/** How many replicas a flow has that may have several; null for any other flow. */
export function replicasOf(flow: string, structure: Structure | null | undefined, status: PipeStatus | null | undefined): number | null {
  const known = structure?.replicas?.[flow];
  if (known === undefined) return null;
  return status?.flows.filter((one) => (one.replica_of ?? one.name) === flow && one.state !== "ended").length || known;
}

/** "parameter 'workload' and flow 'first'", empty if it waits for nothing. */
export function waitsFor(flow: FlowStatus | null | undefined): string {
  return (flow?.waits_for ?? []).join(" and ");
}

/** The parameters of the pipe as a whole that a flow waits for. */
export function missingParameters(flow: FlowStatus): readonly string[] {
  return (flow.waits_for ?? []).flatMap((text) => /^parameter '(.*)'$/s.exec(text)?.[1] ?? []);
}
