import { useEffect, useState } from "react";
import { useCockpit } from "../live/access";
import { CommandFailed } from "../live/cockpit";
import { NO_RESULTS, type Results, withSketches } from "../logic/results";
import type { Sketches } from "../protocol/records";

const SECOND = 1_000;
/** Of a pipe that cannot tell, or is gone for now. */
const AGAIN = 5_000;

/** What a routine shows, asked for again and again while this is on the page: nobody who does not look costs anything. */
export function useResults(routine: string): Results {
  const cockpit = useCockpit();
  const [results, setResults] = useState(NO_RESULTS);
  useEffect(() => {
    let over = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let known = NO_RESULTS;
    const ask = async (): Promise<void> => {
      let pause = SECOND;
      try {
        const answer = (await cockpit.command("results", { routine, after: known.after })) as Sketches;
        if (over) return;
        known = withSketches(known, answer);
        setResults(known);
        if (answer.more) pause = 0;
      } catch (error) {
        // An older pipe knows no such verb; one that is away may come back.
        if (error instanceof CommandFailed && error.body.code === "unknown_name") return;
        pause = AGAIN;
      }
      if (!over) timer = setTimeout(() => void ask(), pause);
    };
    void ask();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [cockpit, routine]);
  return results;
}
