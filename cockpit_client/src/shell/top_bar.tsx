import { useClock, useCockpit } from "../live/access";
import { go } from "../live/location";
import { useSignal } from "../live/signal";
import { choose, theme, THEMES } from "../live/theme";
import { duration, moment } from "../logic/format";
import { byImportance } from "../logic/pipe_choice";
import { FIRST_VIEW } from "../logic/view";
import type { Me, PipeSummary } from "../protocol/messages";

/** Above everything: which pipe, whether the server is there, light or dark, who. */
export function TopBar({ me, summary }: { me: Me; summary: PipeSummary | null }) {
  return (
    <header className="topbar">
      <button className="brand bare" onClick={() => go({ ...FIRST_VIEW })} title="All pipes">
        <img src="/icon.svg" alt="" width="22" height="22" />
        <span>pipert2 cockpit</span>
      </button>
      <PipeSelect summary={summary} />
      <span className="spring" />
      <ConnectionLight />
      <ThemeSelect />
      <Account me={me} />
    </header>
  );
}

function PipeSelect({ summary }: { summary: PipeSummary | null }) {
  const pipes = useSignal(useCockpit().pipes);
  if (pipes.length === 0) return null;
  return (
    <select
      className="pipe-select"
      aria-label="Pipe"
      value={summary?.id ?? ""}
      onChange={(event) => go({ ...FIRST_VIEW, pipe: event.target.value || null })}
    >
      <option value="">All pipes…</option>
      {byImportance(pipes).map((pipe) => (
        <option key={pipe.id} value={pipe.id}>
          {`${pipe.name} · ${pipe.connected ? (pipe.state ?? "connected") : "gone"} · ${moment(pipe.started)}`}
        </option>
      ))}
    </select>
  );
}

function ConnectionLight() {
  const connection = useSignal(useCockpit().connection);
  const now = useClock();
  if (connection.connected) return <span className="lamp good" title="Connected to the cockpit's server">live</span>;
  const since = connection.since;
  return (
    <span className="lamp bad" role="alert">
      {since === null ? "connecting…" : `disconnected since ${moment(since, now)} (${duration(now - since)})`}
    </span>
  );
}

function ThemeSelect() {
  const chosen = useSignal(theme);
  return (
    <select aria-label="Colours" value={chosen} onChange={(event) => choose(THEMES.find((one) => one === event.target.value) ?? "system")}>
      <option value="system">system</option>
      <option value="light">light</option>
      <option value="dark">dark</option>
    </select>
  );
}

function Account({ me }: { me: Me }) {
  const cockpit = useCockpit();
  return (
    <span className="account">
      <span title={me.role === "operator" ? "may drive pipes" : "may look"}>
        {me.user ? `${me.user} (${me.role})` : me.role}
      </span>
      {me.login && me.user && <button className="button small" onClick={() => void cockpit.logout()}>Log out</button>}
    </span>
  );
}
