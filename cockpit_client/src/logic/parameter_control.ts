/** The form control that fits a parameter. */

import type { ParameterStatus } from "../protocol/records";
import { type Control, controlFor } from "./argument_hint";

export function parameterControl(parameter: ParameterStatus): Control {
  if (parameter.choices) return { kind: "choice", choices: parameter.choices };
  return controlFor(parameter.type);
}
