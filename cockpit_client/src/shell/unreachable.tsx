import { useEffect } from "react";
import { useCockpit } from "../live/access";

const AGAIN_MS = 2_000;

/** Shown while the server does not answer at all; it asks again by itself. */
export function Unreachable() {
  const cockpit = useCockpit();
  useEffect(() => {
    const timer = setInterval(() => void cockpit.begin(), AGAIN_MS);
    return () => clearInterval(timer);
  }, [cockpit]);
  return (
    <main className="centre">
      <section className="card" role="alert">
        <h1>The cockpit does not answer</h1>
        <p>This page tries again every few seconds. Is <code>pipert2 cockpit</code> still running?</p>
        <button className="button" onClick={() => void cockpit.begin()}>Try now</button>
      </section>
    </main>
  );
}
