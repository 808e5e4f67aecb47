import { useState } from "react";
import { useClock, useCockpit, useMayDrive } from "../live/access";
import { http } from "../live/http";
import { go } from "../live/location";
import { notify } from "../live/notices";
import { useSignal } from "../live/signal";
import { duration, moment } from "../logic/format";
import { byImportance } from "../logic/pipe_choice";
import type { PipeSummary } from "../protocol/messages";
import { ConfirmDialog } from "./confirm_dialog";
import { StateBadge } from "./state_badge";

/** All pipes that the cockpit knows; those that need somebody first. */
export function PipeChooser() {
  const pipes = useSignal(useCockpit().pipes);
  const [text, setText] = useState("");
  const wanted = text.toLowerCase();
  const shown = byImportance(pipes).filter((pipe) => `${pipe.name} ${pipe.host} ${pipe.pid}`.toLowerCase().includes(wanted));
  return (
    <main className="chooser">
      <div className="chooser-head">
        <h1>Pipes</h1>
        {pipes.length > 4 && (
          <input type="search" placeholder="Name, host or process" aria-label="Find a pipe" value={text} onChange={(event) => setText(event.target.value)} />
        )}
      </div>
      {pipes.length === 0 && <NoPipes />}
      <ul className="pipes">
        {shown.map((pipe) => <PipeCard key={pipe.id} pipe={pipe} />)}
      </ul>
    </main>
  );
}

function NoPipes() {
  return (
    <section className="card empty">
      <h2>No pipe has come yet</h2>
      <p>Start one with <code>pipert2 run … --cockpit</code>, or give a pipe of your own a logger that sends here:</p>
      <pre>{`SOCKET_LOGGER_URL="${window.location.origin}"          # in .env\n\nPipe(logger=get_socket_logger("name", logging.INFO))`}</pre>
      <p>It appears here by itself.</p>
    </section>
  );
}

function PipeCard({ pipe }: { pipe: PipeSummary }) {
  const now = useClock();
  const mayDrive = useMayDrive();
  const [asking, setAsking] = useState(false);
  const forget = (): void => {
    http.forget(pipe.id).catch((error: unknown) => notify("failed", error instanceof Error ? error.message : String(error)));
  };
  return (
    <li className={`pipe-card ${pipe.connected ? "" : "gone"}`}>
      <button className="bare pipe-open" onClick={() => go({ pipe: pipe.id })}>
        <span className="pipe-name">{pipe.name}</span>
        <StateBadge state={pipe.connected ? (pipe.state ?? "connected") : "gone"} />
        <span className={pipe.ok ? "muted" : "wrong"}>{pipe.problems[0] ?? (pipe.connected ? "healthy" : "")}</span>
        <span className="muted">
          {pipe.host}, process {pipe.pid}, started {moment(pipe.started, now)}
          {pipe.connected ? `, up ${duration(now - pipe.started)}` : `, gone since ${moment(pipe.since, now)}`}
        </span>
      </button>
      {!pipe.connected && mayDrive && <button className="button small" onClick={() => setAsking(true)}>Delete history…</button>}
      {asking && (
        <ConfirmDialog title={`Delete the history of ${pipe.name}?`} action="Delete" onAct={forget} onClose={() => setAsking(false)}>
          Its log and charts go, for everybody. The pipe itself is not touched.
        </ConfirmDialog>
      )}
    </li>
  );
}
