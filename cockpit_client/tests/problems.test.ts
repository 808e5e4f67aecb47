import { describe, expect, it } from "vitest";
import { nextHistory, NO_HISTORY } from "../src/logic/problem_history";
import { type Evidence, problemsOf } from "../src/logic/problems";
import { NO_TRENDS, trendsBetween } from "../src/logic/trends";
import type { PipeStatus } from "../src/protocol/records";
import { flowStatus, pipeStatus, routineStatus, summary, wireStatus } from "./samples";

const evidence = (change: Partial<Evidence>): Evidence => ({
  summary: summary({}), status: pipeStatus({}), health: null, trends: NO_TRENDS, droppedRecords: 0, received: 100, now: 100, ...change,
});
const of = (status: PipeStatus, change: Partial<Evidence> = {}) => problemsOf(evidence({ status, ...change }));
const keys = (status: PipeStatus, change: Partial<Evidence> = {}) => of(status, change).map((problem) => problem.key);

describe("problems", () => {
  it("has none for a pipe that is well", () => {
    const status = pipeStatus({ routines: [routineStatus({})], flows: [flowStatus({})], wires: [wireStatus({ rate: 3 })] });
    expect(of(status)).toEqual([]);
  });

  it("names failed routines, failed flows and restarts, the worst first", () => {
    const status = pipeStatus({
      routines: [routineStatus({ name: "r", state: "failed", last_error: "ValueError: no" })],
      flows: [flowStatus({ name: "f", state: "restarting", last_exit: "killed" }), flowStatus({ name: "g", state: "failed" })],
    });
    expect(keys(status)).toEqual(["flow-failed g", "failed r", "flow-restart f"]);
    expect(of(status).every((problem) => problem.advice !== "")).toBe(true);
  });

  it("names what a flow waits for only where somebody has to give it, once for all its replicas", () => {
    const waits_for = ["parameter 'workload'", "flow 'first'"];
    const status = pipeStatus({
      flows: [flowStatus({ waits_for }), flowStatus({ name: "f#2", replica_of: "f", waits_for }), flowStatus({ name: "g", waits_for: ["flow 'f'"] })],
    });
    const [problem, ...more] = of(status);
    expect(more).toEqual([]);
    expect(problem?.title).toBe("Flow f waits for parameter 'workload' and flow 'first'");
    expect(problem?.advice).toContain("pipert2 params workload=VALUE");
    const said = "flow 'f' waits for parameter 'workload': set it for the pipe as a whole";
    expect(of(status, { health: { ok: false, ready: true, state: "built", problems: [said] } }).length).toBe(1);
  });

  it("keeps a restart as one problem while the flow comes back, and lets it go after a while", () => {
    const restarting = pipeStatus({ flows: [flowStatus({ state: "restarting" })] });
    const back = pipeStatus({ flows: [flowStatus({ restarts: 1, uptime: 5 })] });
    const settled = pipeStatus({ flows: [flowStatus({ restarts: 1, uptime: 31 })] });
    expect([keys(restarting), keys(back), keys(settled)]).toEqual([["flow-restart f"], ["flow-restart f"], []]);
  });

  it("names wires that drop, that are blocked, and not those that were taken away", () => {
    const wires = (dropped: number, blocked: number) => [
      wireStatus({ dropped }),
      wireStatus({ destination: "c", lossless: true, blocked_seconds: blocked }),
      wireStatus({ destination: "d", dropped, unlinked: true }),
    ];
    const before = pipeStatus({ time: 1, wires: wires(0, 0) });
    const status = pipeStatus({ time: 2, wires: wires(9, 0.9) });
    expect(keys(status, { trends: trendsBetween(before, status) })).toEqual(["blocked a → c", "dropping a → b"]);
  });

  it("names stale data and routines that are stuck", () => {
    const status = pipeStatus({ routines: [routineStatus({ name: "s", age: { p50: 9, p99: 12 } }), routineStatus({ name: "t", busy_for: 60 })] });
    expect(keys(status)).toEqual(["stale s", "stuck t"]);
  });

  it("says that nothing comes any more, and of a lost pipe nothing else", () => {
    expect(keys(pipeStatus({}), { now: 120 })).toEqual(["silent"]);
    const broken = pipeStatus({ routines: [routineStatus({ state: "failed" })] });
    expect(keys(broken, { summary: summary({ connected: false }) })).toEqual(["disconnected"]);
  });

  it("names dead letters, those of routines that are gone as well, and says it once", () => {
    const status = pipeStatus({ routines: [routineStatus({ name: "r", dead_letters: 2 }), routineStatus({ name: "s" })], dead_letters: 3 });
    const problems = ["routine 'r' has given up 2 messages: requeue or drop its dead letters", "earlier runs have left dead letters of routines that are gone, 1 message: drop them"];
    const found = of(status, { health: { ok: false, ready: true, state: "running", problems } });
    expect(found.map((problem) => [problem.key, problem.title, problem.letters])).toEqual([
      ["dead-letters r", "Routine r has given up 2 messages", { routine: "r" }],
      ["dead-letters", "Earlier runs have left 1 message", { routine: null }],
    ]);
  });

  it("takes no offence at a pipe that has ended and gone", () => {
    expect(keys(pipeStatus({ state: "ended" }), { summary: summary({ connected: false }) })).toEqual([]);
  });

  it("repeats what the pipe says of itself only if no rule said it already", () => {
    const status = pipeStatus({ routines: [routineStatus({ name: "r", state: "failed", last_error: "x" })] });
    const health = { ok: false, ready: true, state: "running", problems: ["routine 'r' failed: x", "the disk is full"] };
    expect(keys(status, { health })).toEqual(["failed r", "health the disk is full"]);
  });
});

describe("the history of problems", () => {
  const [problem] = of(pipeStatus({ state: "failed", reason: "x" }));

  it("remembers since when a problem stands and when it cleared", () => {
    const first = nextHistory(NO_HISTORY, problem ? [problem] : [], 10);
    const second = nextHistory(first, problem ? [problem] : [], 15);
    const third = nextHistory(second, [], 20);
    expect(second.standing.map((one) => one.since)).toEqual([10]);
    expect(third.standing).toEqual([]);
    expect(third.cleared.map((one) => [one.since, one.until])).toEqual([[10, 20]]);
  });

  it("takes a warning that comes and goes for one", () => {
    const warnings = of(pipeStatus({ routines: [routineStatus({ name: "t", busy_for: 60 })] }));
    const seen = nextHistory(nextHistory(NO_HISTORY, warnings, 10), [], 12);
    const again = nextHistory(seen, warnings, 13);
    expect([seen, again].map((one) => one.standing.map((problem) => [problem.key, problem.since]))).toEqual([[["stuck t", 10]], [["stuck t", 10]]]);
    const after = nextHistory(nextHistory(again, [], 17.9), [], 18);
    expect([after.standing, after.cleared.map((one) => [one.since, one.until])]).toEqual([[], [[10, 13]]]);
  });
});
