/** The structure as nodes and edges of the graph's library. What changes each second is not in here. */

import type { Edge, Node } from "@xyflow/react";
import type { Placed, Point } from "../logic/layout";
import { wireKey } from "../logic/trends";
import type { Selection } from "../logic/view";
import type { Structure } from "../protocol/records";

export type FlowNodeType = Node<{ name: string; chosen: boolean }, "flow">;
export type RoutineNodeType = Node<{ name: string; kind: string; type: string; chosen: boolean }, "routine">;
export type WireEdgeType = Edge<{ source: string; destination: string; lossless: boolean; chosen: boolean; way: Way | undefined }, "wire">;
export type Way = { readonly bends: readonly Point[]; readonly label: Point };

export interface Elements {
  readonly flows: FlowNodeType[];
  readonly routines: RoutineNodeType[];
  readonly wires: WireEdgeType[];
}

export function elementsOf(structure: Structure, { flows, routines, wires }: Placed, selection: Selection | null): Elements {
  const is = (kind: string, name: string): boolean => selection?.kind === kind && "name" in selection && selection.name === name;
  const flowNodes: FlowNodeType[] = [];
  for (const [name, box] of flows)
    flowNodes.push({
      id: `f ${name}`,
      type: "flow",
      position: { x: box.x, y: box.y },
      width: box.width,
      height: box.height,
      data: { name, chosen: is("flow", name) },
    });
  const routineNodes: RoutineNodeType[] = [];
  for (const routine of structure.routines) {
    const box = routines.get(routine.name);
    if (!box) continue;
    routineNodes.push({
      id: `r ${routine.name}`,
      type: "routine",
      zIndex: 2,
      position: { x: box.x, y: box.y },
      width: box.width,
      height: box.height,
      data: { name: routine.name, kind: routine.kind, type: routine.type, chosen: is("routine", routine.name) },
    });
  }
  const known = new Set(structure.routines.map((routine) => routine.name));
  const edges = structure.wires
    .filter((wire) => known.has(wire.source) && known.has(wire.destination))
    .map((wire): WireEdgeType => ({
      id: JSON.stringify([wire.source, wire.destination]),
      type: "wire",
      source: `r ${wire.source}`,
      target: `r ${wire.destination}`,
      zIndex: 1,
      data: {
        source: wire.source,
        destination: wire.destination,
        lossless: wire.lossless,
        way: wires.get(wireKey(wire.source, wire.destination)),
        chosen: selection?.kind === "wire" && selection.source === wire.source && selection.destination === wire.destination,
      },
    }));
  return { flows: flowNodes, routines: routineNodes, wires: edges };
}
