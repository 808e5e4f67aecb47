import { useEffect, useState } from "react";
import { useCockpit } from "../live/access";
import { http } from "../live/http";
import { go, view } from "../live/location";
import { usePart } from "../live/signal";
import { moment } from "../logic/format";
import { LEVELS } from "../logic/levels";
import { type LogView, NO_FILTER } from "../logic/view";

const TYPING_MS = 300;

/** Which records are shown; all of it is part of the link. */
export function Filters({ pipe }: { pipe: string }) {
  const logs = usePart(view, (one) => one.logs);
  const structure = usePart(useCockpit().structure, (one) => one);
  const put = (change: Partial<LogView>): void => go({ logs: { ...view.get().logs, ...change } });
  const routines = structure?.routines.filter((routine) => !logs.flow || routine.flow === logs.flow) ?? [];
  const filtered = JSON.stringify(logs) !== JSON.stringify(NO_FILTER);
  return (
    <div className="filters" role="search" aria-label="Log filters">
      <TextFilter text={logs.text} />
      <Choice label="Level" value={logs.level} none="every level" choices={LEVELS} shown={(level) => `${level} and above`} onChoice={(level) => put({ level })} />
      <Choice label="Flow" value={logs.flow} none="every flow" choices={structure?.flows ?? []} onChoice={(flow) => put({ flow, routine: "" })} />
      <Choice label="Routine" value={logs.routine} none="every routine" choices={routines.map((routine) => routine.name)} onChoice={(routine) => put({ routine })} />
      {(logs.from !== null || logs.to !== null) && (
        <button className="button small" title="Show the newest again" onClick={() => put({ from: null, to: null })}>
          {logs.from !== null && moment(logs.from)} – {logs.to !== null ? moment(logs.to) : "now"} ×
        </button>
      )}
      {filtered && <button className="link" onClick={() => go({ logs: NO_FILTER })}>clear</button>}
      <span className="spring" />
      <span className="exports muted">
        export <a className="link" href={http.exportAddress(pipe, "jsonl", logs)} download>JSON lines</a> <a className="link" href={http.exportAddress(pipe, "csv", logs)} download>CSV</a>
      </span>
    </div>
  );
}

/** Searches when the typing stops. */
function TextFilter({ text }: { text: string }) {
  const [typed, setTyped] = useState({ text, base: text });
  // The view changed under us (a link, going back): that is what counts.
  if (typed.base !== text) setTyped({ text, base: text });
  const shown = typed.base === text ? typed.text : text;
  useEffect(() => {
    if (shown === text) return;
    const timer = setTimeout(() => go({ logs: { ...view.get().logs, text: shown } }, true), TYPING_MS);
    return () => clearTimeout(timer);
  }, [shown, text]);
  return (
    <input
      type="search"
      data-search
      className="log-search"
      placeholder="Search all records  /"
      aria-label="Search the log"
      maxLength={200}
      value={shown}
      onChange={(event) => setTyped({ text: event.target.value, base: text })}
    />
  );
}

interface ChoiceProps {
  readonly label: string;
  readonly value: string;
  readonly none: string;
  readonly choices: readonly string[];
  shown?(value: string): string;
  onChoice(value: string): void;
}

function Choice({ label, value, none, choices, shown = (one) => one, onChoice }: ChoiceProps) {
  return (
    <select aria-label={label} value={value} onChange={(event) => onChoice(event.target.value)}>
      <option value="">{none}</option>
      {value !== "" && !choices.includes(value) && <option value={value}>{value}</option>}
      {choices.map((choice) => <option key={choice} value={choice}>{shown(choice)}</option>)}
    </select>
  );
}
