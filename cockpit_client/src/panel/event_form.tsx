import { type FormEvent, useId, useState } from "react";
import { useMayDrive } from "../live/access";
import { useSender } from "../live/commands";
import { controlFor } from "../logic/argument_hint";
import type { Target } from "../logic/event_choice";
import { readArguments } from "../logic/event_arguments";
import { plain } from "../logic/format";
import type { EventReply, EventStructure } from "../protocol/records";
import { ValueInput } from "./value_input";

interface Props {
  readonly event: EventStructure;
  readonly target: Target;
  /** The handler is not known: arguments are one JSON object. */
  readonly free?: boolean;
}

const WAIT_SECONDS = 10;

/** An event with a field for each argument of its handler; shows what the handlers returned. */
export function EventForm({ event, target, free = false }: Props) {
  const mayDrive = useMayDrive();
  const sender = useSender();
  const id = useId();
  const [texts, setTexts] = useState<Readonly<Record<string, string>>>({});
  const [wrong, setWrong] = useState<Readonly<Record<string, string>>>({});
  const [reply, setReply] = useState<EventReply | null>(null);

  const submit = async (submitted: FormEvent): Promise<void> => {
    submitted.preventDefault();
    const { params, problems } = readArguments(event.arguments, texts, free);
    setWrong(problems);
    if (Object.keys(problems).length > 0) return;
    setReply(null);
    setReply((await sender.send("event", { name: event.name, ...target, params, wait: WAIT_SECONDS }, null)) as EventReply | null);
  };

  const fields = free ? [{ name: "arguments", type: "dict", required: false, default: {} }] : event.arguments;
  return (
    <form className="event" onSubmit={(submitted) => void submit(submitted)} noValidate aria-label={`Event ${event.name}`}>
      <div className="event-head">
        <strong>{event.name}</strong>
        {event.help && <span className="muted">{event.help}</span>}
      </div>
      {fields.map((argument) => (
        <label className="field" key={argument.name} htmlFor={`${id}${argument.name}`}>
          <span>
            {argument.name}
            {argument.required && <b title="needed"> *</b>}
            {argument.type && <small className="muted"> {argument.type}</small>}
          </span>
          <ValueInput
            id={`${id}${argument.name}`}
            control={controlFor(argument.type)}
            text={texts[argument.name] ?? ""}
            disabled={!mayDrive}
            empty={argument.required ? undefined : `default: ${plain(argument.default)}`}
            describedBy={wrong[argument.name] ? `${id}${argument.name}-wrong` : undefined}
            onText={(text) => setTexts({ ...texts, [argument.name]: text })}
          />
          {wrong[argument.name] && <em className="wrong" id={`${id}${argument.name}-wrong`}>{wrong[argument.name]}</em>}
        </label>
      ))}
      <button className="button small primary" disabled={!mayDrive || sender.busy}>{sender.busy ? "Waiting…" : `Send ${event.name}`}</button>
      {reply && <EventResult reply={reply} />}
    </form>
  );
}

function EventResult({ reply }: { reply: EventReply }) {
  if (reply.routines.length === 0) return <p className="muted" role="status">Sent; no routine handles it.</p>;
  return (
    <dl className="event-result" role="status">
      {reply.routines.map((routine) => {
        const result = reply.results?.[routine];
        return (
          <div key={routine}>
            <dt>{routine}</dt>
            {!result && <dd className="muted">sent</dd>}
            {result && result.error === null && <dd className="good">{result.value === null ? "done" : plain(result.value)}</dd>}
            {result && result.error !== null && (
              <dd className="wrong">
                {result.error}
                {result.traceback && <pre className="traceback">{result.traceback}</pre>}
              </dd>
            )}
          </div>
        );
      })}
    </dl>
  );
}
