import { useEffect, useMemo } from "react";
import { useCockpit } from "../live/access";
import { view as viewSignal } from "../live/location";
import { useSignal } from "../live/signal";
import { pipeFor } from "../logic/pipe_choice";
import { LoginPage } from "./login_page";
import { NoticeList } from "./notice_list";
import { PipeChooser } from "./pipe_chooser";
import { PipePage } from "./pipe_page";
import { TopBar } from "./top_bar";
import { Unreachable } from "./unreachable";

/** The page: login, the chooser of pipes, or one pipe. */
export function App() {
  const cockpit = useCockpit();
  const session = useSignal(cockpit.session);
  const view = useSignal(viewSignal);
  const pipes = useSignal(cockpit.pipes);
  const summary = useMemo(() => pipeFor(pipes, view.pipe), [pipes, view.pipe]);
  // Links may name a pipe that runs no more, or that this cockpit lists no more: ask for it all the same.
  const pipe = summary?.id ?? view.pipe;
  const { page, logs } = view;
  const loggedIn = typeof session === "object";

  useEffect(() => {
    if (loggedIn) cockpit.watch(pipe, pipe !== null && page === "logs" ? logs : null);
  }, [cockpit, loggedIn, pipe, page, logs]);

  useEffect(() => {
    document.title = summary ? `${summary.name} – pipert2 cockpit` : "pipert2 cockpit";
  }, [summary]);

  if (session === "asking") return <main className="centre" aria-busy="true" />;
  if (session === "unreachable") return <Unreachable />;
  if (session === "login") return <LoginPage />;
  return (
    <div className="app">
      <TopBar me={session} summary={summary} />
      {pipe === null ? <PipeChooser /> : <PipePage key={pipe} pipe={pipe} summary={summary} />}
      <NoticeList />
    </div>
  );
}
