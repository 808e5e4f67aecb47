import { Handle, type NodeProps, Position, useReactFlow } from "@xyflow/react";
import { memo, useContext, type FocusEvent } from "react";
import { useCockpit } from "../live/access";
import { go, view } from "../live/location";
import { usePart } from "../live/signal";
import { count, latency, rate } from "../logic/format";
import { isChosen } from "../logic/view";
import { tone } from "../shell/state_badge";
import { FarContext } from "./distance";
import type { RoutineNodeType } from "./elements";
import { SearchContext } from "./search_context";

/** A routine: its name and state, and from near how it does. */
export const RoutineNode = memo(function RoutineNode({ id, data }: NodeProps<RoutineNodeType>) {
  const { now } = useCockpit();
  const state = usePart(now, (one) => one?.routines.get(data.name)?.state ?? "unknown");
  const finished = usePart(now, (one) => one?.routines.get(data.name)?.finished ?? false);
  const search = useContext(SearchContext);
  const far = useContext(FarContext);
  const chosen = usePart(view, (one) => isChosen(one, "routine", data.name));
  const fits = search === "" || data.name.toLowerCase().includes(search);
  const flow = useReactFlow();
  // What is as it should be is said by the dot: names need the room.
  const word = finished && state !== "failed" ? "finished" : state;
  const show = (event: FocusEvent<HTMLElement>): void => {
    // Only for those who come by keyboard: who clicks sees it already.
    if (!event.currentTarget.matches(":focus-visible")) return;
    void flow.fitView({ nodes: [{ id }], maxZoom: Math.max(flow.getZoom(), 0.6), minZoom: flow.getZoom(), duration: 150 });
  };
  return (
    <>
      {data.kind !== "source" && <Handle type="target" position={Position.Left} />}
      <button
        className={`routine-node ${tone(state)} ${chosen ? "chosen" : ""} ${fits ? "" : "faded"}`}
        data-routine={data.name}
        data-state={state}
        aria-label={`Routine ${data.name}, ${state}`}
        aria-pressed={chosen}
        onClick={() => go({ selection: { kind: "routine", name: data.name } })}
        onFocus={show}
        title={`${data.name}: ${data.type}`}
      >
        <span className="routine-head">
          <span className={`dot ${tone(state)}`} />
          <span className="routine-name">{data.name}</span>
          {!far && word !== "running" && <span className="routine-state">{word}</span>}
        </span>
        {!far && <Facts name={data.name} kind={data.kind} />}
      </button>
      {data.kind !== "destination" && <Handle type="source" position={Position.Right} />}
    </>
  );
});

/** Rate, time in main_logic, what waits for it, errors: all that changes each second. */
function Facts({ name, kind }: { name: string; kind: string }) {
  const { now } = useCockpit();
  const status = usePart(now, (one) => one?.routines.get(name));
  const queued = usePart(now, (one) => one?.queued.get(name) ?? 0);
  return (
    <span className="routine-facts">
      <Fact term="rate" value={status ? rate(status.rate) : "–"} strong />
      <Fact term="logic" value={latency(status?.logic_time.p50 ?? null)} />
      <Fact term="queue" value={kind === "source" ? "–" : count(queued)} />
      <Fact term="errors" value={count(status?.errors ?? 0)} bad={(status?.errors ?? 0) > 0} />
    </span>
  );
}

const Fact = memo(function Fact({ term, value, strong = false, bad = false }: { term: string; value: string; strong?: boolean; bad?: boolean }) {
  return (
    <span className={`fact ${strong ? "strong" : ""} ${bad ? "bad" : ""}`}>
      <small>{term}</small>
      <span>{value}</span>
    </span>
  );
});
