import { BaseEdge, EdgeLabelRenderer, type EdgeProps, getBezierPath } from "@xyflow/react";
import { memo, useContext } from "react";
import { useCockpit } from "../live/access";
import type { Now } from "../live/cockpit";
import { go, view } from "../live/location";
import { usePart } from "../live/signal";
import { count, rate } from "../logic/format";
import { wireKey, wireTrendOf, type WireTrend } from "../logic/trends";
import { wireLook, type WireLook, wireWords } from "../logic/wire_look";
import type { WireStatus } from "../protocol/records";
import { curve } from "../logic/curve";
import { FarContext } from "./distance";
import type { Way } from "../logic/headroom";
import type { WireEdgeType } from "./elements";

/** A wire with what goes through it; one that is blocked and one that drops do not look alike. */
export const WireEdge = memo(function WireEdge(props: EdgeProps<WireEdgeType>) {
  const { source = "", destination = "", lossless = false, way } = props.data ?? {};
  const look = usePart(useCockpit().now, (now) => lookOf(now, source, destination));
  const far = useContext(FarContext);
  const chosen = usePart(view, ({ selection }) => selection?.kind === "wire" && selection.source === source && selection.destination === destination);
  const { path, x, y } = way ? routed(props, way) : straight(props);
  return (
    <>
      <BaseEdge path={path} className={`wire ${look} ${lossless ? "lossless" : "realtime"} ${chosen ? "chosen" : ""}`} interactionWidth={0} />
      {!far && (
        <EdgeLabelRenderer>
          <WireLabel source={source} destination={destination} look={look} chosen={chosen} x={x} y={y} />
        </EdgeLabelRenderer>
      )}
    </>
  );
});

function lookOf(now: Now | null, source: string, destination: string): WireLook {
  const wire = now?.wires.get(wireKey(source, destination));
  return now && wire ? wireLook(wire, wireTrendOf(now.trends, source, destination)) : "idle";
}

interface LabelProps {
  readonly source: string;
  readonly destination: string;
  readonly look: WireLook;
  readonly chosen: boolean;
  readonly x: number;
  readonly y: number;
}

/** What goes through a wire, in the middle of it. */
function WireLabel({ source, destination, look, chosen, x, y }: LabelProps) {
  const { now } = useCockpit();
  const wire = usePart(now, (one) => one?.wires.get(wireKey(source, destination)));
  const trends = usePart(now, (one) => one?.trends);
  const trend = trends && wireTrendOf(trends, source, destination);
  const words = wire && trend ? wireWords(wire, trend) : "";
  return (
    <button
      className={`wire-label nodrag nopan ${look} ${chosen ? "chosen" : ""}`}
      style={{ transform: `translate(-50%, -50%) translate(${x}px, ${y}px)` }}
      data-look={look}
      data-wire={`${source}->${destination}`}
      aria-label={`Wire from ${source} to ${destination}${words && `: ${words}`}`}
      title={words || `${source} → ${destination}`}
      onClick={() => go({ selection: { kind: "wire", source, destination } })}
    >
      <WireText wire={wire} trend={trend} look={look} />
    </button>
  );
}

interface Drawn {
  readonly path: string;
  readonly x: number;
  readonly y: number;
}

function straight(props: EdgeProps<WireEdgeType>): Drawn {
  const [path, x, y] = getBezierPath(props);
  return { path, x, y };
}

function routed({ sourceX, sourceY, targetX, targetY }: EdgeProps<WireEdgeType>, way: Way): Drawn {
  return { path: curve([{ x: sourceX, y: sourceY }, ...way.bends, { x: targetX, y: targetY }]), ...way.label };
}

interface TextProps {
  readonly wire: WireStatus | undefined;
  readonly trend: WireTrend | undefined;
  readonly look: string;
}

function WireText({ wire, trend, look }: TextProps) {
  if (!wire || !trend) return <span className="muted">…</span>;
  return (
    <>
      <span className="wire-rule" aria-hidden="true">{wire.lossless ? "▣" : "▷"}</span>
      <span>{rate(wire.rate)}</span>
      {look === "blocked" && <b>■ waits {Math.round(trend.blocked * 100)} % · {wire.queued}/{wire.capacity}</b>}
      {look === "dropping" && <b>▼ {rate(trend.dropping)}</b>}
      {look !== "dropping" && wire.dropped > 0 && <span className="muted">▼ {count(wire.dropped)}</span>}
    </>
  );
}

