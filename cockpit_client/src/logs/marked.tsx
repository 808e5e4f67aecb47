import { parts } from "../logic/marks";

const MOST = 500;

/** A message on one line, with what was searched for marked. */
export function Marked({ text, wanted }: { text: string; wanted: string }) {
  const line = text.slice(0, MOST).replace(/\s*\n\s*/g, " ⏎ ");
  if (!wanted) return <>{line}</>;
  return <>{parts(line, wanted).map((part, index) => (part.marked ? <mark key={index}>{part.text}</mark> : part.text))}</>;
}
