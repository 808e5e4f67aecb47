import { useEffect, useState } from "react";
import { http } from "../live/http";
import { moment } from "../logic/format";
import type { LogRecord } from "../protocol/records";

const MOST = 10;

/** The newest errors of a routine, with their tracebacks; asked for again when its count of errors grows. */
export function LastErrors({ pipe, name, errors }: { pipe: string; name: string; errors: number }) {
  const [records, setRecords] = useState<readonly LogRecord[] | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    const asking = new AbortController();
    // The record is on its way through the log when the count has grown already: wait a moment for it.
    const timer = setTimeout(() => {
      http.logs(pipe, { routine: name, level: "ERROR", limit: MOST }, asking.signal).then(
        (page) => {
          setRecords([...page.records].reverse());
          setProblem(null);
        },
        (error: unknown) => {
          if (!asking.signal.aborted) setProblem(error instanceof Error ? error.message : String(error));
        },
      );
    }, 300);
    return () => {
      clearTimeout(timer);
      asking.abort();
    };
  }, [pipe, name, errors]);

  if (problem) return <p className="wrong">{problem}</p>;
  if (!records) return <p className="muted">…</p>;
  if (records.length === 0) return <p className="muted">none</p>;
  return (
    <ul className="errors">
      {records.map((record) => (
        <li key={record.number}>
          <details>
            <summary><time>{moment(record.time)}</time> {record.message.split("\n")[0]}</summary>
            <pre className="traceback">{record.traceback ?? record.message}</pre>
          </details>
        </li>
      ))}
    </ul>
  );
}
