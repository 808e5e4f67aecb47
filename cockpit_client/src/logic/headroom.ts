/** Room around what stands in the heads of flows: wires go below their own flow's head, and around those of others. */

import type { Box, Point } from "./layout";

export const HEAD = 36;
/** Half of what a wire says about itself, and a little air. */
const CLEAR = 18;

export interface Way {
  readonly bends: readonly Point[];
  readonly label: Point;
}

export interface Run extends Way {
  readonly key: string;
  /** The flows at its ends. */
  readonly flows: readonly (string | undefined)[];
}

/** Flows grown upwards over the wires of their own that would run through their heads. */
export function withHeadroom(flows: ReadonlyMap<string, Box>, runs: readonly Run[]): Map<string, Box> {
  const made = new Map<string, Box>();
  for (const [flow, box] of flows) {
    const own = runs.filter((run) => run.flows.includes(flow)).flatMap((run) => [...run.bends, run.label]);
    const top = Math.min(box.y, ...own.filter((point) => inHead(point, box)).map((point) => point.y - CLEAR - HEAD));
    made.set(flow, { ...box, y: top, height: box.height + box.y - top });
  }
  return made;
}

/** The way of a wire, above the heads of flows that it has nothing to do with. */
export function aroundHeads(run: Run, flows: ReadonlyMap<string, Box>): Way {
  const others = [...flows].filter(([flow]) => !run.flows.includes(flow)).map(([, box]) => box);
  const lift = (point: Point): Point => {
    const under = others.find((box) => inHead(point, box));
    return under ? { x: point.x, y: under.y - CLEAR } : point;
  };
  return { bends: run.bends.map(lift), label: lift(run.label) };
}

function inHead({ x, y }: Point, box: Box): boolean {
  return x >= box.x && x <= box.x + box.width && y >= box.y - CLEAR && y <= box.y + HEAD;
}
