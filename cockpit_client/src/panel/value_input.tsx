import type { Control } from "../logic/argument_hint";
import { plain } from "../logic/format";

interface Props {
  readonly id: string;
  readonly control: Control;
  readonly text: string;
  readonly describedBy?: string | undefined;
  readonly disabled?: boolean;
  /** Offered as the empty choice, such as "default (3)". */
  readonly empty?: string | undefined;
  onText(text: string): void;
}

/** The form control that fits a type; what is typed stays text until it is sent. */
export function ValueInput({ id, control, text, describedBy, disabled, empty, onText }: Props) {
  const shared = { id, disabled, "aria-describedby": describedBy, value: text };
  const change = (event: { target: { value: string } }): void => onText(event.target.value);
  switch (control.kind) {
    case "bool":
      if (empty === undefined)
        return (
          <input id={id} type="checkbox" role="switch" disabled={disabled} aria-describedby={describedBy} checked={text === "true"} onChange={(event) => onText(String(event.target.checked))} />
        );
      return (
        <select {...shared} onChange={change}>
          <option value="">{empty}</option>
          <option value="true">true</option>
          <option value="false">false</option>
        </select>
      );
    case "choice":
      return (
        <select {...shared} onChange={change}>
          {(empty !== undefined || text === "") && <option value="">{empty ?? "choose…"}</option>}
          {control.choices.map((choice) => (
            <option key={JSON.stringify(choice)} value={JSON.stringify(choice)}>{plain(choice)}</option>
          ))}
        </select>
      );
    case "number":
      return <input {...shared} type="number" step={control.whole ? 1 : "any"} placeholder={empty} onChange={change} />;
    case "text":
      return <input {...shared} type="text" placeholder={empty} onChange={change} />;
    case "json":
      return <input {...shared} type="text" spellCheck={false} placeholder={empty ?? "JSON"} onChange={change} />;
  }
}
