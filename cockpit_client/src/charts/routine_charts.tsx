import { memo, useMemo } from "react";
import { useCockpit } from "../live/access";
import { usePart } from "../live/signal";
import { latency, rate } from "../logic/format";
import { ChartGroup, type ChartOf } from "./chart_group";

const CHARTS: readonly ChartOf[] = [
  { title: "rate", show: rate, lines: [{ label: "rate", series: "rate", colour: "line-1", band: true }] },
  {
    title: "main_logic",
    show: latency,
    lines: [
      { label: "half", series: "logic_p50", colour: "line-1" },
      { label: "99 %", series: "logic_p99", colour: "line-2" },
    ],
  },
  {
    title: "age of data",
    show: latency,
    lines: [
      { label: "half", series: "age_p50", colour: "line-1" },
      { label: "99 %", series: "age_p99", colour: "line-2" },
    ],
  },
  {
    title: "errors and missed ticks a second",
    show: rate,
    lines: [
      { label: "errors", series: "errors", colour: "line-bad" },
      { label: "missed", series: "skipped", colour: "line-2" },
    ],
  },
];

const DROPS: readonly ChartOf[] = [{ title: "dropped on the way here", show: rate, lines: [{ label: "dropped", series: "dropped", colour: "line-drop", band: true }] }];

/** Rate, time, age and drops of a routine. Drops happen on the wires that lead to it: one chart each. */
export const RoutineCharts = memo(function RoutineCharts({ pipe, name }: { pipe: string; name: string }) {
  const wires = usePart(useCockpit().structure, (one) => one?.wires);
  const arriving = useMemo(() => wires?.filter((wire) => wire.destination === name && !wire.lossless).slice(0, 4) ?? [], [wires, name]);
  const subject = useMemo(() => ({ routine: name }), [name]);
  return (
    <>
      <ChartGroup pipe={pipe} subject={subject} charts={CHARTS} />
      {arriving.map((wire) => <Drops key={wire.source} pipe={pipe} source={wire.source} destination={name} />)}
    </>
  );
});

function Drops({ pipe, source, destination }: { pipe: string; source: string; destination: string }) {
  const charts = useMemo(() => DROPS.map((chart) => ({ ...chart, title: `dropped from ${source}` })), [source]);
  return <ChartGroup pipe={pipe} subject={{ wire: `${source}->${destination}` }} charts={charts} />;
}
