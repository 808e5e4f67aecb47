import { useEffect } from "react";
import { AuditPage } from "../audit/audit_page";
import { GraphPage } from "../graph/graph_page";
import { useCockpit } from "../live/access";
import { go, view as viewSignal } from "../live/location";
import { usePart, useSignal } from "../live/signal";
import { LogsPage } from "../logs/logs_page";
import type { Page } from "../logic/view";
import { SidePanel } from "../panel/side_panel";
import { ProblemsPage } from "../problems/problems_page";
import type { PipeSummary } from "../protocol/messages";
import { PipeBar } from "./pipe_bar";

const TITLES: Readonly<Record<Page, string>> = { graph: "Graph", logs: "Logs", problems: "Problems", audit: "Audit" };
const KEYS: Readonly<Record<string, Page>> = { g: "graph", l: "logs", p: "problems", a: "audit" };

/** One pipe: its bar, the tabs, and the panel of what is selected. */
export function PipePage({ pipe, summary }: { pipe: string; summary: PipeSummary | null }) {
  const cockpit = useCockpit();
  const view = useSignal(viewSignal);
  const refusal = useSignal(cockpit.refusal);
  useShortcuts();
  if (refusal)
    return (
      <main className="centre">
        <section className="card" role="alert">
          <h1>This pipe cannot be shown</h1>
          <p>{refusal.message}</p>
          <button className="button" onClick={() => go({ pipe: null })}>All pipes</button>
        </section>
      </main>
    );
  return (
    <>
      <PipeBar pipe={pipe} summary={summary} />
      <Tabs page={view.page} />
      <div className={`workspace ${view.selection ? "with-panel" : ""}`}>
        <main className="page" aria-label={TITLES[view.page]}>
          {view.page === "graph" && <GraphPage />}
          {view.page === "logs" && <LogsPage pipe={pipe} />}
          {view.page === "problems" && <ProblemsPage />}
          {view.page === "audit" && <AuditPage />}
        </main>
        {view.selection && <SidePanel pipe={pipe} selection={view.selection} />}
      </div>
    </>
  );
}

function Tabs({ page }: { page: Page }) {
  const problems = usePart(useCockpit().problems, (history) => history.standing.filter((one) => one.severity !== "note").length);
  return (
    <nav className="tabs" aria-label="Views">
      {(Object.keys(TITLES) as Page[]).map((one) => (
        <button key={one} className="tab" aria-current={one === page ? "page" : undefined} onClick={() => go({ page: one })} title={`Key ${one.charAt(0)}`}>
          {TITLES[one]}
          {one === "problems" && problems > 0 && <span className="tally">{problems}</span>}
        </button>
      ))}
    </nav>
  );
}

/** g, l, p, a go to the tabs, / to the search field, Escape closes the panel. */
function useShortcuts(): void {
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      const target = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey || target.closest("dialog")) return;
      if (event.key === "Escape" && !target.closest("input, textarea, select")) return go({ selection: null });
      if (target.closest("input, textarea, select")) return;
      const page = KEYS[event.key];
      if (page) go({ page });
      if (event.key === "/") {
        event.preventDefault();
        document.querySelector<HTMLInputElement>("input[data-search]")?.focus();
      }
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, []);
}
