/** Which events can be sent to a part of a pipe. */

import type { EventStructure, Structure } from "../protocol/records";

/** Nothing: the whole pipe. */
export interface Target {
  readonly flow?: string;
  readonly routine?: string;
}

/** The events of the users' own that somebody in the target handles, by name. */
export function eventsOf(structure: Structure, target: Target): readonly EventStructure[] {
  const found = new Map<string, EventStructure>();
  for (const routine of structure.routines) {
    if (target.routine !== undefined && routine.name !== target.routine) continue;
    if (target.flow !== undefined && routine.flow !== target.flow) continue;
    for (const event of routine.events) {
      const known = found.get(event.name);
      found.set(event.name, known ? merged(known, event) : event);
    }
  }
  return [...found.values()].sort((one, other) => one.name.localeCompare(other.name));
}

function merged(one: EventStructure, other: EventStructure): EventStructure {
  const names = new Set(one.arguments.map((argument) => argument.name));
  return { ...one, arguments: [...one.arguments, ...other.arguments.filter((argument) => !names.has(argument.name))] };
}
