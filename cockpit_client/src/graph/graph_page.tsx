import { type Connection, Controls, MiniMap, ReactFlow, ReactFlowProvider, useReactFlow, useStore } from "@xyflow/react";
import { memo, type ReactNode, startTransition, useCallback, useDeferredValue, useEffect, useMemo, useRef, useState } from "react";
import { useCockpit, useMayDrive } from "../live/access";
import { useGrowing } from "../live/growing";
import { go } from "../live/location";
import { usePart } from "../live/signal";
import type { Placed } from "../logic/layout";
import { sameShape } from "../logic/shape";
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
// By itself, and from the beginning: libraries that are begun together hold the page up together.
const layout = import("../logic/layout");
/** The search and the legend stand at the top. */
const FIT = { padding: { top: "60px", right: 0.05, bottom: 0.05, left: 0.05 }, maxZoom: 1.1 } as const;
const MANY = 12;
const ROUTINES_AT_ONCE = 8;
const WIRES_AT_ONCE = 8;

/** The pipe as a graph that lives: flows as groups, routines as nodes, wires between them. What is selected beside it does not draw it again. */
export const GraphPage = memo(function GraphPage() {
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
});

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
    let timer: ReturnType<typeof setTimeout> | undefined;
    let over = false;
    void layout.then(({ placing }) => {
      const steps = placing(structure);
      const go = (): void => {
        const step = steps.next();
        if (step.done) startTransition(() => setDrawn({ structure, placed: step.value }));
        else timer = setTimeout(go);
      };
      if (!over) timer = setTimeout(go);
    });
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [structure]);
  return drawn;
}

function Graph({ structure, placed }: Drawn) {
  const [search, setSearch] = useState("");
  const [linking, setLinking] = useState<{ source: string; destination: string } | null>(null);
  const far = useDeferredValue(useStore((state) => state.transform[2] < FAR_ZOOM));
  const connect = useCallback(({ source, target }: Connection): void => {
    const names = { source: source.slice(2), destination: target.slice(2) };
    if (names.source !== names.destination) setLinking(names);
  }, []);
  return (
    <SearchContext value={search.trim().toLowerCase()}>
     <FarContext value={far}>
      <Plane structure={structure} placed={placed} far={far} onConnect={connect}>
        <GraphSearch structure={structure} text={search} onText={setSearch} />
        <Legend />
        {linking && (
          <Dialog title="Link two routines" onClose={() => setLinking(null)}>
            <LinkForm source={linking.source} destination={linking.destination} onDone={() => setLinking(null)} />
            <div className="dialog-foot"><button className="button" onClick={() => setLinking(null)}>Cancel</button></div>
          </Dialog>
        )}
      </Plane>
     </FarContext>
    </SearchContext>
  );
}

interface PlaneProps extends Drawn {
  readonly far: boolean;
  readonly children: ReactNode;
  onConnect(connection: Connection): void;
}

/** All that can be seen of the graph. Drawn again only when the graph itself is another one: it may be large. */
function Plane({ structure, placed, far, children, onConnect }: PlaneProps) {
  const mayDrive = useMayDrive();
  const [ready, setReady] = useState(false);
  const { flows, routines, wires } = useMemo(() => elementsOf(structure, placed), [structure, placed]);
  // The flows are where all else is: with them the graph is fitted into its room, and how far away it is is known.
  const drawn = useGrowing(routines, ROUTINES_AT_ONCE, ready);
  const nodes = useMemo(() => [...flows, ...drawn], [flows, drawn]);
  const edges = useGrowing(wires, WIRES_AT_ONCE, drawn.length === routines.length);
  const moved = useRef(false);
  const init = useCallback(() => requestAnimationFrame(() => setReady(true)), []);
  // Not at a move's start or end: a click on a node has these too, but moves nothing.
  const move = useCallback((event: unknown) => {
    if (event) moved.current = true;
  }, []);
  const zoom = useCallback(() => {
    moved.current = true;
  }, []);
  const fit = useCallback(() => {
    moved.current = false;
  }, []);
  const isMoved = useCallback(() => moved.current, []);
  return (
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
        onInit={init}
        onMove={move}
        onConnect={onConnect}
        onPaneClick={selectNothing}
        aria-label={`Graph of the pipe ${structure.name}`}
      >
        <Controls showInteractive={false} fitViewOptions={FIT} onZoomIn={zoom} onZoomOut={zoom} onFitView={fit} />
        {structure.routines.length > MANY && !far && <MiniMap pannable zoomable ariaLabel="Overview" />}
      </ReactFlow>
      <Fitting routines={structure.routines.length} isMoved={isMoved} forget={fit} />
      {children}
    </div>
  );
}

function selectNothing(): void {
  go({ selection: null });
}

interface FittingProps {
  readonly routines: number;
  /** Whether the user has chosen what to look at. */
  isMoved(): boolean;
  forget(): void;
}

/** Shows all of the graph again when it or its room changes. Drawn by itself, or each step of a change would draw all of the graph. */
function Fitting({ routines, isMoved, forget }: FittingProps) {
  const flow = useReactFlow();
  const room = useStore((state) => `${state.width} ${state.height}`);
  useEffect(() => forget(), [forget, routines]);
  useEffect(() => {
    if (!isMoved()) void flow.fitView(FIT);
  }, [flow, isMoved, routines, room]);
  return null;
}
