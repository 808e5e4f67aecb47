import { type FormEvent, useState } from "react";
import { useCockpit } from "../live/access";

export function LoginPage() {
  const cockpit = useCockpit();
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);

  const submit = async (event: FormEvent<HTMLFormElement>): Promise<void> => {
    event.preventDefault();
    const words = new FormData(event.currentTarget);
    setBusy(true);
    setProblem(null);
    try {
      await cockpit.login(String(words.get("user")), String(words.get("password")));
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
      setBusy(false);
    }
  };

  return (
    <main className="centre">
      <form className="card login" onSubmit={(event) => void submit(event)}>
        <h1><img src="/icon.svg" alt="" width="28" height="28" /> pipert2 cockpit</h1>
        <label className="field">
          <span>User</span>
          <input name="user" autoComplete="username" required autoFocus maxLength={200} />
        </label>
        <label className="field">
          <span>Password</span>
          <input name="password" type="password" autoComplete="current-password" required maxLength={1000} />
        </label>
        {problem && <p className="wrong" role="alert">{problem}</p>}
        <button className="button primary" disabled={busy}>{busy ? "Logging in…" : "Log in"}</button>
      </form>
    </main>
  );
}
