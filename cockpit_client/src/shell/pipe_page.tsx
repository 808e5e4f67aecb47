import { lazy, Suspense, useEffect } from "react";
import { AuditPage } from "../audit/audit_page";
import { useCockpit } from "../live/access";
import { go, view as viewSignal } from "../live/location";
import { usePart, useSignal } from "../live/signal";
import type { Page } from "../logic/view";
import { ProblemsPage } from "../problems/problems_page";
import type { PipeSummary } from "../protocol/messages";
import { PipeBar } from "./pipe_bar";

// Parts that bring large libraries with them come by themselves: to run all of it at once would hold the page up.
const logs = () => import("../logs/logs_page");
const panel = () => import("../panel/side_panel");
const GraphPage = lazy(async () => ({ default: (await import("../graph/graph_page")).GraphPage }));
const LogsPage = lazy(async () => ({ default: (await logs()).LogsPage }));
const SidePanel = lazy(async () => ({ default: (await panel()).SidePanel }));
/** By then the first view stands. */
const FETCH_REST_MS = 1_500;

const TITLES: Readonly<Record<Page, string>> = { graph: "Graph", logs: "Logs", problems: "Problems", audit: "Audit" };
const KEYS: Readonly<Record<string, Page>> = { g: "graph", l: "logs", p: "problems", a: "audit" };

/** One pipe: its bar, the tabs, and the panel of what is selected. */
export function PipePage({ pipe, summary }: { pipe: string; summary: PipeSummary | null }) {
  const cockpit = useCockpit();
  const view = useSignal(viewSignal);
  const refusal = useSignal(cockpit.refusal);
  const connected = useSignal(cockpit.connection).connected;
  const old = !connected || summary?.connected === false;
  useShortcuts();
  useRest();
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
      <div className={`workspace ${old ? "old" : ""}`}>
        <main className="page" aria-label={TITLES[view.page]}>
          <Suspense>
            {view.page === "graph" && <GraphPage />}
            {view.page === "logs" && <LogsPage pipe={pipe} />}
            {view.page === "problems" && <ProblemsPage />}
            {view.page === "audit" && <AuditPage />}
          </Suspense>
        </main>
        <Suspense>{view.selection && <SidePanel pipe={pipe} selection={view.selection} />}</Suspense>
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

/** Fetches the parts that are not shown yet, one after the other, so that a first click does not wait for them. */
function useRest(): void {
  useEffect(() => {
    // What cannot be fetched now is when it is needed, and says so then.
    const timer = setTimeout(() => void panel().then(logs).catch(() => undefined), FETCH_REST_MS);
    return () => clearTimeout(timer);
  }, []);
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
