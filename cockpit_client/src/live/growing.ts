/** Lists that appear some at a time, so that a large one does not hold the page up. */

import { startTransition, useEffect, useMemo, useState } from "react";

/** The first of `all`, and `step` more after each moment in which the page could do something else; none before `ready`. */
export function useGrowing<T>(all: readonly T[], step: number, ready = true): readonly T[] {
  const [shown, setShown] = useState(0);
  const more = ready && shown < all.length;
  useEffect(() => {
    if (!more) return;
    const timer = setTimeout(() => startTransition(() => setShown((count) => count + step)));
    return () => clearTimeout(timer);
  }, [more, shown, step]);
  return useMemo(() => (shown < all.length ? all.slice(0, shown) : all), [all, shown]);
}
