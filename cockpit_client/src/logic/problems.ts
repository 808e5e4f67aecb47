/** What needs a person now, worked out from the newest status; each with what to do. */

import type { PipeSummary } from "../protocol/messages";
import type { FlowStatus, Health, PipeStatus, RoutineStatus, WireStatus } from "../protocol/records";
import { duration, latency, rate } from "./format";
import { hostProblems } from "./hosts";
import { missingParameters, waitsFor } from "./replicas";
import { routineTrendOf, type Trends, wireTrendOf, type WireTrend } from "./trends";
import { goneLetters, type LetterOwner } from "./dead_letters";
import type { Selection } from "./view";
import { wireLook } from "./wire_look";

export type Severity = "failure" | "warning" | "note";

export interface Problem {
  /** The same problem a second later has the same key. */
  readonly key: string;
  readonly severity: Severity;
  readonly title: string;
  readonly detail: string;
  readonly advice: string;
  readonly where: Selection | null;
  /** Whose dead letters can be seen to here. */
  readonly letters?: LetterOwner;
}

/** Data older than this when it arrives is stale, unless the pipe is not meant to be fast. */
export const STALE_SECONDS = 2;
export const STUCK_SECONDS = 10;
/** A restart is worth a word for this long. */
export const RESTART_SECONDS = 30;
/** A status that is older than this says nothing about now. */
export const SILENT_SECONDS = 5;

export interface Evidence {
  readonly summary: PipeSummary | null;
  readonly status: PipeStatus | null;
  readonly health: Health | null;
  readonly trends: Trends;
  readonly droppedRecords: number;
  /** When the newest status came, and what time it is now, by the browser's clock. */
  readonly received: number;
  readonly now: number;
}

const ORDER: readonly Severity[] = ["failure", "warning", "note"];

/** All problems, the worst first. */
export function problemsOf(evidence: Evidence): readonly Problem[] {
  const { status, trends } = evidence;
  const found = [...pipeProblems(evidence)];
  if (status && evidence.summary?.connected !== false) {
    found.push(...status.flows.flatMap(flowProblems));
    found.push(...status.routines.flatMap((routine) => routineProblems(routine, trends, status.state)));
    found.push(
      ...status.wires
        .filter((wire) => !wire.unlinked)
        .flatMap((wire) => wireProblems(wire, wireTrendOf(trends, wire.source, wire.destination))),
    );
    found.push(...hostProblems(status), ...letterProblems(status));
    found.push(...unexplained(evidence.health, found));
  }
  return found.sort(worstFirst);
}

export function worstFirst(one: Problem, other: Problem): number {
  return ORDER.indexOf(one.severity) - ORDER.indexOf(other.severity);
}

function pipeProblems({ summary, status, droppedRecords, received, now }: Evidence): Problem[] {
  const found: Problem[] = [];
  const ended = status?.state === "ended" || status?.state === "finished";
  if (summary && !summary.connected) {
    if (!ended)
      found.push({
        key: "disconnected",
        severity: "failure",
        title: "The pipe is disconnected",
        detail: `Nothing has come from process ${summary.pid} on ${summary.host} for ${duration(now - summary.since)}.`,
        advice: "See whether that process still runs, and whether its machine reaches this cockpit. What is shown is how it was.",
        where: null,
      });
    return found;
  }
  if (status && received > 0 && now - received > SILENT_SECONDS)
    found.push({
      key: "silent",
      severity: "warning",
      title: "No news from the pipe",
      detail: `The last status is ${duration(now - received)} old.`,
      advice: "Its main process may be stopped or overloaded: look at the CPU of its machine.",
      where: null,
    });
  if (status?.state === "failed")
    found.push({
      key: "failed",
      severity: "failure",
      title: "The pipe has failed",
      detail: status.reason ?? "It gave no reason.",
      advice: "Read the last errors in the log, mend the cause, and run the pipe again.",
      where: null,
    });
  if (droppedRecords > 0)
    found.push({
      key: "records",
      severity: "note",
      title: "Log records were lost on the way here",
      detail: `${droppedRecords} records were dropped because the cockpit took them more slowly than they came.`,
      advice: "Raise the log level of the routines that say most. The pipe itself was not held up.",
      where: null,
    });
  return found;
}

function flowProblems(flow: FlowStatus): Problem[] {
  const where: Selection = { kind: "flow", name: flow.replica_of ?? flow.name };
  const missing = missingParameters(flow);
  if (missing.length > 0 && !flow.replica_of)
    return [
      {
        key: `flow-waits ${flow.name}`,
        severity: "warning",
        title: `Flow ${flow.name} waits for ${waitsFor(flow)}`,
        detail: "It was told to start, and does when that is there.",
        advice: `Set it for the pipe as a whole, by “Parameters…” above or pipert2 params ${missing.map((name) => `${name}=VALUE`).join(" ")}`,
        where,
      },
    ];
  const exit = flow.last_exit ?? "no reason known";
  if (flow.state === "failed")
    return [
      {
        key: `flow-failed ${flow.name}`,
        severity: "failure",
        title: `Flow ${flow.name} has failed`,
        detail: `Its process died too often (${exit}) and was not started again.`,
        advice: "Read its last log lines, mend the cause, then restart the flow.",
        where,
      },
    ];
  if (flow.state === "restarting")
    return [
      {
        key: `flow-restart ${flow.name}`,
        severity: "warning",
        title: `Flow ${flow.name} is being restarted`,
        detail: `Its process ended: ${exit}.`,
        advice: "It comes back by itself. If this repeats, read its log from just before the end.",
        where,
      },
    ];
  if (flow.restarts > 0 && flow.state === "running" && flow.uptime < RESTART_SECONDS)
    return [
      {
        key: `flow-restart ${flow.name}`,
        severity: "warning",
        title: `Flow ${flow.name} was restarted`,
        detail: `${duration(flow.uptime)} ago, ${flow.restarts} ${flow.restarts === 1 ? "time" : "times"} in all. Its process ended: ${exit}.`,
        advice: "It runs again. If this repeats, read its log from just before the end.",
        where,
      },
    ];
  return [];
}

function routineProblems(routine: RoutineStatus, trends: Trends, pipe: string): Problem[] {
  const where: Selection = { kind: "routine", name: routine.name };
  const found: Problem[] = [];
  const trend = routineTrendOf(trends, routine.name);
  const add = (kind: string, severity: Severity, title: string, detail: string, advice: string): void => {
    found.push({ key: `${kind} ${routine.name}`, severity, title, detail, advice, where });
  };
  if (routine.state === "failed")
    add(
      "failed",
      "failure",
      `Routine ${routine.name} has failed`,
      routine.last_error ?? "It gave no reason.",
      "Read the traceback in its panel, mend the cause, then start it again.",
    );
  else if (trend.failing > 0)
    add(
      "errors",
      "warning",
      `Routine ${routine.name} raises errors`,
      `${rate(trend.failing)}: ${routine.last_error ?? ""}`,
      (routine.dead_letters ?? 0) > 0
        ? "Its panel has the tracebacks. What fails at each attempt is kept as a dead letter."
        : "Its panel has the tracebacks. With each error a message is lost, unless the pipe is lossless.",
    );
  if (routine.busy_for > STUCK_SECONDS)
    add(
      "stuck",
      "warning",
      `Routine ${routine.name} is stuck`,
      `Its code has been busy with one message for ${duration(routine.busy_for)}.`,
      "If that is not meant to take so long, restart its flow.",
    );
  const age = routine.age.p50;
  if (routine.state === "running" && pipe === "running" && !routine.finished && age !== null && age > STALE_SECONDS)
    add(
      "stale",
      "warning",
      `Data is stale at ${routine.name}`,
      `Half of what arrives is older than ${latency(age)}.`,
      "Find the slowest routine before it in the graph; use real-time wires where the newest data is enough.",
    );
  if (trend.skipping > 0)
    add(
      "skipping",
      "note",
      `Routine ${routine.name} does not keep its rate`,
      `${rate(trend.skipping)} of its ticks are missed.`,
      "Lower its rate, or give its flow less to do.",
    );
  return found;
}

function letterProblems(status: PipeStatus): Problem[] {
  const found = status.routines
    .filter((routine) => (routine.dead_letters ?? 0) > 0)
    .map((routine): Problem => ({
      key: `dead-letters ${routine.name}`,
      severity: "warning",
      title: `Routine ${routine.name} has given up ${messages(routine.dead_letters ?? 0)}`,
      detail: "They failed at each attempt and are kept as dead letters.",
      advice: "Read below why, mend the cause, then requeue them. Drop those that are of no use any more.",
      where: { kind: "routine", name: routine.name },
      letters: { routine: routine.name },
    }));
  const gone = goneLetters(status);
  if (gone > 0)
    found.push({
      key: GONE_LETTERS,
      severity: "warning",
      title: `Earlier runs have left ${messages(gone)}`,
      detail: "They are dead letters of routines that this pipe does not have.",
      advice: "Drop them, or run the pipe with a routine of that name again and requeue them there.",
      where: null,
      letters: { routine: null },
    });
  return found;
}

const GONE_LETTERS = "dead-letters";

function messages(count: number): string {
  return count === 1 ? "1 message" : `${count} messages`;
}

function wireProblems(wire: WireStatus, trend: WireTrend): Problem[] {
  const where: Selection = { kind: "wire", source: wire.source, destination: wire.destination };
  const name = `${wire.source} → ${wire.destination}`;
  const found: Problem[] = [];
  const look = wireLook(wire, trend);
  if (look === "blocked")
    found.push({
      key: `blocked ${name}`,
      severity: "warning",
      title: `Wire ${name} is blocked`,
      detail: `${wire.queued} of ${wire.capacity} places are taken; the source waits ${Math.round(trend.blocked * 100)} % of the time.`,
      advice: `${wire.destination} is too slow for what comes. Make it faster, run it in more flows, or make the wire real-time.`,
      where,
    });
  if (look === "dropping")
    found.push({
      key: `dropping ${name}`,
      severity: "note",
      title: `Wire ${name} drops data`,
      detail: `${rate(trend.dropping)} are passed by newer ones, ${wire.dropped} in all.`,
      advice: `Fine for live data. If each message matters, make the wire lossless or ${wire.destination} faster.`,
      where,
    });
  if (trend.copying > 0)
    found.push({
      key: `copying ${name}`,
      severity: "note",
      title: `Wire ${name} copies data`,
      detail: `${rate(trend.copying)} arrive as copies: ${wire.destination} holds too many views of shared memory.`,
      advice: "Let go of frames sooner in that routine, or copy what it keeps.",
      where,
    });
  return found;
}

/** What the pipe itself calls a problem and no rule here has said already. */
function unexplained(health: Health | null, found: readonly Problem[]): Problem[] {
  return (health?.problems ?? [])
    .filter((sentence) => !found.some((problem) => explains(problem, sentence)))
    .map((sentence) => ({
      key: `health ${sentence}`,
      severity: "failure" as const,
      title: sentence,
      detail: "The pipe reports this about itself.",
      advice: "Read its newest errors in the log.",
      where: null,
    }));
}

function explains(problem: Problem, sentence: string): boolean {
  if (problem.key === "failed" && problem.detail === sentence) return true;
  if (problem.key === GONE_LETTERS && sentence.startsWith("earlier runs have left dead letters")) return true;
  if (problem.where === null || problem.where.kind === "wire") return false;
  return problem.severity !== "note" && sentence.startsWith(`${problem.where.kind} '${problem.where.name}'`);
}
