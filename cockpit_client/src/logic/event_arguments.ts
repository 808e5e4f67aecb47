/** From the fields of an event's form to the arguments that are sent. */

import type { ArgumentStructure } from "../protocol/records";
import { controlFor } from "./argument_hint";
import { readValue } from "./form_value";

export interface EventArguments {
  readonly params: Readonly<Record<string, unknown>>;
  /** By field what is wrong with it. */
  readonly problems: Readonly<Record<string, string>>;
}

/** An empty field of an argument with a default is left out; an empty text of a needed `str` is an empty text. */
export function readArguments(
  known: readonly ArgumentStructure[],
  texts: Readonly<Record<string, string>>,
  free: boolean,
): EventArguments {
  if (free) return readFree(texts["arguments"] ?? "");
  const params: Record<string, unknown> = {};
  const problems: Record<string, string> = {};
  for (const argument of known) {
    const control = controlFor(argument.type);
    const text = texts[argument.name] ?? (control.kind === "bool" && argument.required ? "false" : "");
    if (text === "" && !argument.required) continue;
    const read = readValue(control, text);
    if ("problem" in read) problems[argument.name] = read.problem;
    else params[argument.name] = read.value;
  }
  return { params, problems };
}

function readFree(text: string): EventArguments {
  if (text.trim() === "") return { params: {}, problems: {} };
  const read = readValue({ kind: "json" }, text);
  if ("problem" in read) return { params: {}, problems: { arguments: read.problem } };
  const { value } = read;
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return { params: {}, problems: { arguments: 'a JSON object is needed: {"name": value}' } };
  return { params: value as Record<string, unknown>, problems: {} };
}
