/** A Python type hint as it is written, and the form control that fits it. */

export type Control =
  | { readonly kind: "bool" }
  | { readonly kind: "number"; readonly whole: boolean }
  | { readonly kind: "text" }
  | { readonly kind: "choice"; readonly choices: readonly unknown[] }
  | { readonly kind: "json" };

/** The control for a hint; for what is neither a simple type nor a list of values the user writes JSON. */
export function controlFor(hint: string | null): Control {
  if (hint === null) return { kind: "json" };
  const types = alternatives(hint.trim()).filter((one) => one !== "None" && one !== "NoneType");
  if (types.length === 2 && types.includes("int") && types.includes("float")) return { kind: "number", whole: false };
  if (types.length !== 1) return { kind: "json" };
  const type = types[0] ?? "";
  if (type === "bool") return { kind: "bool" };
  if (type === "int") return { kind: "number", whole: true };
  if (type === "float") return { kind: "number", whole: false };
  if (type === "str") return { kind: "text" };
  const literal = /^(?:typing\.)?Literal\[(.*)\]$/s.exec(type);
  if (literal) {
    const choices = split(literal[1] ?? "", ",").map(literalValue);
    return choices.includes(undefined) ? { kind: "json" } : { kind: "choice", choices };
  }
  return { kind: "json" };
}

/** Whether None is among what a hint allows. */
export function allowsNone(hint: string | null): boolean {
  return hint === null || alternatives(hint.trim()).some((one) => one === "None" || one === "Any" || one === "typing.Any");
}

function alternatives(hint: string): string[] {
  const optional = /^(?:typing\.)?Optional\[(.*)\]$/s.exec(hint);
  if (optional) return [...alternatives((optional[1] ?? "").trim()), "None"];
  const union = /^(?:typing\.)?Union\[(.*)\]$/s.exec(hint);
  const parts = union ? split(union[1] ?? "", ",") : split(hint, "|");
  return parts.length > 1 ? parts.flatMap(alternatives) : parts;
}

/** Parts between separators that stand in no bracket and no quotes. */
function split(text: string, separator: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let quote = "";
  let part = "";
  for (const letter of text) {
    if (quote) {
      if (letter === quote) quote = "";
    } else if (letter === "'" || letter === '"') quote = letter;
    else if ("[({".includes(letter)) depth += 1;
    else if ("])}".includes(letter)) depth -= 1;
    else if (letter === separator && depth === 0) {
      parts.push(part.trim());
      part = "";
      continue;
    }
    part += letter;
  }
  return [...parts, part.trim()].filter((one) => one !== "");
}

function literalValue(text: string): unknown {
  const quoted = /^(['"])(.*)\1$/s.exec(text);
  if (quoted) return quoted[2];
  if (text === "True" || text === "False") return text === "True";
  const number = Number(text);
  return text !== "" && Number.isFinite(number) ? number : undefined;
}
