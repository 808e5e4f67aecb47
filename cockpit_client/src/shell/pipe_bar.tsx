import { useState } from "react";
import { useClock, useCockpit, useMayDrive } from "../live/access";
import { useSender } from "../live/commands";
import { go } from "../live/location";
import { useSignal } from "../live/signal";
import { bytes, count, duration, moment, percent } from "../logic/format";
import type { PipeSummary } from "../protocol/messages";
import type { FlowStatus } from "../protocol/records";
import { ConfirmDialog } from "./confirm_dialog";
import { EventDialog } from "./event_dialog";
import { ParametersDialog } from "./parameters_dialog";
import { StateBadge, tone } from "./state_badge";

/** The pipe at a glance, and what can be done with all of it. */
export function PipeBar({ pipe, summary }: { pipe: string; summary: PipeSummary | null }) {
  const now = useSignal(useCockpit().now);
  const { connected } = useSignal(useCockpit().connection);
  const gone = summary !== null && !summary.connected;
  const state = now?.status.state ?? summary?.state ?? "unknown";
  const name = summary?.name ?? now?.status.name ?? pipe;
  return (
    <section className={`pipebar ${gone ? "gone" : ""} ${connected ? "" : "old"}`} aria-label={`Pipe ${name}`}>
      <div className="pipebar-row">
        <h1 title={name}>{name}</h1>
        <StateBadge state={gone && state !== "ended" ? "disconnected" : state} />
        {connected ? <HealthLine gone={gone} /> : <span className="health muted">how it was when the cockpit was lost</span>}
        <PipeButtons name={name} disabled={gone || summary === null || !connected} />
      </div>
      <div className="pipebar-row facts">
        {summary && <Facts summary={summary} memory={now?.status.shared_memory_bytes ?? null} />}
        <div className="flows" role="group" aria-label="Flows">
          {now?.status.flows.map((flow) => <FlowChip key={flow.name} flow={flow} />)}
        </div>
      </div>
    </section>
  );
}

function HealthLine({ gone }: { gone: boolean }) {
  const { standing } = useSignal(useCockpit().problems);
  const worst = standing.find((problem) => problem.severity !== "note");
  if (!worst && gone) return <span className="health muted">gone; this is how it was</span>;
  if (!worst) return <span className="health good">healthy</span>;
  const others = standing.filter((problem) => problem.severity !== "note").length - 1;
  return (
    <button className={`health bare ${worst.severity}`} onClick={() => go({ page: "problems" })} title={worst.detail}>
      {worst.title}
      {others > 0 && ` and ${others} more`}
    </button>
  );
}

function Facts({ summary, memory }: { summary: PipeSummary; memory: number | null }) {
  const now = useClock();
  return (
    <dl className="fact-list">
      <div>
        <dt>{summary.connected ? "up" : "disconnected since"}</dt>
        <dd>{summary.connected ? duration(now - summary.started) : `${moment(summary.since, now)} (${duration(now - summary.since)})`}</dd>
      </div>
      <div><dt>host</dt><dd>{summary.host}</dd></div>
      <div><dt>process</dt><dd>{summary.pid}</dd></div>
      {memory !== null && <div><dt>shared memory</dt><dd>{bytes(memory)}</dd></div>}
    </dl>
  );
}

function FlowChip({ flow }: { flow: FlowStatus }) {
  return (
    <button className="flow-chip" onClick={() => go({ selection: { kind: "flow", name: flow.name } })} title={`Flow ${flow.name}: ${flow.state}${flow.host ? `, on ${flow.host}` : ""}`}>
      <span className={`dot ${tone(flow.state)}`} />
      <span className="flow-chip-name">{flow.name}</span>
      {flow.host && <span className="muted">{flow.host}</span>}
      {flow.pid === null ? <span className="muted">{flow.state}</span> : <span>{percent(flow.cpu_percent)} · {bytes(flow.rss_bytes)}</span>}
      {flow.restarts > 0 && <span className="restarts" title="restarts">↻ {count(flow.restarts)}</span>}
    </button>
  );
}

function PipeButtons({ name, disabled }: { name: string; disabled: boolean }) {
  const mayDrive = useMayDrive();
  const sender = useSender();
  const [dialog, setDialog] = useState<"kill" | "event" | "parameters" | null>(null);
  if (!mayDrive) return <span className="muted">viewer: looking only</span>;
  return (
    <div className="buttons" role="group" aria-label="Pipe commands">
      <button className="button" disabled={disabled || sender.busy} onClick={() => void sender.send("start", {}, `${name}: start was sent`)}>▶ Start</button>
      <button className="button" disabled={disabled || sender.busy} onClick={() => void sender.send("stop", {}, `${name}: stop was sent`)}>❚❚ Stop</button>
      <button className="button" disabled={disabled} onClick={() => setDialog("event")}>Event…</button>
      <button className="button" disabled={disabled} onClick={() => setDialog("parameters")}>Parameters…</button>
      <button className="button danger" disabled={disabled} onClick={() => setDialog("kill")}>Kill…</button>
      {dialog === "kill" && (
        <ConfirmDialog title={`Kill the pipe ${name}?`} action="Kill the pipe" onAct={() => void sender.send("kill", {}, `${name}: kill was sent`)} onClose={() => setDialog(null)}>
          All its flows end, and it cannot be started again from here. What is on its way through the wires is lost.
        </ConfirmDialog>
      )}
      {dialog === "event" && <EventDialog onClose={() => setDialog(null)} />}
      {dialog === "parameters" && <ParametersDialog onClose={() => setDialog(null)} />}
    </div>
  );
}
