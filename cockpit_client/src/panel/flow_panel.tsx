import { useState } from "react";
import { FlowCharts } from "../charts/entity_charts";
import { RangeSelect } from "../charts/range_select";
import { useCockpit, useMayDrive, useReachable } from "../live/access";
import { useSender } from "../live/commands";
import { go } from "../live/location";
import { usePart } from "../live/signal";
import { bytes, duration, percent } from "../logic/format";
import { MOST_REPLICAS, replicasOf, waitsFor } from "../logic/replicas";
import { NO_FILTER } from "../logic/view";
import { ConfirmDialog } from "../shell/confirm_dialog";
import { StateBadge } from "../shell/state_badge";
import { PanelFrame, Section } from "./side_panel";

/** One flow's process: what it costs, how often it came back, and the commands for all of it. */
export function FlowPanel({ pipe, name }: { pipe: string; name: string }) {
  const cockpit = useCockpit();
  const flow = usePart(cockpit.now, (now) => now?.status.flows.find((one) => one.name === name));
  const site = usePart(cockpit.now, (now) => now?.status.sites?.find((one) => one.host === flow?.host && one.clock_offset !== null));
  const structure = usePart(cockpit.structure, (one) => one);
  const replicas = usePart(cockpit.now, (now) => replicasOf(name, structure, now?.status));
  const waiting = waitsFor(flow);
  const routines = structure?.routines.filter((routine) => routine.flow === name) ?? [];
  return (
    <PanelFrame kind="flow" title={name} badge={<StateBadge state={flow?.state ?? "unknown"} />}>
      <FlowButtons pipe={pipe} name={name} />
      {waiting && <p className="advice">It was told to start, and waits for {waiting}.</p>}
      {replicas !== null && <Replicas pipe={pipe} name={name} count={replicas} />}
      {flow && (
        <dl className="numbers">
          <div><dt>process</dt><dd>{flow.pid ?? "–"}</dd></div>
          {flow.host && <div><dt>host</dt><dd>{flow.host}</dd></div>}
          {typeof site?.clock_offset === "number" && typeof site.clock_uncertainty === "number" && (
            <div><dt>its clock</dt><dd>{(1e3 * site.clock_offset).toFixed(1)} ± {(1e3 * site.clock_uncertainty).toFixed(1)} ms</dd></div>
          )}
          <div><dt>up</dt><dd>{duration(flow.uptime)}</dd></div>
          <div><dt>CPU</dt><dd>{percent(flow.cpu_percent)}</dd></div>
          <div><dt>memory</dt><dd>{bytes(flow.rss_bytes)}</dd></div>
          <div><dt>restarts</dt><dd>{flow.restarts}</dd></div>
          <div className="long"><dt>last exit</dt><dd>{flow.last_exit ?? "–"}</dd></div>
        </dl>
      )}
      <Section title="Charts" aside={<RangeSelect />}><FlowCharts pipe={pipe} name={name} /></Section>
      <Section title="Routines" aside={<button className="link" onClick={() => go({ page: "logs", logs: { ...NO_FILTER, flow: name } })}>its log</button>}>
        <ul className="wire-list">
          {routines.map((routine) => (
            <li key={routine.name}>
              <button className="link" onClick={() => go({ selection: { kind: "routine", name: routine.name } })}>{routine.name}</button>
              <span className="muted"> {routine.kind}</span>
            </li>
          ))}
        </ul>
      </Section>
    </PanelFrame>
  );
}

/** How many processes share the flow's work, and the buttons that change it. */
function Replicas({ pipe, name, count }: { pipe: string; name: string; count: number }) {
  const mayDrive = useMayDrive();
  const sender = useSender();
  const closed = !useReachable(pipe) || sender.busy;
  const set = (replicas: number): void => void sender.send("set_replicas", { flow: name, replicas }, `flow ${name}: ${replicas} replicas`);
  return (
    <div className="buttons" role="group" aria-label="Replicas">
      <span>{count} {count === 1 ? "replica" : "replicas"}</span>
      {mayDrive && (
        <>
          <button className="button small" aria-label="One replica fewer" disabled={closed || count <= 1} onClick={() => set(count - 1)}>−</button>
          <button className="button small" aria-label="One replica more" disabled={closed || count >= MOST_REPLICAS} onClick={() => set(count + 1)}>+</button>
        </>
      )}
    </div>
  );
}

function FlowButtons({ pipe, name }: { pipe: string; name: string }) {
  const mayDrive = useMayDrive();
  const sender = useSender();
  const closed = !useReachable(pipe) || sender.busy;
  const [asking, setAsking] = useState<"kill" | "restart" | null>(null);
  if (!mayDrive) return null;
  return (
    <div className="buttons" role="group" aria-label="Flow commands">
      <button className="button small" disabled={closed} onClick={() => void sender.send("start", { flow: name }, `flow ${name}: start was sent`)}>▶ Start</button>
      <button className="button small" disabled={closed} onClick={() => void sender.send("stop", { flow: name }, `flow ${name}: stop was sent`)}>❚❚ Stop</button>
      <button className="button small" disabled={closed} onClick={() => setAsking("restart")}>↻ Restart…</button>
      <button className="button small danger" disabled={closed} onClick={() => setAsking("kill")}>Kill…</button>
      {asking === "restart" && (
        <ConfirmDialog title={`Restart the flow ${name}?`} action="Restart" onAct={() => void sender.send("restart_flow", { flow: name }, `flow ${name} is being restarted`)} onClose={() => setAsking(null)}>
          Its process ends and begins anew; messages in hand are lost, those that wait on its wires are not.
        </ConfirmDialog>
      )}
      {asking === "kill" && (
        <ConfirmDialog title={`Kill the flow ${name}?`} action="Kill the flow" onAct={() => void sender.send("kill", { flow: name }, `flow ${name}: kill was sent`)} onClose={() => setAsking(null)}>
          Its routines end for good. The rest of the pipe goes on without them.
        </ConfirmDialog>
      )}
    </div>
  );
}
