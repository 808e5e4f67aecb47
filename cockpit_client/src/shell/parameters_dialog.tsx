import { type FormEvent, useEffect, useState } from "react";
import { useSender } from "../live/commands";
import { readValue, writeValue } from "../logic/form_value";
import type { SharedParameters } from "../protocol/records";
import { ValueInput } from "../panel/value_input";
import { Dialog } from "./dialog";

const JSON_VALUE = { kind: "json" } as const;

/** The parameters of the pipe as a whole: what it was given, and what it still waits for. */
export function ParametersDialog({ onClose }: { onClose: () => void }) {
  const { send, busy } = useSender();
  const [known, setKnown] = useState<SharedParameters | null>(null);
  const [texts, setTexts] = useState<Readonly<Record<string, string>>>({});
  const [wrong, setWrong] = useState<Readonly<Record<string, string>>>({});
  const [added, setAdded] = useState("");
  useEffect(() => {
    void send("shared_parameters", {}, null).then((reply) => setKnown(reply as SharedParameters | null));
    // Asked once: what is typed meanwhile must not be overwritten.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, []);
  if (!known) return <Dialog title="Parameters of the pipe" onClose={onClose}><p className="muted">Asking the pipe…</p></Dialog>;

  const names = [...new Set([...known.missing, ...Object.keys(known.values)])];
  const submit = async (submitted: FormEvent): Promise<void> => {
    submitted.preventDefault();
    const values: Record<string, unknown> = {};
    const problems: Record<string, string> = {};
    const typed = { ...texts, ...(added.trim() && { [added.trim()]: texts[""] ?? "" }) };
    for (const [name, text] of Object.entries(typed)) {
      if (name === "") continue;
      const read = readValue(JSON_VALUE, text);
      if ("problem" in read) problems[name === added.trim() ? "" : name] = read.problem;
      else values[name] = read.value;
    }
    setWrong(problems);
    if (Object.keys(problems).length > 0 || Object.keys(values).length === 0) return;
    const reply = (await send("set_shared_parameters", { values }, `${Object.keys(values).join(", ")}: set`)) as SharedParameters | null;
    if (!reply) return;
    setKnown(reply);
    setTexts({});
    setAdded("");
  };
  const field = (name: string, text: string) => (
    <>
      <ValueInput
        id={`shared-${name}`}
        control={JSON_VALUE}
        text={text}
        describedBy={wrong[name] ? `shared-${name}-wrong` : undefined}
        onText={(typed) => {
          setTexts({ ...texts, [name]: typed });
          setWrong(Object.fromEntries(Object.entries(wrong).filter(([one]) => one !== name)));
        }}
      />
      {wrong[name] && <em className="wrong" id={`shared-${name}-wrong`}>{wrong[name]}</em>}
    </>
  );
  return (
    <Dialog title="Parameters of the pipe" onClose={onClose}>
      <form onSubmit={(submitted) => void submit(submitted)} noValidate aria-label="Parameters of the pipe">
        {names.length === 0 && <p className="muted">It has none yet. Each routine finds what is set here in self.parameters.</p>}
        {names.map((name) => (
          <label className="field" key={name} htmlFor={`shared-${name}`}>
            <span>
              {name}
              {known.missing.includes(name) && <b title="the pipe waits for it"> *</b>}
            </span>
            {field(name, texts[name] ?? (name in known.values ? writeValue(JSON_VALUE, known.values[name]) : ""))}
          </label>
        ))}
        <label className="field">
          <span>Name of another one</span>
          <input value={added} maxLength={200} onChange={(change) => setAdded(change.target.value)} />
        </label>
        {added.trim() !== "" && (
          <label className="field" htmlFor="shared-">
            <span>Its value</span>
            {field("", texts[""] ?? "")}
          </label>
        )}
        <div className="dialog-foot">
          <button type="button" className="button" onClick={onClose}>Close</button>
          <button className="button primary" disabled={busy}>{busy ? "Waiting…" : "Set"}</button>
        </div>
      </form>
    </Dialog>
  );
}
