/** The history of one routine, wire or flow, kept fresh as long as it is shown. */

import { useEffect, useState } from "react";
import { http } from "../live/http";
import { refreshSeconds } from "../logic/ranges";
import type { Metrics } from "../protocol/messages";

export interface Zoom {
  readonly from: number;
  readonly to: number;
}

export type Subject = { readonly routine: string } | { readonly wire: string } | { readonly flow: string };

export interface Asked {
  readonly metrics: Metrics | null;
  readonly problem: string | null;
}

const POINTS = 300;

/** `seconds` back from now, or what `zoom` shows (that does not move on). */
export function useMetrics(pipe: string, subject: Subject, seconds: number, zoom: Zoom | null): Asked {
  const [asked, setAsked] = useState<Asked & { key: string }>({ key: "", metrics: null, problem: null });
  const key = JSON.stringify([pipe, subject, seconds, zoom]);
  useEffect(() => {
    const asking = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = async (): Promise<void> => {
      const now = Date.now() / 1000;
      const span = zoom ?? { from: now - seconds, to: now };
      try {
        const metrics = await http.metrics(pipe, { ...subject, ...span, points: POINTS }, asking.signal);
        setAsked({ key, metrics, problem: null });
      } catch (error) {
        if (asking.signal.aborted) return;
        setAsked((before) => ({ key, metrics: before.key === key ? before.metrics : null, problem: error instanceof Error ? error.message : String(error) }));
      }
      if (!asking.signal.aborted && !zoom) timer = setTimeout(() => void ask(), refreshSeconds(seconds) * 1_000);
    };
    void ask();
    return () => {
      asking.abort();
      clearTimeout(timer);
    };
    // The key says all that the question depends on; the objects themselves are new at each drawing.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [key]);
  return asked.key === key ? asked : { metrics: null, problem: null };
}
