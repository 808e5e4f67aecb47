/** Where the words of a search stand in a text. */

export interface Part {
  readonly text: string;
  readonly marked: boolean;
}

/** The text in pieces, each in a search's words or not; upper and lower case are the same. */
export function parts(text: string, wanted: string): readonly Part[] {
  const words = wanted
    .split(/[\s"]+/)
    .filter((word) => word !== "")
    .map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  if (words.length === 0) return [{ text, marked: false }];
  const pieces = text.split(new RegExp(`(${words.join("|")})`, "gi"));
  return pieces.map((piece, index) => ({ text: piece, marked: index % 2 === 1 })).filter((part) => part.text !== "");
}
