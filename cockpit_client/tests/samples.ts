/** Records as the server sends them, with only what a test is about written out. */

import type { PipeSummary } from "../src/protocol/messages";
import type { FlowStatus, LogRecord, PipeStatus, RoutineStatus, RoutineStructure, Structure, WireStatus } from "../src/protocol/records";

export const wireStatus = (change: Partial<WireStatus>): WireStatus => ({
  source: "a", destination: "b", lossless: false, capacity: 4, transmitter: "basic", sent: 0, received: 0, dropped: 0, queued: 0,
  rate: 0, copied: 0, blocked_seconds: 0, blocked: false, unlinked: false, ...change,
});

export const routineStatus = (change: Partial<RoutineStatus>): RoutineStatus => ({
  name: "a", flow: "f", kind: "middle", state: "running", finished: false, received: 0, sent: 0, rate: 0,
  logic_time: { p50: null, p99: null }, age: { p50: null, p99: null }, errors: 0, last_error: null, skipped: 0, interrupted: 0,
  busy_for: 0, parameters: [], ...change,
});

export const flowStatus = (change: Partial<FlowStatus>): FlowStatus => ({
  name: "f", state: "running", pid: 1, cpu_percent: 0, rss_bytes: 0, restarts: 0, uptime: 100, last_exit: null, ...change,
});

export const pipeStatus = (change: Partial<PipeStatus>): PipeStatus => ({
  name: "p", state: "running", reason: null, time: 0, shared_memory_bytes: 0, routines: [], wires: [], flows: [], ...change,
});

export const summary = (change: Partial<PipeSummary>): PipeSummary => ({
  id: "1", name: "p", host: "h", pid: 1, started: 0, connected: true, since: 0, state: "running", ok: true, problems: [], ...change,
});

export const routine = (name: string, flow: string, change: Partial<RoutineStructure> = {}): RoutineStructure => ({
  name, flow, kind: "middle", type: "T", help: "", events: [], parameters: [], log_level: "INFO", ...change,
});

export const structure = (routines: RoutineStructure[], wires: [string, string][]): Structure => ({
  name: "p",
  version: 1,
  flows: [...new Set(routines.map((one) => one.flow))],
  routines,
  wires: wires.map(([source, destination]) => ({ source, destination, lossless: false, capacity: null, transmitter: null })),
  events: [],
});

export const record = (number: number, change: Partial<LogRecord> = {}): LogRecord => ({
  number, time: number, level: "INFO", logger: "l", flow: null, routine: null, message: `m${number}`, traceback: null, extra: {}, ...change,
});
