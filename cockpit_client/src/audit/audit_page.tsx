import { useCallback, useEffect, useState } from "react";
import { http } from "../live/http";
import { clock, day, plain } from "../logic/format";
import type { AuditEntry } from "../protocol/messages";

const PAGE = 100;

/** Who sent which command, when, and what came of it. */
export function AuditPage() {
  const [entries, setEntries] = useState<readonly AuditEntry[]>([]);
  const [more, setMore] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const load = useCallback(async (before: number | null): Promise<void> => {
    try {
      const page = await http.audit({ limit: PAGE, before });
      setEntries((known) => (before === null ? page.entries : [...known, ...page.entries]));
      setMore(page.more);
      setProblem(null);
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
  }, []);
  useEffect(() => {
    // The first page comes from outside and is put into the state when it is there.
    // eslint-disable-next-line react-hooks/set-state-in-effect
    void load(null);
  }, [load]);
  const oldest = entries.at(-1);
  return (
    <div className="audit">
      <div className="audit-head">
        <h2>Commands</h2>
        <button className="button small" onClick={() => void load(null)}>Refresh</button>
      </div>
      {problem && <p className="wrong" role="alert">{problem}</p>}
      {entries.length > 0 && <table>
        <thead><tr><th>Time</th><th>Who</th><th>Pipe</th><th>Command</th><th>Outcome</th></tr></thead>
        <tbody>{entries.map((entry) => <Entry key={entry.number} entry={entry} />)}</tbody>
      </table>}
      {entries.length === 0 && !problem && <p className="muted">No command was sent yet.</p>}
      {more && oldest && <button className="button small" onClick={() => void load(oldest.number)}>Older ones</button>}
    </div>
  );
}

function Entry({ entry }: { entry: AuditEntry }) {
  const good = entry.outcome === "ok";
  return (
    <tr>
      <td><time>{day(entry.time)} {clock(entry.time).slice(0, 8)}</time></td>
      <td>{entry.user ?? "–"} <span className="muted">{entry.address}</span></td>
      <td>{entry.pipe_name ?? entry.pipe ?? "–"}</td>
      <td><b>{entry.verb}</b> <code>{plain(entry.arguments)}</code></td>
      <td className={good ? "good" : "wrong"}>{good ? "done" : `${entry.outcome}${entry.message ? `: ${entry.message}` : ""}`}</td>
    </tr>
  );
}
