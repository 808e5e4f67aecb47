/** The server's HTTP side: history, search, login. */

import type { AuditPage, ErrorBody, Histogram, LogPage, Me, Metrics, PipeSummary } from "../protocol/messages";
import type { LogView } from "../logic/view";

export class RequestFailed extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

const PATIENCE_MS = 15_000;

async function call(method: string, address: string, body?: unknown, signal?: AbortSignal): Promise<unknown> {
  const timeout = AbortSignal.timeout(PATIENCE_MS);
  const headers: Record<string, string> = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer: Response;
  try {
    answer = await fetch(address, {
      method,
      headers,
      credentials: "same-origin",
      body: body === undefined ? null : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new RequestFailed(0, "unreachable", "The cockpit's server does not answer.");
  }
  const text = await answer.text();
  if (answer.ok) return text ? (JSON.parse(text) as unknown) : null;
  throw failure(answer.status, text);
}

function failure(status: number, text: string): RequestFailed {
  try {
    const { error } = JSON.parse(text) as { error: ErrorBody };
    return new RequestFailed(status, error.code, error.message);
  } catch {
    return new RequestFailed(status, "internal", `The cockpit's server answered ${status}.`);
  }
}

type Words = Readonly<Record<string, string | number | null | undefined>>;

function query(words: Words): string {
  const all = new URLSearchParams();
  for (const [name, value] of Object.entries(words))
    if (value !== null && value !== undefined && value !== "") all.set(name, String(value));
  return all.toString();
}

const pipePath = (pipe: string): string => `/api/pipes/${encodeURIComponent(pipe)}`;

export function logWords(logs: LogView): Words {
  return { level: logs.level, flow: logs.flow, routine: logs.routine, text: logs.text, from: logs.from, to: logs.to };
}

export const http = {
  me: async (): Promise<Me> => (await call("GET", "/api/me")) as Me,
  login: async (user: string, password: string): Promise<Me> => (await call("POST", "/login", { user, password })) as Me,
  logout: async (): Promise<void> => void (await call("POST", "/logout", {})),
  pipes: async (): Promise<readonly PipeSummary[]> =>
    ((await call("GET", "/api/pipes")) as { pipes: readonly PipeSummary[] }).pipes,
  forget: async (pipe: string): Promise<void> => void (await call("DELETE", pipePath(pipe))),
  logs: async (pipe: string, words: Words, signal?: AbortSignal): Promise<LogPage> =>
    (await call("GET", `${pipePath(pipe)}/logs?${query(words)}`, undefined, signal)) as LogPage,
  histogram: async (pipe: string, words: Words, signal?: AbortSignal): Promise<Histogram> =>
    (await call("GET", `${pipePath(pipe)}/logs/histogram?${query(words)}`, undefined, signal)) as Histogram,
  metrics: async (pipe: string, words: Words, signal?: AbortSignal): Promise<Metrics> =>
    (await call("GET", `${pipePath(pipe)}/metrics?${query(words)}`, undefined, signal)) as Metrics,
  audit: async (words: Words, signal?: AbortSignal): Promise<AuditPage> =>
    (await call("GET", `/api/audit?${query(words)}`, undefined, signal)) as AuditPage,
  exportAddress: (pipe: string, format: "jsonl" | "csv", logs: LogView): string =>
    `${pipePath(pipe)}/logs/export?${query({ format, ...logWords(logs) })}`,
};
