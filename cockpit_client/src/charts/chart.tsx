import { memo, useEffect, useMemo, useRef } from "react";
import type uPlot from "uplot";
import type { Shade } from "../live/theme";
import { moment, tick } from "../logic/format";
import { bridged } from "../logic/gaps";
import type { Series } from "../protocol/messages";
import { axisIn, colourIn } from "./colours";
import type { Zoom } from "./use_metrics";
import { usePlot } from "./use_plot";

export interface Line {
  readonly label: string;
  readonly series: Series | undefined;
  /** A colour of the style sheet. */
  readonly colour: string;
  /** Draw the band from the least to the greatest. */
  readonly band?: boolean;
}

interface Props {
  readonly title: string;
  readonly times: readonly number[];
  readonly span: Zoom;
  readonly lines: readonly Line[];
  show(value: number): string;
  onZoom(zoom: Zoom | null): void;
}

const HEIGHT = 132;

/** One chart over time. Dragging zooms, a double click goes back. */
export const Chart = memo(function Chart({ title, times, span, lines, show, onZoom }: Props) {
  const holder = useRef<HTMLDivElement>(null);
  const latest = useRef({ span, show, onZoom });
  useEffect(() => {
    latest.current = { span, show, onZoom };
  });
  const data = useMemo(() => table(times, lines), [times, lines]);
  const names = lines.map((line) => `${line.label}${line.band ? "+" : ""}`).join();
  usePlot(holder, names, (shade, width) => options(shade, width, lines, latest), data);
  return (
    <figure className="chart">
      <figcaption>{title}</figcaption>
      <div ref={holder} className="chart-plot" />
    </figure>
  );
});

type Latest = { current: { span: Zoom; show(value: number): string; onZoom(zoom: Zoom | null): void } };

function options(shade: Shade, width: number, lines: readonly Line[], latest: Latest): uPlot.Options {
  const axis = axisIn(shade);
  const series: uPlot.Series[] = [{ label: "at", value: (_plot, value: number | null) => (value === null ? "–" : moment(value)) }];
  const bands: uPlot.Band[] = [];
  for (const line of lines) {
    if (line.band) {
      const hidden = { stroke: "transparent", width: 0, points: { show: false }, class: "edge-of-band" };
      series.push({ ...hidden, label: `${line.label} most` }, { ...hidden, label: `${line.label} least` });
      bands.push({ series: [series.length - 2, series.length - 1], fill: `${colourIn(shade, line.colour)}33` });
    }
    series.push({
      label: line.label,
      stroke: colourIn(shade, line.colour),
      width: 1.5,
      points: { show: false },
      value: (_plot, value: number | null) => (value === null ? "–" : latest.current.show(value)),
    });
  }
  return {
    width,
    height: HEIGHT,
    series,
    bands,
    legend: { show: true, live: true, markers: { width: 0 } },
    cursor: { drag: { x: true, y: false, setScale: false }, points: { show: false }, y: false },
    scales: {
      x: { time: true, range: () => [latest.current.span.from, latest.current.span.to] },
      y: { range: (_plot, _least, most) => [0, most && most > 0 ? most * 1.1 : 1] },
    },
    axes: [
      { ...axis, space: 52, size: 26, values: (_plot, values, _axis, _space, step) => values.map((value) => tick(value, step)) },
      { ...axis, size: 58, space: 28, values: (_plot, values) => values.map((value) => latest.current.show(value)) },
    ],
    hooks: {
      ready: [(made) => made.over.addEventListener("dblclick", () => latest.current.onZoom(null))],
      setSelect: [
        (made) => {
          if (made.select.width < 4) return;
          const from = made.posToVal(made.select.left, "x");
          const to = made.posToVal(made.select.left + made.select.width, "x");
          made.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          latest.current.onZoom({ from, to });
        },
      ],
    },
  };
}

function table(times: readonly number[], lines: readonly Line[]): uPlot.AlignedData {
  const nothing = times.map(() => null);
  const columns = lines.flatMap((line) => {
    const mean = line.series?.mean ?? nothing;
    return line.band ? [line.series?.greatest ?? nothing, line.series?.least ?? nothing, mean] : [mean];
  });
  return [times, ...columns.map(bridged)] as unknown as uPlot.AlignedData;
}
