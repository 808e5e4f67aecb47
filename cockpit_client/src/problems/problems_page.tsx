import { useClock, useCockpit } from "../live/access";
import { go } from "../live/location";
import { usePart, useSignal } from "../live/signal";
import { goneLetters, type LetterOwner } from "../logic/dead_letters";
import { duration, moment } from "../logic/format";
import type { Cleared, Standing } from "../logic/problem_history";
import { NO_FILTER, type Selection } from "../logic/view";
import { DeadLetters } from "./dead_letters";

const WORDS = { failure: "needs somebody", warning: "look at it", note: "good to know" } as const;

/** What needs a person now, and what did a moment ago. */
export function ProblemsPage() {
  const { standing, cleared } = useSignal(useCockpit().problems);
  const now = useClock();
  return (
    <div className="problems">
      <h2>Now</h2>
      {standing.length === 0 && <p className="card all-well">All is well.</p>}
      <ul aria-label="Problems now">{standing.map((problem) => <ProblemCard key={problem.key} problem={problem} now={now} />)}</ul>
      {cleared.length > 0 && (
        <>
          <h2>Cleared since this page was opened</h2>
          <ul aria-label="Cleared problems">
            {cleared.map((problem) => <ClearedLine key={`${problem.key} ${problem.until}`} problem={problem} now={now} />)}
          </ul>
        </>
      )}
    </div>
  );
}

function ProblemCard({ problem, now }: { problem: Standing; now: number }) {
  const { where } = problem;
  return (
    <li className={`problem ${problem.severity}`} data-problem={problem.key}>
      <div className="problem-head">
        <span className="severity">{WORDS[problem.severity]}</span>
        <h3>{problem.title}</h3>
        <span className="muted">seen for {duration(now - problem.since)}</span>
      </div>
      <p>{problem.detail}</p>
      <p className="advice"><b>What to do:</b> {problem.advice}</p>
      {problem.letters && <Letters owner={problem.letters} />}
      {where && (
        <div className="buttons">
          <button className="button small" onClick={() => go({ selection: where })}>Show {label(where)}</button>
          <button className="button small" onClick={() => go({ page: "graph", selection: where })}>In the graph</button>
          {where.kind !== "wire" && (
            <button className="button small" onClick={() => go({ page: "logs", selection: null, logs: { ...NO_FILTER, [where.kind]: where.name } })}>Its log</button>
          )}
        </div>
      )}
    </li>
  );
}

function Letters({ owner }: { owner: LetterOwner }) {
  const count = usePart(useCockpit().now, (now) => {
    if (!now) return 0;
    return owner.routine === null ? goneLetters(now.status) : (now.routines.get(owner.routine)?.dead_letters ?? 0);
  });
  return <DeadLetters owner={owner} count={count} />;
}

function label(where: Selection): string {
  return where.kind === "wire" ? "the wire" : `${where.kind} ${where.name}`;
}

function ClearedLine({ problem, now }: { problem: Cleared; now: number }) {
  return (
    <li className="cleared" data-problem={problem.key}>
      <span className="good">✓</span> {problem.title}
      <span className="muted"> – from {moment(problem.since, now)} to {moment(problem.until, now)} ({duration(problem.until - problem.since)})</span>
    </li>
  );
}
