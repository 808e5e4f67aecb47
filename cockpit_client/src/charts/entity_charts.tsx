import { memo } from "react";
import { bytes, count, percent, rate } from "../logic/format";
import { ChartGroup, type ChartOf } from "./chart_group";

const share = (value: number): string => percent(value * 100);

const WIRE: readonly ChartOf[] = [
  { title: "rate", show: rate, lines: [{ label: "rate", series: "rate", colour: "line-1", band: true }] },
  { title: "dropped", show: rate, lines: [{ label: "dropped", series: "dropped", colour: "line-drop", band: true }] },
  { title: "waiting", show: count, lines: [{ label: "messages", series: "queued", colour: "line-2", band: true }] },
  { title: "source held up", show: share, lines: [{ label: "share", series: "blocked", colour: "line-bad", band: true }] },
];

const FLOW: readonly ChartOf[] = [
  { title: "CPU, of one core", show: percent, lines: [{ label: "CPU", series: "cpu", colour: "line-1", band: true }] },
  { title: "memory", show: bytes, lines: [{ label: "memory", series: "rss", colour: "line-2" }] },
  { title: "restarts so far", show: count, lines: [{ label: "restarts", series: "restarts", colour: "line-bad" }] },
];

export const WireCharts = memo(function WireCharts({ pipe, source, destination }: { pipe: string; source: string; destination: string }) {
  return <ChartGroup pipe={pipe} subject={{ wire: `${source}->${destination}` }} charts={WIRE} />;
});

export const FlowCharts = memo(function FlowCharts({ pipe, name }: { pipe: string; name: string }) {
  return <ChartGroup pipe={pipe} subject={{ flow: name }} charts={FLOW} />;
});
