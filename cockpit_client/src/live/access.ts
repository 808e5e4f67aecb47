/** The one cockpit of the page, and what its user may do. */

import { createContext, useContext, useEffect, useState } from "react";
import type { Cockpit } from "./cockpit";
import { useSignal } from "./signal";

export const CockpitContext = createContext<Cockpit | null>(null);

export function useCockpit(): Cockpit {
  const cockpit = useContext(CockpitContext);
  if (!cockpit) throw new Error("no cockpit around this component");
  return cockpit;
}

/** Whether the user may send commands at all. */
export function useMayDrive(): boolean {
  const session = useSignal(useCockpit().session);
  return typeof session === "object" && session.role === "operator";
}

/** The time, seconds since the epoch, once a second. */
export function useClock(): number {
  const [now, setNow] = useState(() => Date.now() / 1000);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now() / 1000), 1_000);
    return () => clearInterval(timer);
  }, []);
  return now;
}
