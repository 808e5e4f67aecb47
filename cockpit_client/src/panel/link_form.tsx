import { useId, useState } from "react";
import { useCockpit } from "../live/access";
import { useSender } from "../live/commands";
import { usePart } from "../live/signal";
import { possibleDestinations } from "../logic/link_choice";

/** Add a wire from a routine; also reached by dragging from one routine to another in the graph. */
export function LinkForm({ source, destination, onDone }: { source: string; destination?: string; onDone?: () => void }) {
  const cockpit = useCockpit();
  const structure = usePart(cockpit.structure, (one) => one);
  const sender = useSender();
  const id = useId();
  const [chosen, setChosen] = useState(destination ?? "");
  const [rule, setRule] = useState("");
  const [capacity, setCapacity] = useState("");
  const possible = structure ? possibleDestinations(structure, source) : [];
  if (!structure) return null;
  if (possible.length === 0) return <p className="muted">Every routine that takes data is linked to it already.</p>;
  const link = async (): Promise<void> => {
    const reply = await sender.send(
      "link",
      {
        source,
        destination: chosen,
        ...(rule && { lossless: rule === "lossless" }),
        ...(capacity && { capacity: Number(capacity) }),
      },
      `linked ${source} → ${chosen}`,
    );
    if (reply === null) return;
    setChosen("");
    onDone?.();
  };
  return (
    <form
      className="link-form"
      aria-label={`Link ${source}`}
      onSubmit={(event) => {
        event.preventDefault();
        void link();
      }}
    >
      <label className="field" htmlFor={`${id}to`}>
        <span>Link {source} to</span>
        <select id={`${id}to`} required value={chosen} onChange={(event) => setChosen(event.target.value)}>
          <option value="">choose…</option>
          {possible.map((name) => <option key={name} value={name}>{name}</option>)}
        </select>
      </label>
      <label className="field" htmlFor={`${id}rule`}>
        <span>Rule</span>
        <select id={`${id}rule`} value={rule} onChange={(event) => setRule(event.target.value)}>
          <option value="">the pipe’s own</option>
          <option value="realtime">real-time (newest wins)</option>
          <option value="lossless">lossless (source waits)</option>
        </select>
      </label>
      <label className="field" htmlFor={`${id}capacity`}>
        <span>Capacity</span>
        <input id={`${id}capacity`} type="number" min={1} max={65536} step={1} placeholder="usual" value={capacity} onChange={(event) => setCapacity(event.target.value)} />
      </label>
      <button className="button small" disabled={sender.busy || chosen === ""}>Link</button>
    </form>
  );
}
