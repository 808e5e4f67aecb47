import { useCallback, useEffect, useState } from "react";
import { useCockpit, useMayDrive } from "../live/access";
import { useSender } from "../live/commands";
import { notify } from "../live/notices";
import { usePart } from "../live/signal";
import { type LetterOwner, lettersOf, requeueWords } from "../logic/dead_letters";
import { moment, plain } from "../logic/format";
import type { DeadLetter, DeadLettersReply, RequeueReply } from "../protocol/records";
import { ConfirmDialog } from "../shell/confirm_dialog";

const MOST = 20;
const WAIT_SECONDS = 20;

/** The oldest dead letters of a routine with why they are, and the commands for them; asked for anew when their number changes. */
export function DeadLetters({ owner, count }: { owner: LetterOwner; count: number }) {
  const { letters, problem, ask } = useLetters(owner, count);
  const mayDrive = useMayDrive();
  if (problem) return <p className="wrong">{problem}</p>;
  if (!letters) return <p className="muted">…</p>;
  return (
    <div className="letters">
      {mayDrive && owner.routine !== null && letters.length > 1 && <AllButtons routine={owner.routine} count={count} onDone={ask} />}
      <ul aria-label={`Dead letters of ${owner.routine ?? "routines that are gone"}`}>
        {letters.map((letter) => <Letter key={letter.number} letter={letter} gone={owner.routine === null} onDone={ask} />)}
      </ul>
      {letters.length < count && <p className="muted">These are the oldest {letters.length} of {count}.</p>}
    </div>
  );
}

function useLetters(owner: LetterOwner, count: number) {
  const cockpit = useCockpit();
  const { routine } = owner;
  const names = usePart(cockpit.now, (now) => now?.status.routines.map((one) => one.name).join("\n"));
  const [letters, setLetters] = useState<readonly DeadLetter[] | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [asked, setAsked] = useState(0);
  useEffect(() => {
    let over = false;
    cockpit.command("dead_letters", routine === null ? { limit: 1_000 } : { routine, limit: MOST }).then(
      (reply) => {
        if (over) return;
        const found = lettersOf({ routine }, (reply as DeadLettersReply).letters, (names ?? "").split("\n"));
        setLetters(found.slice(0, MOST));
        setProblem(null);
      },
      (error: unknown) => {
        if (!over) setProblem(error instanceof Error ? error.message : String(error));
      },
    );
    return () => {
      over = true;
    };
  }, [cockpit, routine, count, names, asked]);
  const ask = useCallback(() => setAsked((before) => before + 1), []);
  return { letters, problem, ask };
}

function Letter({ letter, gone, onDone }: { letter: DeadLetter; gone: boolean; onDone: () => void }) {
  const mayDrive = useMayDrive();
  const sender = useSender();
  const { number } = letter;
  const send = async (verb: string, args: Readonly<Record<string, unknown>>, done: string): Promise<void> => {
    await sender.send(verb, { number, ...args }, done);
    onDone();
  };
  return (
    <li data-letter={number}>
      <details>
        <summary>
          <b>{number}</b> <time>{moment(letter.time)}</time> {letter.reason.split("\n")[0]}
        </summary>
        <p className="muted">
          {gone && `${letter.routine}, `}{letter.attempts} {letter.attempts === 1 ? "attempt" : "attempts"}
          {letter.earlier && ", left by an earlier run"}
        </p>
        <pre className="traceback">{plain(letter.data)}</pre>
        {letter.traceback && <pre className="traceback">{letter.traceback}</pre>}
      </details>
      {mayDrive && (
        <div className="buttons" role="group" aria-label={`Dead letter ${number}`}>
          {!gone && (
            <button className="button small" disabled={sender.busy} onClick={() => void send("requeue_dead_letter", { wait: WAIT_SECONDS }, `dead letter ${number} was done`)}>
              {sender.busy ? "Waiting…" : "Requeue"}
            </button>
          )}
          <button className="button small danger" disabled={sender.busy} onClick={() => void send("drop_dead_letter", {}, `dead letter ${number} was dropped`)}>Drop</button>
        </div>
      )}
    </li>
  );
}

function AllButtons({ routine, count, onDone }: { routine: string; count: number; onDone: () => void }) {
  const sender = useSender();
  const [asking, setAsking] = useState(false);
  const requeue = async (): Promise<void> => {
    const reply = (await sender.send("requeue_dead_letters", { routine, wait: WAIT_SECONDS }, null)) as RequeueReply | null;
    if (reply) notify(reply.ok ? "done" : "failed", requeueWords(reply));
    onDone();
  };
  const drop = async (): Promise<void> => {
    await sender.send("drop_dead_letters", { routine }, `the dead letters of ${routine} were dropped`);
    onDone();
  };
  return (
    <div className="buttons" role="group" aria-label={`All dead letters of ${routine}`}>
      <button className="button small" disabled={sender.busy} onClick={() => void requeue()}>{sender.busy ? "Waiting…" : `Requeue all ${count}`}</button>
      <button className="button small danger" disabled={sender.busy} onClick={() => setAsking(true)}>Drop all…</button>
      {asking && (
        <ConfirmDialog title={`Drop all dead letters of ${routine}?`} action="Drop them" onAct={() => void drop()} onClose={() => setAsking(false)}>
          What these messages were about is gone then; nobody can try them again.
        </ConfirmDialog>
      )}
    </div>
  );
}
