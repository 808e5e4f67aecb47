import { useEffect, useState } from "react";
import { RangeSelect } from "../charts/range_select";
import { http, logWords } from "../live/http";
import { go, view } from "../live/location";
import { useSignal } from "../live/signal";
import { count, moment } from "../logic/format";
import { stack, type Stack } from "../logic/histogram_stack";
import { rangeSeconds, refreshSeconds } from "../logic/ranges";

const BUCKETS = 90;
const HEIGHT = 56;

/** How many records of each level there were over time; a click on a bar shows the records of that time. */
export function LevelHistogram({ pipe }: { pipe: string }) {
  const { logs, range } = useSignal(view);
  const stacked = useHistogram(pipe, JSON.stringify({ ...logs, from: null, to: null }), rangeSeconds(range));
  return (
    <div className="histogram">
      <div className="histogram-head">
        <RangeSelect />
        {stacked?.totals.map(([level, total]) => <span key={level} className={`total ${level.toLowerCase()}`}>{level} {count(total)}</span>)}
      </div>
      {stacked ? <Bars stacked={stacked} /> : <div className="histogram-space" />}
    </div>
  );
}

function Bars({ stacked }: { stacked: Stack }) {
  const { most, bars, from, seconds } = stacked;
  const chosen = useSignal(view).logs;
  const show = (index: number): void => go({ logs: { ...chosen, from: from + index * seconds, to: from + (index + 1) * seconds } });
  return (
    <svg className="bars" viewBox={`0 0 ${bars.length} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={`Records from ${moment(from)} on, ${count(most)} at most in ${Math.round(seconds)} s`}>
      {bars.map((bar, index) => (
        <g key={index} onClick={() => show(index)}>
          <title>{`${moment(from + index * seconds)}: ${bar.parts.map((part) => `${part.level} ${part.count}`).join(", ") || "none"}`}</title>
          <rect className="hit" x={index} y={0} width={1} height={HEIGHT} />
          {bar.parts.map((part) => (
            <rect key={part.level} className={`bar ${part.level.toLowerCase()}`} x={index + 0.08} width={0.84} y={HEIGHT - (part.end / most) * HEIGHT} height={((part.end - part.begin) / most) * HEIGHT} />
          ))}
        </g>
      ))}
    </svg>
  );
}

function useHistogram(pipe: string, filter: string, seconds: number): Stack | null {
  const [stacked, setStacked] = useState<Stack | null>(null);
  useEffect(() => {
    const asking = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = async (): Promise<void> => {
      const to = Date.now() / 1000;
      try {
        const words = { ...logWords(JSON.parse(filter) as Parameters<typeof logWords>[0]), from: to - seconds, to, buckets: BUCKETS };
        const histogram = await http.histogram(pipe, words, asking.signal);
        if (!asking.signal.aborted) setStacked(stack(histogram));
      } catch {
        // The table beside it says what is wrong; the bars stay as they were.
      }
      if (!asking.signal.aborted) timer = setTimeout(() => void ask(), Math.max(3, refreshSeconds(seconds)) * 1_000);
    };
    void ask();
    return () => {
      asking.abort();
      clearTimeout(timer);
    };
  }, [pipe, filter, seconds]);
  return stacked;
}
