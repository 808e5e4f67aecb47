import { go, view } from "../live/location";
import { clock, day } from "../logic/format";
import { levelClass } from "../logic/levels";
import type { LogRecord } from "../protocol/records";

/** All of one record. */
export function RecordDetail({ record, onClose }: { record: LogRecord; onClose: () => void }) {
  const extra = Object.entries(record.extra);
  const around = (): void => {
    const { logs } = view.get();
    go({ logs: { ...logs, text: "", level: "", from: record.time - 30, to: record.time + 30 } });
  };
  return (
    <section className={`detail ${levelClass(record.level)}`} aria-label="The record">
      <header>
        <b className="log-level">{record.level}</b>
        <time>{day(record.time)} {clock(record.time)}</time>
        <span className="muted">{record.logger}</span>
        {record.flow && <button className="link" onClick={() => go({ selection: { kind: "flow", name: record.flow ?? "" } })}>flow {record.flow}</button>}
        {record.routine && <button className="link" onClick={() => go({ selection: { kind: "routine", name: record.routine ?? "" } })}>routine {record.routine}</button>}
        <button className="link" onClick={around}>half a minute around it</button>
        <span className="spring" />
        <button className="bare close" aria-label="Close the record" onClick={onClose}>×</button>
      </header>
      <pre className="message">{record.message}</pre>
      {record.traceback && <pre className="traceback">{record.traceback}</pre>}
      {extra.length > 0 && (
        <dl className="extra">
          {extra.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{typeof value === "string" ? value : JSON.stringify(value)}</dd></div>)}
        </dl>
      )}
    </section>
  );
}
