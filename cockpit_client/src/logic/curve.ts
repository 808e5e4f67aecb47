/** The path of a wire through its bends, as SVG writes it. */

import type { Point } from "./layout";

const round = (value: number): number => Math.round(value * 10) / 10;
const text = (point: Point): string => `${round(point.x)},${round(point.y)}`;

/** A smooth curve that leaves and arrives level: between two points each half bends one way. */
export function curve(points: readonly Point[]): string {
  const [first, ...rest] = points;
  if (!first) return "";
  let path = `M${text(first)}`;
  let before = first;
  for (const point of rest) {
    const reach = Math.abs(point.x - before.x) / 2;
    path += ` C${text({ x: before.x + reach, y: before.y })} ${text({ x: point.x - reach, y: point.y })} ${text(point)}`;
    before = point;
  }
  return path;
}
