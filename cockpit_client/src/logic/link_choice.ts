/** Between which routines a wire may be added. */

import type { Structure } from "../protocol/records";

/** Routines that take data and get none from `source` yet. */
export function possibleDestinations(structure: Structure, source: string): readonly string[] {
  const linked = new Set(structure.wires.filter((wire) => wire.source === source).map((wire) => wire.destination));
  return structure.routines
    .filter((routine) => routine.kind !== "source" && routine.name !== source && !linked.has(routine.name))
    .map((routine) => routine.name);
}
