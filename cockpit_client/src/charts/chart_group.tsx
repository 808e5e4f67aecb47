import { useCallback, useMemo, useState } from "react";
import { view } from "../live/location";
import { usePart } from "../live/signal";
import { moment } from "../logic/format";
import { rangeSeconds } from "../logic/ranges";
import { Chart } from "./chart";
import { type Subject, useMetrics, type Zoom } from "./use_metrics";

/** One line of a chart: which series of the history, and how it looks. */
export interface LineOf {
  readonly label: string;
  readonly series: string;
  readonly colour: string;
  readonly band?: boolean;
}

export interface ChartOf {
  readonly title: string;
  readonly lines: readonly LineOf[];
  show(value: number): string;
}

/** The charts of one routine, wire or flow; zooming into one zooms all. */
export function ChartGroup({ pipe, subject, charts }: { pipe: string; subject: Subject; charts: readonly ChartOf[] }) {
  const range = usePart(view, (one) => one.range);
  const [zoomed, setZoomed] = useState<{ readonly range: string; readonly zoom: Zoom } | null>(null);
  const zoom = zoomed && zoomed.range === range ? zoomed.zoom : null;
  const seconds = rangeSeconds(range);
  const { metrics, problem } = useMetrics(pipe, subject, seconds, zoom);
  const drawn = useMemo(
    () => charts.map((chart) => ({ ...chart, lines: chart.lines.map((line) => ({ ...line, series: metrics?.series[line.series] })) })),
    [charts, metrics],
  );
  const onZoom = useCallback((next: Zoom | null): void => setZoomed(next && { range, zoom: next }), [range]);
  if (!metrics) return problem ? <p className="wrong">{problem}</p> : <div className="chart-space muted">…</div>;
  return (
    <>
      {problem && <p className="wrong">{problem}</p>}
      {zoom && (
        <p className="muted">
          {moment(zoom.from)} – {moment(zoom.to)} <button className="link" onClick={() => setZoomed(null)}>back</button>
        </p>
      )}
      {drawn.map((chart) => (
        <Chart key={chart.title} title={chart.title} times={metrics.times} span={metrics} lines={chart.lines} show={chart.show} onZoom={onZoom} />
      ))}
    </>
  );
}
