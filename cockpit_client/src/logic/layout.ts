/** Where routines, flows and wires stand in the graph: from left to right, as data goes. */

import { Graph, layout } from "@dagrejs/dagre";
import type { Structure } from "../protocol/records";
import { aroundHeads, HEAD, type Run, type Way, withHeadroom } from "./headroom";
import { wireKey } from "./trends";

export const NODE_WIDTH = 190;
export const NODE_HEIGHT = 104;
/** Room for what a wire says about itself. */
const LABEL = { width: 104, height: 26 };
const PADDING = 14;

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Box extends Point {
  readonly width: number;
  readonly height: number;
}

export interface Placed {
  /** By flow. All in the plane's coordinates. */
  readonly flows: ReadonlyMap<string, Box>;
  readonly routines: ReadonlyMap<string, Box>;
  /** By wire: where it bends on its way around others, and where its words stand. Without it: straight on. */
  readonly wires: ReadonlyMap<string, Way>;
}

/** More than these take longer to lay out at once than the page may stand still. */
const MOST_AT_ONCE = 16;

/** All in one go if that is quick and flows stay apart that way; else flow by flow, and the flows as blocks. */
export function place(structure: Structure): Placed {
  const steps = placing(structure);
  let step = steps.next();
  while (!step.done) step = steps.next();
  return step.value;
}

/** As `place`, in steps between which a page can do something else. */
export function* placing(structure: Structure): Generator<undefined, Placed> {
  if (structure.routines.length <= MOST_AT_ONCE) {
    const whole = tryWhole(structure);
    if (whole) return whole;
    yield;
  }
  return yield* placingByFlow(structure);
}

function tryWhole(structure: Structure): Placed | null {
  try {
    const whole = placeWhole(structure);
    return overlapping([...whole.flows.values()]) ? null : whole;
  } catch {
    return null; // dagre gives up on some graphs with groups
  }
}

function placeWhole(structure: Structure): Placed {
  const graph = newGraph({ rankdir: "LR", ranksep: 36, nodesep: 34, edgesep: 24 }, true);
  for (const flow of structure.flows) graph.setNode(`f ${flow}`, {});
  for (const { name, flow } of structure.routines) {
    graph.setNode(`r ${name}`, { width: NODE_WIDTH, height: NODE_HEIGHT + HEAD });
    graph.setParent(`r ${name}`, `f ${flow}`);
  }
  const known = new Set(structure.routines.map((routine) => routine.name));
  const drawn = structure.wires.filter((wire) => wire.source !== wire.destination && known.has(wire.source) && known.has(wire.destination));
  for (const wire of drawn) graph.setEdge(`r ${wire.source}`, `r ${wire.destination}`, { ...LABEL, labelpos: "c" });
  layout(graph);
  const routines = new Map<string, Box>();
  for (const { name } of structure.routines) routines.set(name, around(graph.node(`r ${name}`), 0));
  const flows = new Map<string, Box>();
  for (const flow of structure.flows) {
    const inside = structure.routines.filter((routine) => routine.flow === flow).map((routine) => routines.get(routine.name));
    const box = boundary(inside.filter((one) => one !== undefined));
    if (box) flows.set(flow, box);
  }
  const flowOf = new Map(structure.routines.map((routine) => [routine.name, routine.flow]));
  const runs: Run[] = [];
  for (const wire of drawn) {
    const edge = graph.edge(`r ${wire.source}`, `r ${wire.destination}`) as { points?: Point[]; x?: number; y?: number } | undefined;
    const points = edge?.points;
    if (!points || points.length < 3 || edge.x === undefined || edge.y === undefined) continue;
    const low = HEAD / 2; // routines stand in the lower part of the place that was kept for them
    const bends = points.slice(1, -1).map((point) => ({ x: point.x, y: point.y + low }));
    const ends = [flowOf.get(wire.source), flowOf.get(wire.destination)];
    runs.push({ key: wireKey(wire.source, wire.destination), flows: ends, bends, label: { x: edge.x, y: edge.y + low } });
  }
  const grown = withHeadroom(flows, runs);
  // Where there is no room to grow, a crossed head is less bad than flows one upon the other.
  const framed = overlapping([...grown.values()]) ? flows : grown;
  return { flows: framed, routines, wires: new Map(runs.map((run) => [run.key, aroundHeads(run, framed)])) };
}

function around(middle: { x?: number; y?: number }, down: number): Box {
  const x = (middle.x ?? 0) - NODE_WIDTH / 2;
  const y = (middle.y ?? 0) - (NODE_HEIGHT + HEAD) / 2 + HEAD + down;
  return { x, y, width: NODE_WIDTH, height: NODE_HEIGHT };
}

function boundary(boxes: readonly Box[]): Box | null {
  if (boxes.length === 0) return null;
  const left = Math.min(...boxes.map((box) => box.x)) - PADDING;
  const top = Math.min(...boxes.map((box) => box.y)) - HEAD;
  const right = Math.max(...boxes.map((box) => box.x + box.width)) + PADDING;
  const bottom = Math.max(...boxes.map((box) => box.y + box.height)) + PADDING;
  return { x: left, y: top, width: right - left, height: bottom - top };
}

function overlapping(boxes: readonly Box[]): boolean {
  return boxes.some((one, index) => boxes.slice(index + 1).some((other) => overlap(one, other)));
}

function overlap(one: Box, other: Box): boolean {
  return one.x < other.x + other.width && other.x < one.x + one.width && one.y < other.y + other.height && other.y < one.y + one.height;
}

function* placingByFlow(structure: Structure): Generator<undefined, Placed> {
  const inner = new Map<string, Block>();
  for (const flow of structure.flows) {
    inner.set(flow, placeFlow(structure, flow));
    yield;
  }
  const flowOf = new Map(structure.routines.map((routine) => [routine.name, routine.flow]));
  const outer = newGraph({ rankdir: "LR", ranksep: 140, nodesep: 40 });
  for (const [flow, { width, height }] of inner) outer.setNode(flow, { width, height });
  for (const wire of structure.wires) {
    const [from, to] = [flowOf.get(wire.source), flowOf.get(wire.destination)];
    if (from !== undefined && to !== undefined && from !== to) outer.setEdge(from, to, {});
  }
  layout(outer);
  // Flows one above the other begin at the same line, however long they are.
  const lefts = new Map<number, number>();
  for (const [flow, { width }] of inner) {
    const { x = 0, rank = 0 } = outer.node(flow) as { x?: number; rank?: number };
    lefts.set(rank, Math.min(lefts.get(rank) ?? Infinity, x - width / 2));
  }
  const flows = new Map<string, Box>();
  const routines = new Map<string, Box>();
  for (const [flow, { width, height, boxes }] of inner) {
    const middle = outer.node(flow) as { y?: number; rank?: number };
    const [x, y] = [lefts.get(middle.rank ?? 0) ?? 0, (middle.y ?? 0) - height / 2];
    flows.set(flow, { x, y, width, height });
    for (const [name, box] of boxes) routines.set(name, { ...box, x: box.x + x, y: box.y + y });
  }
  return { flows, routines, wires: new Map() };
}

interface Block {
  readonly width: number;
  readonly height: number;
  readonly boxes: ReadonlyMap<string, Box>;
}

function placeFlow(structure: Structure, flow: string): Block {
  const names = structure.routines.filter((routine) => routine.flow === flow).map((routine) => routine.name);
  const graph = newGraph({ rankdir: "LR", ranksep: 140, nodesep: 24, marginx: PADDING, marginy: PADDING });
  for (const name of names) graph.setNode(name, { width: NODE_WIDTH, height: NODE_HEIGHT });
  for (const wire of structure.wires)
    if (wire.source !== wire.destination && names.includes(wire.source) && names.includes(wire.destination))
      graph.setEdge(wire.source, wire.destination, {});
  if (names.length > 0) layout(graph);
  const boxes = new Map<string, Box>();
  let width = NODE_WIDTH + 2 * PADDING;
  let height = PADDING;
  for (const name of names) {
    const middle = graph.node(name);
    const x = (middle.x ?? 0) - NODE_WIDTH / 2;
    const y = (middle.y ?? 0) - NODE_HEIGHT / 2 + HEAD - PADDING;
    boxes.set(name, { x, y, width: NODE_WIDTH, height: NODE_HEIGHT });
    width = Math.max(width, x + NODE_WIDTH + PADDING);
    height = Math.max(height, y + NODE_HEIGHT + PADDING);
  }
  return { width, height, boxes };
}

function newGraph(options: Record<string, string | number>, compound = false): Graph {
  const graph = new Graph({ compound });
  graph.setGraph(options);
  graph.setDefaultEdgeLabel(() => ({}));
  return graph;
}
