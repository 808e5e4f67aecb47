import { useState } from "react";
import { WireCharts } from "../charts/entity_charts";
import { RangeSelect } from "../charts/range_select";
import { useCockpit, useMayDrive } from "../live/access";
import { useSender } from "../live/commands";
import { go } from "../live/location";
import { usePart } from "../live/signal";
import { count, duration, rate } from "../logic/format";
import { wireKey, wireTrendOf } from "../logic/trends";
import { wireLook, wireWords } from "../logic/wire_look";
import { ConfirmDialog } from "../shell/confirm_dialog";
import { PanelFrame, Section } from "./side_panel";

/** One wire: what goes through it, what does not, and taking it away. */
export function WirePanel({ pipe, source, destination }: { pipe: string; source: string; destination: string }) {
  const cockpit = useCockpit();
  const now = usePart(cockpit.now, (one) => one);
  const there = usePart(cockpit.structure, (one) => one?.wires.some((wire) => wire.source === source && wire.destination === destination));
  const wire = now?.wires.get(wireKey(source, destination));
  const trend = now && wireTrendOf(now.trends, source, destination);
  return (
    <PanelFrame kind="wire" title={`${source} → ${destination}`} badge={wire && trend && <span className={`badge wire-${wireLook(wire, trend)}`}>{wireLook(wire, trend)}</span>}>
      {there === false && <p className="muted">This wire is not there any more.</p>}
      <p className="muted about">
        from <RoutineLink name={source} /> to <RoutineLink name={destination} />
        {wire && trend && `: ${wireWords(wire, trend)}`}
      </p>
      {there && <UnlinkButton source={source} destination={destination} />}
      {wire && (
        <dl className="numbers">
          <div><dt>rate</dt><dd>{rate(wire.rate)}</dd></div>
          <div><dt>queue</dt><dd>{wire.queued} of {wire.capacity}</dd></div>
          <div><dt>dropped</dt><dd>{count(wire.dropped)}</dd></div>
          <div><dt>sent</dt><dd>{count(wire.sent)}</dd></div>
          <div><dt>received</dt><dd>{count(wire.received)}</dd></div>
          <div title="time that the source has waited for room"><dt>blocked</dt><dd>{duration(wire.blocked_seconds)}</dd></div>
          <div title="arrived as copies"><dt>copied</dt><dd>{count(wire.copied)}</dd></div>
          <div className="long"><dt>transmitter</dt><dd>{wire.transmitter}</dd></div>
        </dl>
      )}
      <Section title="Charts" aside={<RangeSelect />}><WireCharts pipe={pipe} source={source} destination={destination} /></Section>
    </PanelFrame>
  );
}

function RoutineLink({ name }: { name: string }) {
  return <button className="link" onClick={() => go({ selection: { kind: "routine", name } })}>{name}</button>;
}

function UnlinkButton({ source, destination }: { source: string; destination: string }) {
  const mayDrive = useMayDrive();
  const sender = useSender();
  const [asking, setAsking] = useState(false);
  if (!mayDrive) return null;
  return (
    <div className="buttons">
      <button className="button small danger" disabled={sender.busy} onClick={() => setAsking(true)}>Unlink…</button>
      {asking && (
        <ConfirmDialog title="Take this wire away?" action="Unlink" onAct={() => void sender.send("unlink", { source, destination }, `unlinked ${source} → ${destination}`)} onClose={() => setAsking(false)}>
          {source} sends nothing to {destination} any more. What waits on the wire is still delivered; it can be linked again.
        </ConfirmDialog>
      )}
    </div>
  );
}
