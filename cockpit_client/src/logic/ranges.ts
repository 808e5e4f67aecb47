/** How far back charts look. */

export const RANGES = [
  { name: "1m", label: "1 min", seconds: 60 },
  { name: "5m", label: "5 min", seconds: 300 },
  { name: "15m", label: "15 min", seconds: 900 },
  { name: "1h", label: "1 h", seconds: 3_600 },
  { name: "6h", label: "6 h", seconds: 21_600 },
  { name: "1d", label: "1 day", seconds: 86_400 },
  { name: "7d", label: "7 days", seconds: 604_800 },
  { name: "30d", label: "30 days", seconds: 2_592_000 },
] as const;

export type Range = (typeof RANGES)[number]["name"];

export function rangeSeconds(range: Range): number {
  return RANGES.find((known) => known.name === range)?.seconds ?? 900;
}

/** How long a chart may wait before it asks again: a three-hundredth of what it shows, 1 to 60 seconds. */
export function refreshSeconds(seconds: number): number {
  return Math.min(60, Math.max(1, seconds / 300));
}
