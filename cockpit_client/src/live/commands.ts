/** Commands to the pipe with a word about what came of them. */

import { useState } from "react";
import { useCockpit } from "./access";
import { notify } from "./notices";

export interface Sender {
  readonly busy: boolean;
  /** Sends; says `done` (or what went wrong) to the user; resolves to the reply, or null if it failed. */
  send(verb: string, args: Readonly<Record<string, unknown>>, done: string | null): Promise<unknown>;
}

export function useSender(): Sender {
  const cockpit = useCockpit();
  const [underWay, setUnderWay] = useState(0);
  const send: Sender["send"] = async (verb, args, done) => {
    setUnderWay((count) => count + 1);
    try {
      const reply = await cockpit.command(verb, args);
      if (done !== null) notify("done", done);
      return reply;
    } catch (error) {
      notify("failed", error instanceof Error ? error.message : String(error));
      return null;
    } finally {
      setUnderWay((count) => count - 1);
    }
  };
  return { busy: underWay > 0, send };
}
