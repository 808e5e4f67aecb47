/** Colours of the style sheet, for what is drawn on a canvas. */

import type { Shade } from "../live/theme";

const known = new Map<string, string>();

/** Asked for once in each shade: the answer can take as long as the page needs to work out all its styles. */
export function colourIn(shade: Shade, name: string): string {
  const key = `${shade} ${name}`;
  const found = known.get(key) ?? (getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim() || "#888");
  known.set(key, found);
  return found;
}

/** How the axes of all charts look. */
export function axisIn(shade: Shade) {
  const grid = colourIn(shade, "grid");
  return { stroke: colourIn(shade, "muted"), grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1, size: 4 }, font: "11px system-ui, sans-serif" };
}
