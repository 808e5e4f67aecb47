import { type Connection, Controls, MiniMap, ReactFlow, ReactFlowProvider, useReactFlow, useStore } from "@xyflow/react";
import { startTransition, useCallback, useDeferredValue, useEffect, useMemo, useRef, useState } from "react";
import { useCockpit, useMayDrive } from "../live/access";
import { useGrowing } from "../live/growing";
import { go, view } from "../live/location";
import { usePart } from "../live/signal";
import { type Placed, placing, sameShape } from "../logic/layout";
import type { Structure } from "../protocol/records";
import { Dialog } from "../shell/dialog";
import { LinkForm } from "../panel/link_form";
import { FAR_ZOOM, FarContext } from "./distance";
import { elementsOf, type WireEdgeType } from "./elements";
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
const ROUTINES_AT_ONCE = 8;
const WIRES_AT_ONCE = 8;

/** The pipe as a graph that lives: flows as groups, routines as nodes, wires between them. */
export function GraphPage() {
  const structure = useStableShape();
  const drawn = usePlaces(structure);
  if (!structure) return <p className="muted waiting">Waiting for the pipe’s structure…</p>;
  if (structure.routines.length === 0) return <p className="muted waiting">This pipe has no routines yet.</p>;
  if (!drawn) return null;
  return (
    <ReactFlowProvider>
      <Graph structure={drawn.structure} placed={drawn.placed} />
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

interface Drawn {
  readonly structure: Structure;
  readonly placed: Placed;
}

/** Where all of it stands; worked out in steps, the graph before is shown until then. */
function usePlaces(structure: Structure | null): Drawn | null {
  const [drawn, setDrawn] = useState<Drawn | null>(null);
  useEffect(() => {
    if (!structure) return;
    const steps = placing(structure);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const go = (): void => {
      const step = steps.next();
      if (step.done) startTransition(() => setDrawn({ structure, placed: step.value }));
      else timer = setTimeout(go);
    };
    timer = setTimeout(go);
    return () => clearTimeout(timer);
  }, [structure]);
  return drawn;
}

function Graph({ structure, placed }: Drawn) {
  const selection = usePart(view, (one) => one.selection);
  const mayDrive = useMayDrive();
  const [search, setSearch] = useState("");
  const [ready, setReady] = useState(false);
  const [linking, setLinking] = useState<{ source: string; destination: string } | null>(null);
  const { flows, routines, wires } = useMemo(() => elementsOf(structure, placed, selection), [structure, placed, selection]);
  // The flows are where all else is: with them the graph is fitted into its room, and how far away it is is known.
  const drawn = useGrowing(routines, ROUTINES_AT_ONCE, ready);
  const nodes = useMemo(() => [...flows, ...drawn], [flows, drawn]);
  const edges = useGrowing(wires, WIRES_AT_ONCE, drawn.length === routines.length);
  const choose = useFitting(structure);
  const far = useDeferredValue(useStore((state) => state.transform[2] < FAR_ZOOM));
  const connect = ({ source, target }: Connection): void => {
    const names = { source: source.slice(2), destination: target.slice(2) };
    if (names.source !== names.destination) setLinking(names);
  };
  return (
    <SearchContext value={search.trim().toLowerCase()}>
     <FarContext value={far}>
      <div className={`graph ${mayDrive ? "driving" : ""} ${far ? "far" : ""}`} data-ready={ready}>
        <ReactFlow
          nodes={nodes}
          edges={edges as WireEdgeType[]}
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
          onInit={() => requestAnimationFrame(() => setReady(true))}
          // Not at a move's start or end: a click on a node has these too, but moves nothing.
          onMove={(event) => event && choose(true)}
          onConnect={connect}
          onPaneClick={() => go({ selection: null })}
          aria-label={`Graph of the pipe ${structure.name}`}
        >
          <Controls showInteractive={false} onZoomIn={() => choose(true)} onZoomOut={() => choose(true)} onFitView={() => choose(false)} />
          {structure.routines.length > MANY && !far && <MiniMap pannable zoomable ariaLabel="Overview" />}
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
     </FarContext>
    </SearchContext>
  );
}

/** Show all of the graph again when it or its room changes, unless the user has chosen what to look at. */
function useFitting(structure: Structure): (moved: boolean) => void {
  const flow = useReactFlow();
  const room = useStore((state) => `${state.width} ${state.height}`);
  const routines = structure.routines.length;
  const moved = useRef(false);
  useEffect(() => {
    moved.current = false;
  }, [routines]);
  useEffect(() => {
    if (!moved.current) void flow.fitView(FIT);
  }, [flow, routines, room]);
  return useCallback((chosen: boolean) => {
    moved.current = chosen;
  }, []);
}
