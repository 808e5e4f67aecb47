import { type FormEvent, useId, useState } from "react";
import { useMayDrive } from "../live/access";
import { useSender } from "../live/commands";
import type { Control } from "../logic/argument_hint";
import { limitProblem, readValue, sliderStep, writeValue } from "../logic/form_value";
import { moment, plain } from "../logic/format";
import { parameterControl } from "../logic/parameter_control";
import type { ParameterStatus } from "../protocol/records";
import { ValueInput } from "./value_input";

interface Props {
  readonly routine: string;
  readonly parameter: ParameterStatus;
}

/** A parameter of a running routine: what it is now, and a control that fits its type and limits. */
export function ParameterControl({ routine, parameter }: Props) {
  const mayDrive = useMayDrive();
  const sender = useSender();
  const id = useId();
  const control = parameterControl(parameter);
  const live = writeValue(control, parameter.value);
  // What somebody types is theirs until it is sent or taken back; else the field follows the routine.
  const [typed, setTyped] = useState<string | null>(null);
  const [wrong, setWrong] = useState<string | null>(null);
  const text = typed ?? live;

  const put = async (value: unknown): Promise<void> => {
    const reply = await sender.send("set_parameters", { routine, values: { [parameter.name]: value } }, `${routine}: ${parameter.name} = ${plain(value)}`);
    if (reply !== null) setTyped(null);
  };
  const apply = async (wanted: string): Promise<void> => {
    const read = readValue(control, wanted);
    const problem = "problem" in read ? read.problem : typeof read.value === "number" ? limitProblem(read.value, parameter.minimum, parameter.maximum) : null;
    setWrong(problem);
    if (problem === null && "value" in read) await put(read.value);
  };
  const change = (next: string): void => {
    setTyped(next);
    setWrong(null);
    if (control.kind === "bool" || control.kind === "choice") void apply(next);
  };

  return (
    <form
      className="parameter"
      noValidate
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        void apply(text);
      }}
    >
      <label htmlFor={id}>
        {parameter.name}
        {parameter.unit && <small className="muted"> {parameter.unit}</small>}
      </label>
      <div className="parameter-inputs">
        <Slider parameter={parameter} control={control} text={text} disabled={!mayDrive} onText={setTyped} onDone={(value) => void apply(value)} />
        <ValueInput id={id} control={control} text={text} disabled={!mayDrive} describedBy={`${id}-about`} onText={change} />
        {typed !== null && typed !== live && control.kind !== "bool" && control.kind !== "choice" && (
          <>
            <button className="button small primary" disabled={sender.busy}>Set</button>
            <button className="button small" type="button" onClick={() => { setTyped(null); setWrong(null); }}>Undo</button>
          </>
        )}
        {typed === null && mayDrive && plain(parameter.value) !== plain(parameter.default) && (
          <button className="link" type="button" title={`default: ${plain(parameter.default)}`} onClick={() => void put(parameter.default)}>default</button>
        )}
      </div>
      <p className="muted" id={`${id}-about`}>{about(parameter)}</p>
      {wrong && <p className="wrong" role="alert">{wrong}</p>}
    </form>
  );
}

function about(parameter: ParameterStatus): string {
  const { minimum, maximum, help, changes } = parameter;
  const limits = minimum !== null && maximum !== null ? `${minimum} to ${maximum}` : minimum !== null ? `at least ${minimum}` : maximum !== null ? `at most ${maximum}` : "";
  const newest = changes.at(-1);
  return [help, limits, newest ? `set at ${moment(newest.time)}` : ""].filter((part) => part !== "").join(" · ");
}

interface SliderProps {
  readonly parameter: ParameterStatus;
  readonly control: Control;
  readonly text: string;
  readonly disabled: boolean;
  onText(text: string): void;
  onDone(text: string): void;
}

/** For a number with both limits; the value is sent when the slider is let go. */
function Slider({ parameter, control, text, disabled, onText, onDone }: SliderProps) {
  const { minimum, maximum } = parameter;
  if (control.kind !== "number" || minimum === null || maximum === null || maximum <= minimum) return null;
  const done = (event: { currentTarget: HTMLInputElement }): void => {
    if (event.currentTarget.value !== writeValue(control, parameter.value)) onDone(event.currentTarget.value);
  };
  return (
    <input
      type="range"
      aria-label={parameter.name}
      min={minimum}
      max={maximum}
      step={sliderStep(minimum, maximum, control.whole)}
      value={Number.isFinite(Number(text)) ? text : minimum}
      disabled={disabled}
      onChange={(event) => onText(event.target.value)}
      onPointerUp={done}
      onKeyUp={done}
    />
  );
}
