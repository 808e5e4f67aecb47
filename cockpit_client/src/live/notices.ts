/** Short messages about what came of something the user did. */

import { Signal } from "./signal";

export interface Notice {
  readonly number: number;
  readonly kind: "done" | "failed";
  readonly text: string;
}

export const notices = new Signal<readonly Notice[]>([]);
const SHOWN_MS = { done: 4_000, failed: 12_000 };
let last = 0;

export function notify(kind: Notice["kind"], text: string): void {
  last += 1;
  const number = last;
  notices.set([...notices.get().slice(-3), { number, kind, text }]);
  setTimeout(() => dismiss(number), SHOWN_MS[kind]);
}

export function dismiss(number: number): void {
  notices.set(notices.get().filter((notice) => notice.number !== number));
}
