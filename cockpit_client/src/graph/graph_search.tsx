import { useReactFlow } from "@xyflow/react";
import { go } from "../live/location";
import type { Structure } from "../protocol/records";

interface Props {
  readonly structure: Structure;
  readonly text: string;
  onText(text: string): void;
}

/** Finds routines by name: what does not fit fades, Enter goes to the first that fits. */
export function GraphSearch({ structure, text, onText }: Props) {
  const flow = useReactFlow();
  const wanted = text.trim().toLowerCase();
  const found = wanted ? structure.routines.filter((routine) => routine.name.toLowerCase().includes(wanted)) : [];
  const first = found[0];
  const show = (): void => {
    if (!first) return;
    go({ selection: { kind: "routine", name: first.name } });
    // After the panel has opened and the graph has fitted itself into what is left.
    setTimeout(() => void flow.fitView({ nodes: [{ id: `r ${first.name}` }], maxZoom: 1.1, padding: 1, duration: 200 }), 250);
  };
  return (
    <form
      className="graph-search"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        show();
      }}
    >
      <input type="search" data-search placeholder="Find a routine  /" aria-label="Find a routine" value={text} onChange={(event) => onText(event.target.value)} />
      {wanted && <span className="muted" role="status">{found.length} found</span>}
    </form>
  );
}
