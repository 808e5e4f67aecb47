import { RangeSelect } from "../charts/range_select";
import { RoutineCharts } from "../charts/routine_charts";
import { useCockpit, useMayDrive, useReachable } from "../live/access";
import { useSender } from "../live/commands";
import { go } from "../live/location";
import { usePart } from "../live/signal";
import { count, duration, latency, rate } from "../logic/format";
import { NO_FILTER } from "../logic/view";
import type { RoutineStatus, RoutineStructure } from "../protocol/records";
import { DeadLetters } from "../problems/dead_letters";
import { StateBadge } from "../shell/state_badge";
import { CallForm } from "./call_form";
import { EventForm } from "./event_form";
import { FramePair } from "./frame_pair";
import { LastErrors } from "./last_errors";
import { LinkForm } from "./link_form";
import { LogLevelSelect } from "./log_level_select";
import { ParameterList } from "./parameter_list";
import { ResultList } from "./result_list";
import { PanelFrame, Section } from "./side_panel";

/** All about one routine: how it does, what it sees, what can be set. */
export function RoutinePanel({ pipe, name }: { pipe: string; name: string }) {
  const cockpit = useCockpit();
  const status = usePart(cockpit.now, (now) => now?.routines.get(name));
  const structure = usePart(cockpit.structure, (one) => one?.routines.find((routine) => routine.name === name));
  if (!structure)
    return <PanelFrame kind="routine" title={name}><p className="muted">There is no routine of this name in the pipe.</p></PanelFrame>;
  return (
    <PanelFrame kind="routine" title={name} badge={<StateBadge state={status?.state ?? "unknown"} />}>
      <p className="muted about">
        {structure.type}, {structure.kind} in flow{" "}
        <button className="link" onClick={() => go({ selection: { kind: "flow", name: structure.flow } })}>{structure.flow}</button>
        {structure.help && ` – ${structure.help}`}
      </p>
      <RoutineButtons pipe={pipe} name={name} />
      {status && <Numbers status={status} />}
      <ResultList key={pipe} routine={name} />
      <Section title="Frames"><FramePair name={name} kind={structure.kind} /></Section>
      <Section title="Charts" aside={<RangeSelect />}><RoutineCharts pipe={pipe} name={name} /></Section>
      {structure.parameters.length > 0 && (
        <Section title="Parameters"><ParameterList routine={name} parameters={status?.parameters.length ? status.parameters : structure.parameters} /></Section>
      )}
      {structure.events.length > 0 && (
        <Section title="Events">
          {structure.events.map((event) => <EventForm key={event.name} event={event} target={{ routine: name }} />)}
        </Section>
      )}
      {structure.kind !== "source" && <Section title="Call"><CallForm key={name} routine={name} /></Section>}
      {(status?.dead_letters ?? 0) > 0 && (
        <Section title="Dead letters"><DeadLetters owner={{ routine: name }} count={status?.dead_letters ?? 0} /></Section>
      )}
      <Section title="Last errors" aside={<LogsLink name={name} />}><LastErrors pipe={pipe} name={name} errors={status?.errors ?? 0} /></Section>
      <Section title="Log level"><LogLevelSelect routine={name} level={structure.log_level} /></Section>
      <Wiring structure={structure} />
    </PanelFrame>
  );
}

function RoutineButtons({ pipe, name }: { pipe: string; name: string }) {
  const mayDrive = useMayDrive();
  const reachable = useReachable(pipe);
  const sender = useSender();
  if (!mayDrive) return null;
  const send = (verb: "start" | "stop"): void => void sender.send(verb, { routine: name }, `${name}: ${verb} was sent`);
  return (
    <div className="buttons" role="group" aria-label="Routine commands">
      <button className="button small" disabled={sender.busy || !reachable} onClick={() => send("start")}>▶ Start</button>
      <button className="button small" disabled={sender.busy || !reachable} onClick={() => send("stop")}>❚❚ Stop</button>
    </div>
  );
}

function Numbers({ status }: { status: RoutineStatus }) {
  const facts: [string, string, string?][] = [
    ["rate", rate(status.rate)],
    ["main_logic", `${latency(status.logic_time.p50)} / ${latency(status.logic_time.p99)}`, "half of the time at most / 99 % of the time at most"],
    ["age", `${latency(status.age.p50)} / ${latency(status.age.p99)}`, "how old data is when it arrives: half / 99 %"],
    ["received", count(status.received)],
    ["sent", count(status.sent)],
    ["errors", count(status.errors)],
    ["dead letters", count(status.dead_letters ?? 0), "messages that were given up and are kept"],
    ["skipped", count(status.skipped), "ticks of a fixed rate that were missed"],
    ["interrupted", count(status.interrupted), "messages in hand when the process died"],
    ["in hand", count(status.in_hand ?? 0), "messages that it works on now, all its replicas"],
    ["busy for", status.busy_for > 0 ? duration(status.busy_for) : "–", "how long it has been at the message in hand"],
  ];
  return (
    <dl className="numbers">
      {facts.map(([term, value, title]) => <div key={term} title={title}><dt>{term}</dt><dd>{value}</dd></div>)}
    </dl>
  );
}

function LogsLink({ name }: { name: string }) {
  return <button className="link" onClick={() => go({ page: "logs", logs: { ...NO_FILTER, routine: name } })}>its log</button>;
}

function Wiring({ structure }: { structure: RoutineStructure }) {
  const cockpit = useCockpit();
  const mayDrive = useMayDrive();
  const wires = usePart(cockpit.structure, (one) => one?.wires);
  const mine = wires?.filter((wire) => wire.source === structure.name || wire.destination === structure.name) ?? [];
  return (
    <Section title="Wires">
      <ul className="wire-list">
        {mine.map((wire) => (
          <li key={`${wire.source} ${wire.destination}`}>
            <button className="link" onClick={() => go({ selection: { kind: "wire", source: wire.source, destination: wire.destination } })}>
              {wire.source} → {wire.destination}
            </button>
            <span className="muted"> {wire.lossless ? "lossless" : "real-time"}</span>
          </li>
        ))}
        {mine.length === 0 && <li className="muted">none</li>}
      </ul>
      {mayDrive && structure.kind !== "destination" && <LinkForm source={structure.name} />}
    </Section>
  );
}
