/** What a routine shows: answers put together to what is seen of it. */

import type { ShownValue, Sketches } from "../protocol/records";

/** Points of a number that are kept while one looks. */
export const MOST_POINTS = 3_600;

export interface Results {
  /** By replica and name, in the order of names. */
  readonly values: readonly ShownValue[];
  /** What the next question asks for. */
  readonly after: number;
}

export const NO_RESULTS: Results = { values: [], after: 0 };

export function keyOf(value: ShownValue): string {
  return `${value.routine}\n${value.name}`;
}

/** With an answer taken in: numbers grow, all else is replaced; what has not changed stays the same object. */
export function withSketches(before: Results, answer: Sketches): Results {
  if (answer.values.length === 0) return answer.last === before.after ? before : { ...before, after: answer.last };
  const known = new Map(before.values.map((value) => [keyOf(value), value]));
  for (const value of answer.values) known.set(keyOf(value), grown(known.get(keyOf(value)), value));
  const values = [...known.values()].sort((one, other) => compared(one.name, other.name) || compared(one.routine, other.routine));
  return { values, after: answer.last };
}

function grown(before: ShownValue | undefined, value: ShownValue): ShownValue {
  if (before?.kind !== "number" || value.kind !== "number") return value;
  const last = before.at.at(-1) ?? -Infinity;
  const fresh = value.at.findIndex((at) => at > last);
  if (fresh < 0) return { ...value, at: before.at, values: before.values };
  return {
    ...value,
    at: [...before.at, ...value.at.slice(fresh)].slice(-MOST_POINTS),
    values: [...before.values, ...value.values.slice(fresh)].slice(-MOST_POINTS),
  };
}

const compared = new Intl.Collator("en", { numeric: true }).compare;

/** A number on an axis or beside a picture. */
export function short(value: number | null): string {
  if (value === null) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1_000_000)) return value.toExponential(2).replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}

/** The bytes of base64 as the pipe writes it; none if it is something else. */
export function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
  } catch {
    return new Uint8Array();
  }
}
