/** From what somebody typed into a form to the value that is sent. */

import type { Control } from "./argument_hint";

export type Read = { readonly value: unknown } | { readonly problem: string };

/** The value that a text stands for in a control. */
export function readValue(control: Control, text: string): Read {
  switch (control.kind) {
    case "bool":
      return { value: text === "true" };
    case "text":
      return { value: text };
    case "choice": {
      const found = control.choices.find((choice) => JSON.stringify(choice) === text);
      return found === undefined ? { problem: "choose one" } : { value: found };
    }
    case "number": {
      const value = text.trim() === "" ? NaN : Number(text);
      if (!Number.isFinite(value)) return { problem: "a number is needed" };
      if (control.whole && !Number.isInteger(value)) return { problem: "a whole number is needed" };
      return { value };
    }
    case "json":
      return readJson(text);
  }
}

/** JSON; a single word that is none is meant as text. */
function readJson(text: string): Read {
  const trimmed = text.trim();
  if (trimmed === "") return { problem: 'a value is needed, as JSON: 3, "text", [1, 2] or {"a": 1}' };
  try {
    return { value: JSON.parse(trimmed) as unknown };
  } catch {
    if (/^["[{]/.test(trimmed)) return { problem: "this is not JSON yet" };
    return { value: trimmed };
  }
}

/** The text in a control that stands for a value. */
export function writeValue(control: Control, value: unknown): string {
  if (control.kind === "choice" || control.kind === "json") return value === undefined ? "" : JSON.stringify(value);
  return value === null || value === undefined ? "" : String(value);
}

/** What is wrong with a number that has limits, in words. */
export function limitProblem(value: number, minimum: number | null, maximum: number | null): string | null {
  if (minimum !== null && value < minimum) return `at least ${minimum}`;
  if (maximum !== null && value > maximum) return `at most ${maximum}`;
  return null;
}

/** A step for a slider between two limits: about two hundred of them, a round number. */
export function sliderStep(minimum: number, maximum: number, whole: boolean): number {
  const step = 10 ** Math.floor(Math.log10((maximum - minimum) / 100 || 1));
  return whole ? Math.max(1, Math.round(step)) : step;
}
