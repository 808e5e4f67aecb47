/** Work that takes a while, one piece for each moment in which the page could do something else. */

const waiting: (() => void)[] = [];
let taking = false;

/** Call it when those before it have had their turn; what this returns takes it back. */
export function inTurn(call: () => void): () => void {
  waiting.push(call);
  if (!taking) setTimeout(take);
  taking = true;
  return () => {
    const at = waiting.indexOf(call);
    if (at >= 0) waiting.splice(at, 1);
  };
}

function take(): void {
  const call = waiting.shift();
  taking = waiting.length > 0;
  if (taking) setTimeout(take);
  call?.();
}
