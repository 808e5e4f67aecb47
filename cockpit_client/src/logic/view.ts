/** What is looked at, and how that is written into the address: a link shows the same view to somebody else. */

import { LEVELS } from "./levels";
import { RANGES, type Range } from "./ranges";

export const PAGES = ["graph", "logs", "problems", "audit"] as const;
export type Page = (typeof PAGES)[number];

export type Selection =
  | { readonly kind: "routine"; readonly name: string }
  | { readonly kind: "flow"; readonly name: string }
  | { readonly kind: "wire"; readonly source: string; readonly destination: string };

export interface LogView {
  readonly level: string;
  readonly flow: string;
  readonly routine: string;
  readonly text: string;
  /** Seconds since the epoch; null: no limit, and new records are shown as they come. */
  readonly from: number | null;
  readonly to: number | null;
}

export interface View {
  /** An id, or in links written by hand a name; null: the chooser. */
  readonly pipe: string | null;
  readonly page: Page;
  readonly selection: Selection | null;
  readonly range: Range;
  readonly logs: LogView;
}

export const NO_FILTER: LogView = { level: "", flow: "", routine: "", text: "", from: null, to: null };
export const FIRST_VIEW: View = { pipe: null, page: "graph", selection: null, range: "15m", logs: NO_FILTER };

/** Whether a routine or flow is what is selected. */
export function isChosen({ selection }: View, kind: "routine" | "flow", name: string): boolean {
  return selection?.kind === kind && selection.name === name;
}

/** The view that an address' query describes; what makes no sense in it is left out. */
export function readView(query: string): View {
  const words = new URLSearchParams(query);
  const page = PAGES.find((known) => known === words.get("view")) ?? "graph";
  const range = RANGES.find((known) => known.name === words.get("range"))?.name ?? FIRST_VIEW.range;
  const level = LEVELS.find((known) => known === words.get("level")) ?? "";
  return {
    pipe: words.get("pipe") || null,
    page,
    selection: readSelection(words),
    range,
    logs: {
      level,
      flow: words.get("in_flow") ?? "",
      routine: words.get("in_routine") ?? "",
      text: words.get("text") ?? "",
      from: readMoment(words.get("from")),
      to: readMoment(words.get("to")),
    },
  };
}

/** The query that describes a view; what is as usual is left out. */
export function writeView(view: View): string {
  const words = new URLSearchParams();
  const put = (name: string, value: string | number | null, usual: string | null = null): void => {
    if (value !== null && value !== "" && value !== usual) words.set(name, String(value));
  };
  put("pipe", view.pipe);
  put("view", view.page, FIRST_VIEW.page);
  if (view.selection?.kind === "wire") {
    put("source", view.selection.source);
    put("destination", view.selection.destination);
  } else if (view.selection) put(view.selection.kind, view.selection.name);
  put("range", view.range, FIRST_VIEW.range);
  put("level", view.logs.level);
  put("in_flow", view.logs.flow);
  put("in_routine", view.logs.routine);
  put("text", view.logs.text);
  put("from", view.logs.from);
  put("to", view.logs.to);
  const query = words.toString();
  return query ? `?${query}` : "";
}

function readSelection(words: URLSearchParams): Selection | null {
  const routine = words.get("routine");
  if (routine) return { kind: "routine", name: routine };
  const flow = words.get("flow");
  if (flow) return { kind: "flow", name: flow };
  const source = words.get("source");
  const destination = words.get("destination");
  return source && destination ? { kind: "wire", source, destination } : null;
}

function readMoment(text: string | null): number | null {
  const value = text ? Number(text) : NaN;
  return Number.isFinite(value) ? value : null;
}
