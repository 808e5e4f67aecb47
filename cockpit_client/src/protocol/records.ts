/** The records of the control service as they arrive: the names and meanings are those of the Python side. */

export interface Latency {
  readonly p50: number | null;
  readonly p99: number | null;
}

export interface ParameterChange {
  readonly time: number;
  readonly value: unknown;
}

export interface ParameterStatus {
  readonly name: string;
  readonly type: string;
  readonly value: unknown;
  readonly default: unknown;
  readonly minimum: number | null;
  readonly maximum: number | null;
  readonly choices: readonly unknown[] | null;
  readonly unit: string;
  readonly help: string;
  readonly changes: readonly ParameterChange[];
}

export interface RoutineStatus {
  readonly name: string;
  readonly flow: string;
  readonly kind: string;
  readonly state: string;
  readonly finished: boolean;
  readonly received: number;
  readonly sent: number;
  readonly rate: number;
  readonly logic_time: Latency;
  readonly age: Latency;
  readonly errors: number;
  readonly last_error: string | null;
  readonly skipped: number;
  readonly interrupted: number;
  readonly busy_for: number;
  readonly parameters: readonly ParameterStatus[];
  /** Messages that it has given up and that are kept; missing from pipes of older versions. */
  readonly dead_letters?: number;
  /** Messages that it works on now; missing from pipes of older versions. */
  readonly in_hand?: number;
}

export interface WireStatus {
  readonly source: string;
  readonly destination: string;
  readonly lossless: boolean;
  readonly capacity: number;
  readonly transmitter: string;
  readonly sent: number;
  readonly received: number;
  readonly dropped: number;
  readonly queued: number;
  readonly rate: number;
  readonly copied: number;
  readonly blocked_seconds: number;
  readonly blocked: boolean;
  readonly unlinked: boolean;
}

export interface FlowStatus {
  readonly name: string;
  readonly state: string;
  readonly pid: number | null;
  readonly cpu_percent: number;
  readonly rss_bytes: number;
  readonly restarts: number;
  readonly uptime: number;
  readonly last_exit: string | null;
  /** What keeps it from starting, such as "parameter 'workload'". */
  readonly waits_for?: readonly string[];
  /** Of a further replica of a flow, that flow's name. */
  readonly replica_of?: string | null;
  /** Of a pipe on a cluster, where it is. */
  readonly host?: string | null;
}

/** The part of a pipe that runs on one host of a cluster. */
export interface SiteStatus {
  readonly name: string;
  readonly host: string | null;
  /** Seconds that its clock is ahead of the driver's, and to how many; null: not known, or the driver's own. */
  readonly clock_offset: number | null;
  readonly clock_uncertainty: number | null;
  /** running, silent, restarting, lost, ended. */
  readonly state?: string;
  readonly reason?: string | null;
  /** Its ends of wires to other hosts that are cut, in words. */
  readonly links?: readonly string[];
}

export interface PipeStatus {
  readonly name: string;
  readonly state: string;
  readonly reason: string | null;
  readonly time: number;
  readonly shared_memory_bytes: number;
  readonly routines: readonly RoutineStatus[];
  readonly wires: readonly WireStatus[];
  readonly flows: readonly FlowStatus[];
  /** Those of all routines, and of routines that only an earlier run had. */
  readonly dead_letters?: number;
  /** Of a pipe on a cluster, its parts on the hosts. */
  readonly sites?: readonly SiteStatus[];
}

/** The parameters of the pipe as a whole. */
export interface SharedParameters {
  readonly values: Readonly<Record<string, unknown>>;
  /** What it waits for before anything starts. */
  readonly missing: readonly string[];
}

export interface CallReply {
  readonly routine: string;
  readonly value: unknown;
}

export interface Health {
  readonly ok: boolean;
  readonly ready: boolean;
  readonly state: string;
  readonly problems: readonly string[];
}

export interface ArgumentStructure {
  readonly name: string;
  readonly type: string | null;
  readonly required: boolean;
  readonly default: unknown;
}

export interface EventStructure {
  readonly name: string;
  readonly help: string;
  readonly arguments: readonly ArgumentStructure[];
}

export interface RoutineStructure {
  readonly name: string;
  readonly flow: string;
  readonly kind: string;
  readonly type: string;
  readonly help: string;
  readonly events: readonly EventStructure[];
  readonly parameters: readonly ParameterStatus[];
  readonly log_level: string;
}

export interface WireStructure {
  readonly source: string;
  readonly destination: string;
  readonly lossless: boolean;
  readonly capacity: number | null;
  readonly transmitter: string | null;
}

export interface Structure {
  readonly name: string;
  readonly version: number;
  /** Of flows whose number of replicas can be changed, how many they had when this was sent. */
  readonly replicas?: Readonly<Record<string, number>>;
  readonly flows: readonly string[];
  readonly routines: readonly RoutineStructure[];
  readonly wires: readonly WireStructure[];
  readonly events: readonly string[];
}

export interface LogRecord {
  readonly number: number;
  readonly time: number;
  readonly level: string;
  readonly logger: string;
  readonly flow: string | null;
  readonly routine: string | null;
  readonly message: string;
  readonly traceback: string | null;
  readonly extra: Readonly<Record<string, unknown>>;
}

export interface HandlerReply {
  readonly value: unknown;
  readonly error: string | null;
  readonly traceback: string | null;
}

export interface EventReply {
  readonly event: string;
  readonly routines: readonly string[];
  readonly results: Readonly<Record<string, HandlerReply>> | null;
  readonly ok: boolean;
}

export interface ShownValue {
  readonly routine: string;
  readonly name: string;
  readonly kind: "number" | "text" | "curve" | "image";
  readonly time: number;
  readonly text: string;
  readonly shape: readonly number[];
  readonly at: readonly number[];
  readonly values: readonly (number | null)[];
  readonly least: number | null;
  readonly greatest: number | null;
  /** Base64, with - and _. */
  readonly png: string;
}

export interface Sketches {
  readonly values: readonly ShownValue[];
  readonly last: number;
  readonly more: boolean;
}

export interface DeadLetter {
  readonly number: number;
  readonly routine: string;
  readonly reason: string;
  readonly traceback: string;
  readonly attempts: number;
  readonly time: number;
  /** An earlier run of the pipe left it. */
  readonly earlier: boolean;
  readonly data: unknown;
}

export interface DeadLettersReply {
  readonly total: number;
  readonly letters: readonly DeadLetter[];
}

export interface RequeueReply {
  readonly requeued: number;
  readonly failed: readonly { readonly number: number; readonly reason: string }[];
  readonly left: number;
  readonly ok: boolean;
}
