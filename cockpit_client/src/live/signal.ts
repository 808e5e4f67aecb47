/** A value outside React that components can follow. */

import { useCallback, useSyncExternalStore } from "react";

export interface Readable<T> {
  get(): T;
  subscribe(listener: () => void): () => void;
}

export class Signal<T> implements Readable<T> {
  private readonly listeners = new Set<() => void>();

  constructor(private value: T) {}

  get = (): T => this.value;

  set(value: T): void {
    if (Object.is(value, this.value)) return;
    this.value = value;
    for (const listener of [...this.listeners]) listener();
  }

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };
}

/** A signal whose listeners are told some at a time, so that a change that concerns all of a large page does not hold it up. */
export class PacedSignal<T> implements Readable<T> {
  private readonly listeners = new Set<() => void>();
  private untold: (() => void)[] = [];
  private telling = false;

  constructor(
    private value: T,
    private readonly atOnce: number,
  ) {}

  get = (): T => this.value;

  set(value: T): void {
    if (Object.is(value, this.value)) return;
    this.value = value;
    // Who still waits to be told of the change before comes first, or would never be told where changes are fast.
    this.untold = [...new Set([...this.untold, ...this.listeners])];
    if (!this.telling) this.tell();
  }

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  private tell = (): void => {
    for (const listener of this.untold.splice(0, this.atOnce)) if (this.listeners.has(listener)) listener();
    this.telling = this.untold.length > 0;
    if (this.telling) setTimeout(this.tell);
  };
}

export function useSignal<T>(signal: Readable<T>): T {
  return useSyncExternalStore(signal.subscribe, signal.get);
}

/** A part of a signal: the component is drawn again only when that part is another object or value. */
export function usePart<T, P>(signal: Readable<T>, part: (value: T) => P): P {
  // `part` has to return the same object for the same value of the signal.
  const read = useCallback(() => part(signal.get()), [signal, part]);
  return useSyncExternalStore(signal.subscribe, read);
}
