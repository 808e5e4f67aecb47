/** The one cockpit of the page, and what its user may do. */

import { createContext, useContext, useEffect, useState } from "react";
import type { Cockpit } from "./cockpit";
import { usePart, useSignal } from "./signal";

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

/** Whether commands would arrive: the server is there, and this pipe. */
export function useReachable(pipe: string): boolean {
  const cockpit = useCockpit();
  const there = usePart(cockpit.pipes, (pipes) => pipes.find((one) => one.id === pipe)?.connected ?? false);
  return useSignal(cockpit.connection).connected && there;
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
