import { useEffect, useRef } from "react";
import uPlot from "uplot";
import { useSignal } from "../live/signal";
import { shade } from "../live/theme";
import { moment, tick } from "../logic/format";
import { bridged } from "../logic/gaps";
import type { Series } from "../protocol/messages";
import type { Zoom } from "./use_metrics";

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
export function Chart({ title, times, span, lines, show, onZoom }: Props) {
  const holder = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const colours = useSignal(shade);
  const latest = useRef({ lines, span, show, onZoom });
  useEffect(() => {
    latest.current = { lines, span, show, onZoom };
  });
  const names = lines.map((line) => `${line.label}${line.band ? "+" : ""}`).join();

  useEffect(() => {
    const element = holder.current;
    if (!element) return;
    const made = new uPlot(options(element, latest.current.lines, latest), [[]], element);
    plot.current = made;
    const observer = new ResizeObserver(() => {
      if (element.clientWidth > 0) made.setSize({ width: element.clientWidth, height: HEIGHT });
    });
    observer.observe(element);
    const back = (): void => latest.current.onZoom(null);
    made.over.addEventListener("dblclick", back);
    return () => {
      observer.disconnect();
      made.over.removeEventListener("dblclick", back);
      made.destroy();
      plot.current = null;
    };
  }, [colours, names]);

  useEffect(() => {
    plot.current?.setData(table(times, lines));
  }, [times, lines, span, colours, names]);

  return (
    <figure className="chart">
      <figcaption>{title}</figcaption>
      <div ref={holder} />
    </figure>
  );
}

type Latest = { current: { span: Zoom; show(value: number): string; onZoom(zoom: Zoom | null): void } };

function options(element: HTMLElement, lines: readonly Line[], latest: Latest): uPlot.Options {
  const style = getComputedStyle(element);
  const colour = (name: string): string => style.getPropertyValue(`--${name}`).trim() || "#888";
  const axis = { stroke: colour("muted"), grid: { stroke: colour("grid"), width: 1 }, ticks: { stroke: colour("grid"), width: 1, size: 4 }, font: "11px system-ui, sans-serif" };
  const series: uPlot.Series[] = [{ label: "at", value: (_plot, value: number | null) => (value === null ? "–" : moment(value)) }];
  const bands: uPlot.Band[] = [];
  for (const line of lines) {
    if (line.band) {
      const hidden = { stroke: "transparent", width: 0, points: { show: false }, class: "edge-of-band" };
      series.push({ ...hidden, label: `${line.label} most` }, { ...hidden, label: `${line.label} least` });
      bands.push({ series: [series.length - 2, series.length - 1], fill: `${colour(line.colour)}33` });
    }
    series.push({
      label: line.label,
      stroke: colour(line.colour),
      width: 1.5,
      points: { show: false },
      value: (_plot, value: number | null) => (value === null ? "–" : latest.current.show(value)),
    });
  }
  return {
    width: Math.max(element.clientWidth, 50),
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
