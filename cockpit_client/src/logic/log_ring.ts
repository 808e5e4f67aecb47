/** The newest log records, outside React: appending is cheap, and memory stays flat. */

import type { LogRecord } from "../protocol/records";

export const MOST_RECORDS = 20_000;

export class LogRing {
  private records: LogRecord[] = [];
  /** Records that this page never got. */
  skipped = 0;

  constructor(private readonly capacity: number = MOST_RECORDS) {}

  get length(): number {
    return this.records.length;
  }

  at(index: number): LogRecord | undefined {
    return this.records[index];
  }

  get oldest(): number | null {
    return this.records[0]?.number ?? null;
  }

  get newest(): number {
    return this.records.at(-1)?.number ?? 0;
  }

  /** Newer records; those that are there already (asked for and sent at once) are left out. Returns how many are new. */
  append(fresh: readonly LogRecord[], skipped = 0): number {
    this.skipped += skipped;
    const newest = this.newest;
    let added = 0;
    for (const record of fresh) {
      if (record.number <= newest) continue;
      this.records.push(record);
      added += 1;
    }
    // Let go in large steps, so that moving the rest is rare.
    if (this.records.length > this.capacity * 1.1) this.records = this.records.slice(-this.capacity);
    return added;
  }

  /** Older records from the history, as long as there is room. Returns how many were put in front. */
  prepend(older: readonly LogRecord[]): number {
    const oldest = this.oldest ?? Infinity;
    const fitting = older.filter((record) => record.number < oldest);
    const room = Math.max(0, this.capacity - this.records.length);
    const kept = fitting.slice(Math.max(0, fitting.length - room));
    this.records = [...kept, ...this.records];
    return kept.length;
  }

  clear(): void {
    this.records = [];
    this.skipped = 0;
  }

  /** The records as they are now: a list that does not change any more. */
  copy(): readonly LogRecord[] {
    return this.records.slice();
  }
}
