import { useMemo, useRef } from "react";
import type uPlot from "uplot";
import type { Shade } from "../live/theme";
import { moment, tick } from "../logic/format";
import { short } from "../logic/results";
import { axisIn, colourIn } from "./colours";
import { usePlot } from "./use_plot";

interface Props {
  readonly label: string;
  readonly at: readonly number[];
  readonly values: readonly (number | null)[];
  /** `at` is seconds since the epoch, not the index of an element. */
  readonly time: boolean;
}

const HEIGHT = 112;
/** No two marks are the same second. */
const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200];

/** A curve of a result: a number over time, or the elements of an array. */
export function ResultPlot({ label, at, values, time }: Props) {
  const holder = useRef<HTMLDivElement>(null);
  const data = useMemo(() => [at, values] as unknown as uPlot.AlignedData, [at, values]);
  usePlot(holder, String(time), (shade, width) => options(shade, width, time), data);
  return <div ref={holder} role="img" aria-label={label} className="result-plot" />;
}

function options(shade: Shade, width: number, time: boolean): uPlot.Options {
  const axis = axisIn(shade);
  return {
    width,
    height: HEIGHT,
    series: [
      { label: time ? "at" : "element", value: (_plot, value: number | null) => (value === null ? "–" : time ? moment(value) : String(value)) },
      { label: "value", stroke: colourIn(shade, "line-1"), width: 1.5, points: { size: 4, show: (made) => made.data[0].length < 20 }, value: (_plot, value: number | null) => short(value) },
    ],
    legend: { show: true, live: true, markers: { width: 0 } },
    cursor: { drag: { x: false, y: false }, y: false },
    scales: { x: { time }, y: { range: (_plot, least, most) => around(least, most) } },
    axes: [
      { ...axis, ...(time && { incrs: TIME_STEPS }), space: 52, size: 26, values: (_plot, marks, _axis, _space, step) => marks.map((mark) => (time ? tick(mark, step) : short(mark))) },
      { ...axis, size: 58, space: 26, values: (_plot, marks) => marks.map(short) },
    ],
  };
}

/** From the least to the greatest with some air; around a constant, too. */
function around(least: number | null, most: number | null): [number, number] {
  if (least === null || most === null) return [0, 1];
  const air = (most - least) * 0.08 || Math.abs(most) * 0.1 || 1;
  return [least - air, most + air];
}
