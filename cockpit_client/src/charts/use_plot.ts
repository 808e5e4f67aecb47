/** A uPlot in an element: made when it comes into sight, as wide as its room, one at a time. */

import { type RefObject, useEffect, useRef } from "react";
import uPlot from "uplot";
import { useSignal } from "../live/signal";
import { type Shade, shade } from "../live/theme";
import { inTurn } from "../live/turns";

/** Made a little before it is scrolled into sight. */
const NEAR = "200px";

/** `key` says what the options depend on; with another one the plot is made anew. */
export function usePlot(
  holder: RefObject<HTMLDivElement | null>,
  key: string,
  options: (shade: Shade, width: number) => uPlot.Options,
  data: uPlot.AlignedData,
): void {
  const plot = useRef<uPlot | null>(null);
  const colours = useSignal(shade);
  const latest = useRef({ options, data });
  useEffect(() => {
    latest.current = { options, data };
  });

  useEffect(() => {
    const element = holder.current;
    if (!element) return;
    let forget = (): void => undefined;
    const resized = new ResizeObserver(([entry]) => {
      const width = Math.floor(entry?.contentRect.width ?? 0);
      const made = plot.current;
      if (made && width > 0 && width !== made.width) made.setSize({ width, height: made.height });
    });
    const seen = new IntersectionObserver(
      (entries) => {
        const entry = entries.find((one) => one.isIntersecting);
        if (!entry) return;
        seen.disconnect();
        const width = Math.max(Math.floor(entry.boundingClientRect.width), 50);
        forget = inTurn(() => {
          plot.current = new uPlot(latest.current.options(colours, width), latest.current.data, element);
          resized.observe(element);
        });
      },
      { rootMargin: NEAR, scrollMargin: NEAR } as IntersectionObserverInit,
    );
    seen.observe(element);
    return () => {
      seen.disconnect();
      resized.disconnect();
      forget();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [holder, colours, key]);

  useEffect(() => {
    return plot.current ? inTurn(() => plot.current?.setData(data)) : undefined;
  }, [data, colours, key]);
}
