import type { ParameterStatus } from "../protocol/records";
import { ParameterControl } from "./parameter_control";

export function ParameterList({ routine, parameters }: { routine: string; parameters: readonly ParameterStatus[] }) {
  return (
    <div className="parameters">
      {parameters.map((parameter) => <ParameterControl key={parameter.name} routine={routine} parameter={parameter} />)}
    </div>
  );
}
