import type { NodeProps } from "@xyflow/react";
import { memo, useContext } from "react";
import { useCockpit } from "../live/access";
import { go, view } from "../live/location";
import { usePart } from "../live/signal";
import { bytes, percent } from "../logic/format";
import { hostsOf, hostsText } from "../logic/hosts";
import { replicasOf, waitsFor } from "../logic/replicas";
import { isChosen } from "../logic/view";
import { tone } from "../shell/state_badge";
import { FarContext } from "./distance";
import type { FlowNodeType } from "./elements";

/** A flow's frame around its routines. */
export const FlowNode = memo(function FlowNode({ data }: NodeProps<FlowNodeType>) {
  const cockpit = useCockpit();
  const state = usePart(cockpit.now, (now) => now?.status.flows.find((one) => one.name === data.name)?.state);
  const waiting = usePart(cockpit.now, (now) => waitsFor(now?.status.flows.find((one) => one.name === data.name)));
  const structure = usePart(cockpit.structure, (one) => one);
  const replicas = usePart(cockpit.now, (now) => replicasOf(data.name, structure, now?.status));
  const hosts = usePart(cockpit.now, (now) => hostsOf(data.name, now?.status).join(", "));
  const far = useContext(FarContext);
  const chosen = usePart(view, (one) => isChosen(one, "flow", data.name));
  return (
    <div className={`flow-node ${chosen ? "chosen" : ""}`} data-state={state}>
      <button className="bare flow-head" onClick={() => go({ selection: { kind: "flow", name: data.name } })} title={`Flow ${data.name}`}>
        <span className={`dot ${tone(state ?? "")}`} />
        <span className="flow-name">{data.name}</span>
        {replicas !== null && <span className="flow-replicas" title={`${replicas} processes share its work`} data-replicas={replicas}>×{replicas}</span>}
        {hosts !== "" && <span className="flow-host" title={`runs on ${hosts}`}>on {hostsText(hosts.split(", "))}</span>}
        {waiting && <span className="flow-state" title={`waits for ${waiting}`}>waits for {waiting}</span>}
        {state !== undefined && state !== "running" && <span className="flow-state">{state}</span>}
        {!far && <Usage name={data.name} />}
      </button>
    </div>
  );
});

function Usage({ name }: { name: string }) {
  const flow = usePart(useCockpit().now, (now) => now?.status.flows.find((one) => one.name === name));
  if (!flow || flow.pid === null) return null;
  return <span className="muted">{percent(flow.cpu_percent)} · {bytes(flow.rss_bytes)}</span>;
}
