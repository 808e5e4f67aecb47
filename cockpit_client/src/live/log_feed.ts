/** The log that is looked at: new records as they come, older ones when asked for; pausing holds the list still. */

import { LogRing, MOST_RECORDS } from "../logic/log_ring";
import { throttled } from "../logic/throttle";
import type { LogView } from "../logic/view";
import type { LogsMessage } from "../protocol/messages";
import type { LogRecord } from "../protocol/records";
import { http, logWords } from "./http";
import { Signal } from "./signal";

const PAGE = 500;
/** Repaints at most ten times a second, however many records come. */
const REPAINT_MS = 100;

export interface Rows {
  readonly length: number;
  at(index: number): LogRecord | undefined;
}

export class LogFeed {
  private readonly ring = new LogRing();
  private frozen: readonly LogRecord[] | null = null;
  private pipe: string | null = null;
  private view: LogView | null = null;
  private loading: AbortController | null = null;
  /** Changes whenever there is something new to draw. */
  readonly version = new Signal(0);
  /** What went wrong with the last search, in words. */
  readonly problem = new Signal<string | null>(null);
  readonly paused = new Signal(false);
  private more = true;
  private freshWhilePaused = 0;
  /** How many rows the last page of older records put in front. */
  prepended = 0;
  private readonly changed = throttled(() => this.version.set(this.version.get() + 1), REPAINT_MS);

  get rows(): Rows {
    return this.frozen ?? this.ring;
  }

  get skipped(): number {
    return this.ring.skipped;
  }

  get unseen(): number {
    return this.freshWhilePaused;
  }

  get hasMore(): boolean {
    return this.more;
  }

  get busy(): boolean {
    return this.loading !== null;
  }

  /** Begin with another pipe or filter; `after` is the newest record of the pipe, what follows it is sent. */
  begin(pipe: string | null, view: LogView, after: number | null): void {
    this.loading?.abort();
    this.loading = null;
    this.pipe = pipe;
    this.view = view;
    this.ring.clear();
    this.more = true;
    this.resume();
    if (pipe !== null) void this.load(after === null ? {} : { before: after + 1 });
  }

  receive(message: LogsMessage): void {
    const added = this.ring.append(message.records, message.skipped);
    if (this.frozen) this.freshWhilePaused += added;
    this.changed();
  }

  pause(): void {
    if (this.frozen) return;
    this.frozen = this.ring.copy();
    this.freshWhilePaused = 0;
    this.paused.set(true);
    this.changed();
  }

  resume(): void {
    this.frozen = null;
    this.freshWhilePaused = 0;
    this.paused.set(false);
    this.changed();
  }

  /** The page before the oldest record here. */
  older(): void {
    const oldest = this.rows.at(0)?.number;
    if (oldest === undefined || !this.more || this.loading || this.rows.length >= MOST_RECORDS) return;
    this.pause();
    void this.load({ before: oldest });
  }

  private async load(words: Record<string, number>): Promise<void> {
    const { pipe, view } = this;
    if (pipe === null || view === null) return;
    const loading = new AbortController();
    this.loading = loading;
    this.changed();
    try {
      const page = await http.logs(pipe, { ...logWords(view), ...words, limit: PAGE }, loading.signal);
      if (loading.signal.aborted) return;
      this.more = page.more;
      this.put(page.records);
      this.problem.set(null);
    } catch (error) {
      if (loading.signal.aborted) return;
      this.problem.set(error instanceof Error ? error.message : String(error));
    }
    this.loading = null;
    this.changed();
  }

  private put(older: readonly LogRecord[]): void {
    if (this.frozen === null) {
      this.prepended += this.ring.prepend(older);
      return;
    }
    const oldest = this.frozen[0]?.number ?? Infinity;
    const fitting = older.filter((record) => record.number < oldest);
    this.frozen = [...fitting, ...this.frozen];
    this.prepended += fitting.length;
  }

  /** Rows put in front since the last call: a list that is scrolled has to move on by as many. */
  takePrepended(): number {
    const rows = this.prepended;
    this.prepended = 0;
    return rows;
  }
}
