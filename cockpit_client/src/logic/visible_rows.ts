/** Which rows of a long list with rows of one height have to be drawn. */

export interface Rows {
  readonly first: number;
  readonly last: number;
}

/** Rows first (included) to last (not included), with some more on both sides for smooth scrolling. */
export function visibleRows(top: number, height: number, row: number, total: number, more = 10): Rows {
  const first = Math.max(0, Math.floor(top / row) - more);
  const last = Math.min(total, Math.ceil((top + height) / row) + more);
  return { first: Math.min(first, last), last };
}

/** Whether the list is scrolled to its end, give or take a row. */
export function atEnd(top: number, height: number, whole: number, row: number): boolean {
  return top + height >= whole - row;
}
