import { type KeyboardEvent, memo, useEffect, useLayoutEffect, useRef, useState } from "react";
import { useCockpit } from "../live/access";
import type { LogFeed } from "../live/log_feed";
import { go, view } from "../live/location";
import { usePart, useSignal } from "../live/signal";
import { clock, count, day } from "../logic/format";
import { levelClass } from "../logic/levels";
import { atEnd, visibleRows } from "../logic/visible_rows";
import type { LogRecord } from "../protocol/records";
import { Marked } from "./marked";

export const ROW = 22;

interface Props {
  readonly chosen: LogRecord | null;
  onChoose(record: LogRecord | null): void;
}

/** The records, of which only those in sight are drawn. Scrolling up holds the list still, scrolling to its end lets it go on. */
export function LogTable({ chosen, onChoose }: Props) {
  const feed = useCockpit().logs;
  const version = useSignal(feed.version);
  const paused = useSignal(feed.paused);
  const problem = useSignal(feed.problem);
  const ended = usePart(view, (one) => one.logs.to !== null);
  const text = usePart(view, (one) => one.logs.text);
  const scroller = useRef<HTMLDivElement>(null);
  const lastTop = useRef(0);
  const [window_, setWindow] = useState({ top: 0, height: 600 });
  const { rows } = feed;
  const total = rows.length;

  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const older = feed.takePrepended();
    if (!feed.paused.get()) element.scrollTop = element.scrollHeight;
    else if (older > 0) element.scrollTop += older * ROW;
    lastTop.current = element.scrollTop;
  }, [feed, version, paused]);

  useEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const measure = (): void => {
      if (!feed.paused.get()) element.scrollTop = element.scrollHeight;
      lastTop.current = element.scrollTop;
      setWindow({ top: element.scrollTop, height: element.clientHeight });
    };
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, [feed]);

  const onScroll = (): void => {
    const element = scroller.current;
    if (!element) return;
    setWindow({ top: element.scrollTop, height: element.clientHeight });
    const moved = element.scrollTop - lastTop.current;
    lastTop.current = element.scrollTop;
    follow(feed, element, { ended, moved });
  };

  const move = (event: KeyboardEvent): void => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step === undefined || !chosen) return;
    for (let index = 0; index < total; index += 1) {
      if (rows.at(index)?.number !== chosen.number) continue;
      const next = rows.at(index + step);
      if (!next) return;
      event.preventDefault();
      onChoose(next);
      scroller.current?.querySelector<HTMLElement>(`[data-number="${next.number}"] .log-open`)?.focus();
      return;
    }
  };

  const { first, last } = visibleRows(window_.top, window_.height, ROW, total);
  const drawn: LogRecord[] = [];
  for (let index = first; index < last; index += 1) {
    const record = rows.at(index);
    if (record) drawn.push(record);
  }
  return (
    <section className="log-box" aria-label="Log records">
      <TailBar feed={feed} paused={paused} ended={ended} total={total} version={version} />
      {problem && <p className="wrong" role="alert">{problem}</p>}
      <div className="log-scroll" ref={scroller} onScroll={onScroll} onKeyDown={move} tabIndex={0} role="region" aria-label="Records">
        <div className="log-space" style={{ height: total * ROW }}>
          <div className="log-rows" style={{ transform: `translateY(${first * ROW}px)` }}>
            {drawn.map((record) => (
              <LogRow key={record.number} record={record} text={text} chosen={record.number === chosen?.number} onChoose={onChoose} />
            ))}
          </div>
        </div>
        {total === 0 && <p className="muted waiting">{feed.busy ? "Searching…" : "No record fits."}</p>}
      </div>
    </section>
  );
}

/**
 * `moved`: pixels by which somebody moved the list, below 0 to what came before. At 0 the browser tells of what this page
 * did itself: that the end is in sight says nothing then, nor that it is not, as when the list's room has become smaller.
 */
function follow(feed: LogFeed, element: HTMLElement, { ended, moved }: { ended: boolean; moved: number }): void {
  const end = atEnd(element.scrollTop, element.clientHeight, element.scrollHeight, ROW);
  if (moved < 0 && !end && !feed.paused.get()) feed.pause();
  if (moved > 0 && end && feed.paused.get() && feed.unseen === 0 && !ended) feed.resume();
  if (moved < 0 && element.scrollTop < ROW * 5) feed.older();
}

interface TailProps {
  readonly feed: LogFeed;
  readonly paused: boolean;
  readonly ended: boolean;
  readonly total: number;
  readonly version: number;
}

function TailBar({ feed, paused, ended, total }: TailProps) {
  return (
    <div className="tail-bar">
      {ended ? (
        <span className="muted">a part of the past</span>
      ) : (
        <button className="button small" aria-pressed={paused} onClick={() => (paused ? feed.resume() : feed.pause())}>
          {paused ? "▶ Go on" : "❚❚ Pause"}
        </button>
      )}
      {paused && !ended && <span role="status">{feed.unseen > 0 ? `held still, ${count(feed.unseen)} new` : "held still"}</span>}
      {!paused && !ended && <span className="lamp good">live</span>}
      <span className="spring" />
      {feed.skipped > 0 && (
        <span className="skipped" title="They came faster than this page could take them. They are in the history: search, or hold the list and scroll up.">
          {count(feed.skipped)} skipped here
        </span>
      )}
      <span className="muted">{count(total)} shown{feed.hasMore ? ", older ones above" : ""}</span>
    </div>
  );
}

interface RowProps {
  readonly record: LogRecord;
  readonly text: string;
  readonly chosen: boolean;
  onChoose(record: LogRecord | null): void;
}

const LogRow = memo(function LogRow({ record, text, chosen, onChoose }: RowProps) {
  return (
    <div className={`log-row ${levelClass(record.level)} ${chosen ? "chosen" : ""}`} data-number={record.number}>
      <time title={day(record.time)}>{clock(record.time)}</time>
      <span className="log-level">{record.level}</span>
      {record.routine ? (
        <button className="bare log-origin" title={`Routine ${record.routine}${record.flow ? ` in flow ${record.flow}` : ""}`} onClick={() => go({ selection: { kind: "routine", name: record.routine ?? "" } })}>
          {record.routine}
        </button>
      ) : (
        <span className="log-origin muted">{record.flow ?? "–"}</span>
      )}
      <button className="bare log-open" aria-expanded={chosen} onClick={() => onChoose(chosen ? null : record)}>
        {record.traceback && <span className="log-trace" title="with a traceback">▤ </span>}
        <Marked text={record.message} wanted={text} />
      </button>
    </div>
  );
});
