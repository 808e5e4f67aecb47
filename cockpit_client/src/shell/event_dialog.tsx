import { useState } from "react";
import { useCockpit } from "../live/access";
import { usePart, useSignal } from "../live/signal";
import { eventsOf, type Target } from "../logic/event_choice";
import { EventForm } from "../panel/event_form";
import { Dialog } from "./dialog";

const OTHER = "";

/** Send any event to the pipe, a flow or a routine. */
export function EventDialog({ onClose }: { onClose: () => void }) {
  const cockpit = useCockpit();
  const structure = useSignal(cockpit.structure);
  const flows = usePart(cockpit.structure, (one) => one?.flows);
  const [target, setTarget] = useState<Target>({});
  const events = structure ? eventsOf(structure, target) : [];
  const [chosen, setChosen] = useState<string | null>(null);
  const [written, setWritten] = useState("");
  const event = events.find((one) => one.name === chosen) ?? (chosen === OTHER ? undefined : events[0]);
  return (
    <Dialog title="Send an event" wide onClose={onClose}>
      <label className="field">
        <span>To</span>
        <select value={JSON.stringify(target)} onChange={(change) => setTarget(JSON.parse(change.target.value) as Target)}>
          <option value="{}">the whole pipe</option>
          {flows?.map((flow) => <option key={`f ${flow}`} value={JSON.stringify({ flow })}>{`flow ${flow}`}</option>)}
          {structure?.routines.map(({ name }) => <option key={`r ${name}`} value={JSON.stringify({ routine: name })}>{`routine ${name}`}</option>)}
        </select>
      </label>
      <label className="field">
        <span>Event</span>
        <select value={event?.name ?? OTHER} onChange={(change) => setChosen(change.target.value)}>
          {events.map((one) => <option key={one.name} value={one.name}>{one.name}</option>)}
          <option value={OTHER}>another one…</option>
        </select>
      </label>
      {!event && (
        <label className="field">
          <span>Name</span>
          <input value={written} maxLength={200} onChange={(change) => setWritten(change.target.value)} />
        </label>
      )}
      {(event || written) && (
        <EventForm
          key={`${event?.name ?? "other"} ${JSON.stringify(target)}`}
          event={event ?? { name: written, help: "", arguments: [] }}
          target={target}
          free={!event}
        />
      )}
      <div className="dialog-foot"><button className="button" onClick={onClose}>Close</button></div>
    </Dialog>
  );
}
