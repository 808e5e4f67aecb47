import { useMemo } from "react";
import { RangeSelect } from "../charts/range_select";
import { RoutineCharts } from "../charts/routine_charts";
import { useCockpit, useMayDrive, useReachable } from "../live/access";
import { useSender } from "../live/commands";
import { useGrowing } from "../live/growing";
import { go } from "../live/location";
import { usePart } from "../live/signal";
import { count, duration, latencies, rate } from "../logic/format";
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

const SECTIONS_AT_ONCE = 2;

/** All about one routine: how it does, what it sees, what can be set. */
export function RoutinePanel({ pipe, name }: { pipe: string; name: string }) {
  const structure = usePart(useCockpit().structure, (one) => one?.routines.find((routine) => routine.name === name));
  if (!structure)
    return <PanelFrame kind="routine" title={name}><p className="muted">There is no routine of this name in the pipe.</p></PanelFrame>;
  return (
    <PanelFrame kind="routine" title={name} badge={<Badge name={name} />}>
      <p className="muted about">
        {structure.type}, {structure.kind} in flow{" "}
        <button className="link" onClick={() => go({ selection: { kind: "flow", name: structure.flow } })}>{structure.flow}</button>
        {structure.help && ` – ${structure.help}`}
      </p>
      <RoutineButtons pipe={pipe} name={name} />
      <Numbers name={name} />
      <Sections pipe={pipe} structure={structure} />
    </PanelFrame>
  );
}

/** What follows the numbers; all at once would hold the page up. What changes each second is drawn by itself. */
function Sections({ pipe, structure }: { pipe: string; structure: RoutineStructure }) {
  const { name } = structure;
  const sections = useMemo(
    () => [
      <ResultList key="results" routine={name} />,
      <Section key="frames" title="Frames"><FramePair name={name} kind={structure.kind} /></Section>,
      <Section key="charts" title="Charts" aside={<RangeSelect />}><RoutineCharts pipe={pipe} name={name} /></Section>,
      structure.parameters.length > 0 && <Parameters key="parameters" structure={structure} />,
      structure.events.length > 0 && (
        <Section key="events" title="Events">
          {structure.events.map((event) => <EventForm key={event.name} event={event} target={{ routine: name }} />)}
        </Section>
      ),
      structure.kind !== "source" && <Section key="call" title="Call"><CallForm routine={name} /></Section>,
      <Letters key="letters" name={name} />,
      <Errors key="errors" pipe={pipe} name={name} />,
      <Section key="level" title="Log level"><LogLevelSelect routine={name} level={structure.log_level} /></Section>,
      <Wiring key="wires" structure={structure} />,
    ],
    [pipe, name, structure],
  );
  return useGrowing(sections, SECTIONS_AT_ONCE);
}

function useRoutine<P>(name: string, part: (status: RoutineStatus | undefined) => P): P {
  return usePart(useCockpit().now, (now) => part(now?.routines.get(name)));
}

function Badge({ name }: { name: string }) {
  return <StateBadge state={useRoutine(name, (status) => status?.state ?? "unknown")} />;
}

function Parameters({ structure }: { structure: RoutineStructure }) {
  const live = useRoutine(structure.name, (status) => status?.parameters);
  return <Section title="Parameters"><ParameterList routine={structure.name} parameters={live?.length ? live : structure.parameters} /></Section>;
}

function Letters({ name }: { name: string }) {
  const letters = useRoutine(name, (status) => status?.dead_letters ?? 0);
  return letters > 0 ? <Section title="Dead letters"><DeadLetters owner={{ routine: name }} count={letters} /></Section> : null;
}

function Errors({ pipe, name }: { pipe: string; name: string }) {
  const errors = useRoutine(name, (status) => status?.errors ?? 0);
  return <Section title="Last errors" aside={<LogsLink name={name} />}><LastErrors pipe={pipe} name={name} errors={errors} /></Section>;
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

function Numbers({ name }: { name: string }) {
  const status = useRoutine(name, (one) => one);
  if (!status) return null;
  const facts: [string, string, string?][] = [
    ["rate", rate(status.rate)],
    ["main_logic", latencies(status.logic_time.p50, status.logic_time.p99), "half of the time at most / 99 % of the time at most"],
    ["age", latencies(status.age.p50, status.age.p99), "how old data is when it arrives: half / 99 %"],
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
