import { type Connection, Controls, MiniMap, ReactFlow, ReactFlowProvider, useReactFlow } from "@xyflow/react";
import { useEffect, useMemo, useRef, useState } from "react";
import { useCockpit, useMayDrive } from "../live/access";
import { go, view } from "../live/location";
import { usePart } from "../live/signal";
import { sameShape } from "../logic/layout";
import type { Structure } from "../protocol/records";
import { Dialog } from "../shell/dialog";
import { LinkForm } from "../panel/link_form";
import { elementsOf } from "./elements";
import { FlowNode } from "./flow_node";
import { GraphSearch } from "./graph_search";
import { Legend } from "./legend";
import { RoutineNode } from "./routine_node";
import { SearchContext } from "./search_context";
import { WireEdge } from "./wire_edge";

const NODES = { flow: FlowNode, routine: RoutineNode };
const EDGES = { wire: WireEdge };
const FIT = { padding: 0.08, maxZoom: 1.1 };
const MANY = 12;

/** The pipe as a graph that lives: flows as groups, routines as nodes, wires between them. */
export function GraphPage() {
  const structure = useStableShape();
  if (!structure) return <p className="muted waiting">Waiting for the pipe’s structure…</p>;
  if (structure.routines.length === 0) return <p className="muted waiting">This pipe has no routines yet.</p>;
  return (
    <ReactFlowProvider>
      <Graph structure={structure} />
    </ReactFlowProvider>
  );
}

/** The structure, the same object as long as it would be drawn at the same places. */
function useStableShape(): Structure | null {
  const newest = usePart(useCockpit().structure, (one) => one);
  const [kept, keep] = useState(newest);
  if (newest !== kept && !sameShape(newest, kept)) keep(newest);
  return sameShape(newest, kept) ? kept : newest;
}

function Graph({ structure }: { structure: Structure }) {
  const selection = usePart(view, (one) => one.selection);
  const mayDrive = useMayDrive();
  const [search, setSearch] = useState("");
  const [linking, setLinking] = useState<{ source: string; destination: string } | null>(null);
  const { nodes, edges } = useMemo(() => elementsOf(structure, selection), [structure, selection]);
  useFitting(structure);
  const connect = ({ source, target }: Connection): void => {
    const names = { source: source.slice(2), destination: target.slice(2) };
    if (names.source !== names.destination) setLinking(names);
  };
  return (
    <SearchContext value={search.trim().toLowerCase()}>
      <div className={`graph ${mayDrive ? "driving" : ""}`}>
        <ReactFlow
          nodes={nodes}
          edges={edges}
          nodeTypes={NODES}
          edgeTypes={EDGES}
          nodesDraggable={false}
          nodesConnectable={mayDrive}
          nodesFocusable={false}
          edgesFocusable={false}
          elementsSelectable={false}
          deleteKeyCode={null}
          minZoom={0.08}
          maxZoom={2}
          fitView
          fitViewOptions={FIT}
          onConnect={connect}
          onPaneClick={() => go({ selection: null })}
          aria-label={`Graph of the pipe ${structure.name}`}
        >
          <Controls showInteractive={false} />
          {structure.routines.length > MANY && <MiniMap pannable zoomable ariaLabel="Overview" />}
        </ReactFlow>
        <GraphSearch structure={structure} text={search} onText={setSearch} />
        <Legend />
        {linking && (
          <Dialog title="Link two routines" onClose={() => setLinking(null)}>
            <LinkForm source={linking.source} destination={linking.destination} onDone={() => setLinking(null)} />
            <div className="dialog-foot"><button className="button" onClick={() => setLinking(null)}>Cancel</button></div>
          </Dialog>
        )}
      </div>
    </SearchContext>
  );
}

/** Show all of the graph again when routines come or go, and when the panel opens or the window changes its size. */
function useFitting(structure: Structure): void {
  const flow = useReactFlow();
  const routines = structure.routines.length;
  const panel = usePart(view, (one) => one.selection !== null);
  const first = useRef(true);
  useEffect(() => {
    if (first.current) {
      first.current = false;
      return;
    }
    const frame = requestAnimationFrame(() => void flow.fitView({ ...FIT, duration: 200 }));
    return () => cancelAnimationFrame(frame);
  }, [flow, routines, panel]);
}
