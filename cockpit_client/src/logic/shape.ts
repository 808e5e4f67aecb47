/** What of a structure decides where it is drawn. */

import type { Structure } from "../protocol/records";

/** Whether two structures are drawn at the same places. */
export function sameShape(one: Structure | null, other: Structure | null): boolean {
  return one !== null && other !== null && shape(one) === shape(other);
}

function shape(structure: Structure): string {
  const routines = structure.routines.map((routine) => [routine.flow, routine.name, routine.type, routine.kind]);
  const wires = structure.wires.map((wire) => [wire.source, wire.destination, wire.lossless]);
  return JSON.stringify([structure.flows, routines, wires]);
}
