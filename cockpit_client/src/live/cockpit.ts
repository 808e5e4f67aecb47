/** The connection to the cockpit's server and all that is known from it. One object for the page; React only reads it. */

import { io, type Socket } from "socket.io-client";
import { nextHistory, NO_HISTORY, type ProblemHistory } from "../logic/problem_history";
import { problemsOf } from "../logic/problems";
import { NO_TRENDS, type Trends, trendsBetween } from "../logic/trends";
import { type LogView, NO_FILTER } from "../logic/view";
import type {
  CommandReply,
  ErrorBody,
  FrameMessage,
  Hello,
  LogFilter,
  LogsMessage,
  Me,
  PipeSummary,
  Side,
  StatusMessage,
  StructureMessage,
  Watch,
  WatchReply,
} from "../protocol/messages";
import type { PipeStatus, RoutineStatus, Structure, WireStatus } from "../protocol/records";
import { wireKey } from "../logic/trends";
import { http, RequestFailed } from "./http";
import { LogFeed } from "./log_feed";
import { PacedSignal, Signal } from "./signal";

export interface Connection {
  readonly connected: boolean;
  /** Since when; null: it never was. */
  readonly since: number | null;
}

/** A status made ready to be looked up in. */
export interface Now {
  readonly status: PipeStatus;
  readonly message: StatusMessage;
  readonly routines: ReadonlyMap<string, RoutineStatus>;
  readonly wires: ReadonlyMap<string, WireStatus>;
  /** Messages that wait for a routine, on all its wires. */
  readonly queued: ReadonlyMap<string, number>;
  readonly trends: Trends;
  /** When it came, by the browser's clock. */
  readonly received: number;
}

export type Session = "asking" | "login" | "unreachable" | Me;

export class CommandFailed extends Error {
  constructor(readonly body: ErrorBody) {
    super(body.nearest ? `${body.message}` : body.message);
  }
}

const COMMAND_MS = 30_000;
/** A routine or wire of the graph has three or four. */
const LISTENERS_AT_ONCE = 40;
const seconds = (): number => Date.now() / 1000;

export class Cockpit {
  readonly session = new Signal<Session>("asking");
  readonly connection = new Signal<Connection>({ connected: false, since: null });
  readonly pipes = new Signal<readonly PipeSummary[]>([]);
  readonly structure = new Signal<Structure | null>(null);
  readonly now = new PacedSignal<Now | null>(null, LISTENERS_AT_ONCE);
  readonly problems = new Signal<ProblemHistory>(NO_HISTORY);
  /** Why the pipe that was asked for cannot be shown. */
  readonly refusal = new Signal<ErrorBody | null>(null);
  readonly logs = new LogFeed();
  private readonly frames = new Map<string, Signal<FrameMessage | null>>();
  private socket: Socket | null = null;
  private watched: Watch = { pipe: null, logs: null, frames: [] };
  private logView: LogView = NO_FILTER;
  private asked = 0;

  /** Find out who we are, and connect. */
  async begin(): Promise<void> {
    try {
      const me = await http.me();
      await this.enter(me);
    } catch (error) {
      const login = error instanceof RequestFailed && error.status === 401;
      this.session.set(login ? "login" : "unreachable");
    }
  }

  async login(user: string, password: string): Promise<void> {
    await this.enter(await http.login(user, password));
  }

  async logout(): Promise<void> {
    await http.logout();
    this.socket?.close();
    this.socket = null;
    this.session.set("login");
  }

  /** Look at problems again, also when nothing comes: silence is one. */
  tick(): void {
    const now = this.now.get();
    const pipe = this.watched.pipe;
    const summary = this.pipes.get().find((one) => one.id === pipe) ?? null;
    const found = problemsOf({
      summary,
      status: now?.status ?? null,
      health: now?.message.health ?? null,
      trends: now?.trends ?? NO_TRENDS,
      droppedRecords: now?.message.dropped_records ?? 0,
      received: this.connection.get().connected ? (now?.received ?? 0) : 0,
      now: seconds(),
    });
    this.problems.set(nextHistory(this.problems.get(), found, seconds()));
  }

  /** What is looked at: this pipe, and its log if `view` is given. */
  watch(pipe: string | null, view: LogView | null): void {
    const logs = view && view.to === null ? filterOf(view) : null;
    const other = pipe !== this.watched.pipe;
    if (other) this.forget();
    this.logView = view ?? NO_FILTER;
    const ended = view !== null && view.to !== null;
    if (ended) this.logs.begin(pipe, view, null);
    this.send({ ...this.watched, pipe, logs, ...(other ? { frames: [] } : {}) });
  }

  /** Which pictures are looked at. */
  look(frames: readonly (readonly [string, Side])[]): void {
    if (JSON.stringify(frames) !== JSON.stringify(this.watched.frames)) this.send({ ...this.watched, frames });
  }

  frame(routine: string, side: Side): Signal<FrameMessage | null> {
    const key = `${side} ${routine}`;
    const found = this.frames.get(key) ?? new Signal<FrameMessage | null>(null);
    this.frames.set(key, found);
    return found;
  }

  /** Run a verb of the pipe that is looked at. Rejects with CommandFailed. */
  async command(verb: string, args: Readonly<Record<string, unknown>>): Promise<unknown> {
    const { socket } = this;
    const pipe = this.watched.pipe;
    const unreachable = { code: "unreachable", field: null, nearest: null };
    if (!socket?.connected || pipe === null)
      throw new CommandFailed({ ...unreachable, message: "There is no connection to the cockpit's server." });
    let answer: CommandReply;
    try {
      answer = (await socket.timeout(COMMAND_MS).emitWithAck("command", { pipe, verb, arguments: args })) as CommandReply;
    } catch {
      throw new CommandFailed({ ...unreachable, message: `No answer within ${COMMAND_MS / 1000} s; what came of it is not known.` });
    }
    if ("error" in answer) throw new CommandFailed(answer.error);
    return answer.reply;
  }

  /** The list of pipes comes first: a link may name a pipe. */
  private async enter(me: Me): Promise<void> {
    this.pipes.set(await http.pipes());
    this.session.set(me);
    this.connect();
  }

  private connect(): void {
    this.socket?.close();
    const socket = io("/ui", { transports: ["websocket"], reconnectionDelay: 500, reconnectionDelayMax: 3_000, timeout: 5_000 });
    this.socket = socket;
    socket.on("connect", () => {
      this.connection.set({ connected: true, since: seconds() });
      if (this.watched.pipe !== null) this.send(this.watched, true);
    });
    socket.on("disconnect", () => {
      this.connection.set({ connected: false, since: seconds() });
      // The server ends a connection whose session is over, and socket.io does not come back by itself then.
      if (!socket.active && this.socket === socket) void this.begin();
    });
    socket.on("connect_error", () => {
      const before = this.connection.get();
      if (before.connected || before.since === null) this.connection.set({ connected: false, since: seconds() });
      if (!socket.active && this.socket === socket) void this.begin();
    });
    socket.on("hello", (hello: Hello) => this.pipes.set(hello.pipes));
    socket.on("pipes", (pipes: readonly PipeSummary[], done?: () => void) => {
      this.pipes.set(pipes);
      this.tick();
      done?.();
    });
    socket.on("structure", (message: StructureMessage, done?: () => void) => {
      if (message.pipe === this.watched.pipe) this.structure.set(message.structure);
      done?.();
    });
    socket.on("status", (message: StatusMessage, done?: () => void) => {
      if (message.pipe === this.watched.pipe) this.take(message);
      done?.();
    });
    socket.on("logs", (message: LogsMessage & { pipe?: string }, done?: () => void) => {
      if (message.pipe === undefined || message.pipe === this.watched.pipe) this.logs.receive(message);
      done?.();
    });
    socket.on("frame", (message: FrameMessage, done?: () => void) => {
      if (message.pipe === this.watched.pipe) this.frame(message.routine, message.side).set(message);
      done?.();
    });
  }

  private send(watch: Watch, again = false): void {
    const fresh = again || JSON.stringify(watch.logs) !== JSON.stringify(this.watched.logs) || watch.pipe !== this.watched.pipe;
    this.watched = watch;
    if (!this.socket?.connected) return;
    this.asked += 1;
    const number = this.asked;
    this.socket.emit("watch", watch, (reply: WatchReply | null) => {
      if (reply === null || this.watched.pipe !== watch.pipe) return;
      this.refusal.set(reply.error ?? null);
      if (reply.structure) this.structure.set(reply.structure);
      if (reply.status?.status) this.take(reply.status);
      if (fresh && watch.logs && number <= this.asked && this.watched.logs === watch.logs)
        this.logs.begin(watch.pipe, this.logView, reply.after ?? null);
      this.tick();
    });
  }

  private take(message: StatusMessage): void {
    const before = this.now.get();
    const { status } = message;
    const repeated = before?.status.time === status.time;
    const wires = status.wires.filter((wire) => !wire.unlinked);
    const queued = new Map<string, number>();
    for (const wire of wires) queued.set(wire.destination, (queued.get(wire.destination) ?? 0) + wire.queued);
    this.now.set({
      status,
      message,
      routines: new Map(status.routines.map((routine) => [routine.name, routine])),
      wires: new Map(wires.map((wire) => [wireKey(wire.source, wire.destination), wire])),
      queued,
      trends: repeated && before ? before.trends : trendsBetween(before?.status ?? null, status),
      received: repeated && before ? before.received : seconds(),
    });
    this.tick();
  }

  private forget(): void {
    this.structure.set(null);
    this.now.set(null);
    this.refusal.set(null);
    this.problems.set(NO_HISTORY);
    for (const frame of this.frames.values()) frame.set(null);
  }
}

function filterOf(view: LogView): LogFilter {
  return {
    ...(view.level && { level: view.level }),
    ...(view.flow && { flow: view.flow }),
    ...(view.routine && { routine: view.routine }),
    ...(view.text && { text: view.text }),
  };
}
