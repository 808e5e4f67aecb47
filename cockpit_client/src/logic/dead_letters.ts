/** Dead letters: whose they are, and what came of trying them again. */

import type { DeadLetter, PipeStatus, RequeueReply } from "../protocol/records";

/** A routine, or null: routines that only an earlier run had. */
export interface LetterOwner {
  readonly routine: string | null;
}

/** How many there are of routines that the pipe does not have any more. */
export function goneLetters(status: PipeStatus): number {
  const known = status.routines.reduce((sum, routine) => sum + (routine.dead_letters ?? 0), 0);
  return Math.max(0, (status.dead_letters ?? 0) - known);
}

/** Those of a page that are the owner's. */
export function lettersOf(owner: LetterOwner, letters: readonly DeadLetter[], routines: readonly string[]): readonly DeadLetter[] {
  return letters.filter((letter) => (owner.routine === null ? !routines.includes(letter.routine) : letter.routine === owner.routine));
}

/** What came of it, in a sentence. */
export function requeueWords(reply: RequeueReply): string {
  const parts = [`${reply.requeued} requeued`];
  const [first] = reply.failed;
  if (first) parts.push(`${reply.failed.length} failed again (${first.number}: ${first.reason})`);
  if (reply.left > 0) parts.push(`${reply.left} left for another time`);
  return parts.join(", ");
}
