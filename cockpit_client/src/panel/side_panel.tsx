import type { ReactNode } from "react";
import { go } from "../live/location";
import type { Selection } from "../logic/view";
import { FlowPanel } from "./flow_panel";
import { RoutinePanel } from "./routine_panel";
import { WirePanel } from "./wire_panel";

/** Beside the page: all about what is selected. */
export function SidePanel({ pipe, selection }: { pipe: string; selection: Selection }) {
  switch (selection.kind) {
    case "routine":
      return <RoutinePanel key={`r ${selection.name}`} pipe={pipe} name={selection.name} />;
    case "flow":
      return <FlowPanel key={`f ${selection.name}`} pipe={pipe} name={selection.name} />;
    case "wire":
      return <WirePanel key={`w ${selection.source} ${selection.destination}`} pipe={pipe} source={selection.source} destination={selection.destination} />;
  }
}

interface FrameProps {
  readonly kind: string;
  readonly title: string;
  readonly badge?: ReactNode;
  readonly children: ReactNode;
}

export function PanelFrame({ kind, title, badge, children }: FrameProps) {
  return (
    <aside className="panel" aria-label={`${kind} ${title}`}>
      <header className="panel-head">
        <span className="muted">{kind}</span>
        <h2 title={title}>{title}</h2>
        {badge}
        <span className="spring" />
        <button className="bare close" aria-label="Close the panel" title="Escape" onClick={() => go({ selection: null })}>×</button>
      </header>
      <div className="panel-body">{children}</div>
    </aside>
  );
}

export function Section({ title, aside, children }: { title: string; aside?: ReactNode; children: ReactNode }) {
  return (
    <section className="section">
      <div className="section-head"><h3>{title}</h3>{aside}</div>
      {children}
    </section>
  );
}
