/** The structure as nodes and edges of the graph's library. What changes each second, or by a click, is not in here. */

import type { Edge, Node } from "@xyflow/react";
import type { Way } from "../logic/headroom";
import type { Placed } from "../logic/layout";
import { wireKey } from "../logic/trends";
import type { Structure } from "../protocol/records";

export type FlowNodeType = Node<{ name: string }, "flow">;
export type RoutineNodeType = Node<{ name: string; kind: string; type: string }, "routine">;
export type WireEdgeType = Edge<{ source: string; destination: string; lossless: boolean; way: Way | undefined }, "wire">;

export interface Elements {
  readonly flows: FlowNodeType[];
  readonly routines: RoutineNodeType[];
  readonly wires: WireEdgeType[];
}

export function elementsOf(structure: Structure, { flows, routines, wires }: Placed): Elements {
  const flowNodes: FlowNodeType[] = [];
  for (const [name, box] of flows)
    flowNodes.push({
      id: `f ${name}`,
      type: "flow",
      position: { x: box.x, y: box.y },
      width: box.width,
      height: box.height,
      data: { name },
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
      data: { name: routine.name, kind: routine.kind, type: routine.type },
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
      },
    }));
  return { flows: flowNodes, routines: routineNodes, wires: edges };
}
