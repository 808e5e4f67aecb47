import { type FormEvent, useId, useState } from "react";
import { useMayDrive } from "../live/access";
import { useSender } from "../live/commands";
import { readValue } from "../logic/form_value";
import { plain } from "../logic/format";
import type { CallReply } from "../protocol/records";
import { ValueInput } from "./value_input";

const JSON_VALUE = { kind: "json" } as const;
const SECONDS = 10;

/** Data for a routine to work on, and what its main_logic returns for it. */
export function CallForm({ routine }: { routine: string }) {
  const mayDrive = useMayDrive();
  const { send, busy } = useSender();
  const id = useId();
  const [text, setText] = useState("");
  const [wrong, setWrong] = useState<string | null>(null);
  const [reply, setReply] = useState<CallReply | null>(null);
  const submit = async (submitted: FormEvent): Promise<void> => {
    submitted.preventDefault();
    const read = readValue(JSON_VALUE, text);
    setReply(null);
    setWrong("problem" in read ? read.problem : null);
    if ("problem" in read) return;
    setReply((await send("call", { routine, data: read.value, timeout: SECONDS }, null)) as CallReply | null);
  };
  return (
    <form className="event" onSubmit={(submitted) => void submit(submitted)} noValidate aria-label={`Call ${routine}`}>
      <label className="field" htmlFor={id}>
        <span>data</span>
        <ValueInput id={id} control={JSON_VALUE} text={text} disabled={!mayDrive} describedBy={wrong ? `${id}-wrong` : undefined} onText={setText} />
        {wrong && <em className="wrong" id={`${id}-wrong`}>{wrong}</em>}
      </label>
      <button className="button small primary" disabled={!mayDrive || busy}>{busy ? "Waiting…" : "Call"}</button>
      {reply && <p className="event-result good" role="status">{reply.value === null ? "nothing was returned" : plain(reply.value)}</p>}
    </form>
  );
}
