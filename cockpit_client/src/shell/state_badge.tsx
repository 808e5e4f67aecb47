const TONES: Readonly<Record<string, string>> = {
  running: "good",
  starting: "busy",
  stopping: "busy",
  restarting: "busy",
  failed: "bad",
  killed: "off",
  ended: "off",
  gone: "off",
  finished: "done",
};

export function tone(state: string): string {
  return TONES[state] ?? "idle";
}

/** A state as a word with a colour; the word alone says it too. */
export function StateBadge({ state }: { state: string }) {
  return <span className={`badge ${tone(state)}`} data-state={state}>{state}</span>;
}
