/** What the cockpit's server and this page say to each other (decision 0007). */

import type { Health, LogRecord, PipeStatus, Structure } from "./records";

export type Side = "input" | "output";
export type Role = "viewer" | "operator";

export interface Me {
  readonly user: string | null;
  readonly role: Role;
  /** Accounts exist, so there is something to log out of. */
  readonly login: boolean;
  readonly version: string;
}

export interface PipeSummary {
  readonly id: string;
  readonly name: string;
  readonly host: string;
  readonly pid: number;
  readonly started: number;
  readonly connected: boolean;
  /** When it connected, or went away. */
  readonly since: number;
  readonly state: string | null;
  readonly ok: boolean;
  readonly problems: readonly string[];
}

export interface Hello extends Partial<Me> {
  readonly pipes: readonly PipeSummary[];
}

export interface LogFilter {
  readonly level?: string;
  readonly flow?: string;
  readonly routine?: string;
  readonly text?: string;
}

export interface Watch {
  readonly pipe: string | null;
  readonly logs: LogFilter | null;
  readonly frames: readonly (readonly [string, Side])[];
}

export interface StatusMessage {
  readonly pipe?: string;
  readonly status: PipeStatus;
  readonly health: Health | null;
  readonly dropped_records?: number;
  readonly at?: number;
}

export interface StructureMessage {
  readonly pipe: string;
  readonly structure: Structure;
}

export interface LogsMessage {
  readonly pipe?: string;
  readonly records: readonly LogRecord[];
  readonly skipped: number;
}

export interface FrameMessage {
  readonly pipe: string;
  readonly routine: string;
  readonly side: Side;
  readonly number: number;
  readonly time: number;
  readonly width: number;
  readonly height: number;
  readonly original: readonly number[];
  readonly dtype: string;
  readonly jpeg: ArrayBuffer;
}

export interface ErrorBody {
  readonly code: string;
  readonly message: string;
  readonly field: string | null;
  readonly nearest: string | null;
}

export interface WatchReply {
  readonly structure?: Structure | null;
  readonly status?: StatusMessage | null;
  readonly after?: number;
  readonly error?: ErrorBody;
}

export type CommandReply = { readonly reply: unknown } | { readonly error: ErrorBody };

export interface LogPage {
  readonly records: readonly LogRecord[];
  readonly more: boolean;
}

export interface Histogram {
  readonly from: number;
  readonly to: number;
  readonly seconds: number;
  readonly levels: Readonly<Record<string, readonly number[]>>;
}

export interface Series {
  readonly mean: readonly (number | null)[];
  readonly least: readonly (number | null)[];
  readonly greatest: readonly (number | null)[];
}

export interface Metrics {
  readonly from: number;
  readonly to: number;
  readonly seconds: number;
  readonly times: readonly number[];
  readonly series: Readonly<Record<string, Series>>;
}

export interface AuditEntry {
  readonly number: number;
  readonly time: number;
  readonly user: string | null;
  readonly address: string | null;
  readonly pipe: string | null;
  readonly pipe_name: string | null;
  readonly verb: string;
  readonly arguments: unknown;
  readonly outcome: string;
  readonly message: string | null;
}

export interface AuditPage {
  readonly entries: readonly AuditEntry[];
  readonly more: boolean;
}
