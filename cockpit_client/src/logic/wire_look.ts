/** How a wire is drawn: what it does now decides. */

import type { WireStatus } from "../protocol/records";
import type { WireTrend } from "./trends";

/** `blocked`: its source waits for room (lossless). `dropping`: newer data passes older. `idle`: nothing moves. */
export type WireLook = "flowing" | "idle" | "blocked" | "dropping";

/** A source that waits for more than this share of its time is held up by the wire. */
export const BLOCKED_SHARE = 0.25;

export function wireLook(wire: WireStatus, trend: WireTrend): WireLook {
  if (wire.lossless && (trend.blocked > BLOCKED_SHARE || (wire.blocked && wire.queued >= wire.capacity))) return "blocked";
  if (trend.dropping > 0) return "dropping";
  return wire.rate > 0 ? "flowing" : "idle";
}

/** What a wire does, in words. */
export function wireWords(wire: WireStatus, trend: WireTrend): string {
  const rule = wire.lossless ? "lossless" : "real-time";
  switch (wireLook(wire, trend)) {
    case "blocked":
      return `${rule}, blocked: its source waits ${Math.round(trend.blocked * 100)} % of the time`;
    case "dropping":
      return `${rule}, drops ${trend.dropping.toFixed(1)} messages a second`;
    case "idle":
      return `${rule}, idle`;
    case "flowing":
      return `${rule}, flowing`;
  }
}
