import type { NodeProps } from "@xyflow/react";
import { memo } from "react";
import { useCockpit } from "../live/access";
import { go } from "../live/location";
import { usePart } from "../live/signal";
import { bytes, percent } from "../logic/format";
import { tone } from "../shell/state_badge";
import type { FlowNodeType } from "./elements";

/** A flow's frame around its routines. */
export const FlowNode = memo(function FlowNode({ data }: NodeProps<FlowNodeType>) {
  const flow = usePart(useCockpit().now, (now) => now?.status.flows.find((one) => one.name === data.name));
  return (
    <div className={`flow-node ${data.chosen ? "chosen" : ""}`} data-state={flow?.state}>
      <button className="bare flow-head" onClick={() => go({ selection: { kind: "flow", name: data.name } })} title={`Flow ${data.name}`}>
        <span className={`dot ${tone(flow?.state ?? "")}`} />
        <span className="flow-name">{data.name}</span>
        {flow && flow.state !== "running" && <span className="flow-state">{flow.state}</span>}
        {flow && flow.pid !== null && <span className="muted">{percent(flow.cpu_percent)} · {bytes(flow.rss_bytes)}</span>}
      </button>
    </div>
  );
});
