import { useState } from "react";
import { useMayDrive } from "../live/access";
import { useSender } from "../live/commands";
import { LEVELS } from "../logic/levels";

/** From which level on a routine's records are kept. */
export function LogLevelSelect({ routine, level }: { routine: string; level: string }) {
  const mayDrive = useMayDrive();
  const sender = useSender();
  // The structure says the level only when it is sent anew; until then what was set here counts.
  const [set, setSet] = useState<{ readonly instead: string; readonly level: string } | null>(null);
  const shown = set && set.instead === level ? set.level : level;
  const change = async (wanted: string): Promise<void> => {
    if (await sender.send("log_level", { routine, level: wanted }, `${routine}: log level ${wanted}`)) setSet({ instead: level, level: wanted });
  };
  return (
    <select aria-label="Log level" value={shown} disabled={!mayDrive || sender.busy} onChange={(event) => void change(event.target.value)}>
      {!LEVELS.some((known) => known === shown) && <option value={shown}>{shown}</option>}
      {LEVELS.map((known) => <option key={known} value={known}>{known}</option>)}
    </select>
  );
}
