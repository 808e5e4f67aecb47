import { memo, useState } from "react";
import type { LogRecord } from "../protocol/records";
import { Filters } from "./filters";
import { LogTable } from "./log_table";
import { LevelHistogram } from "./level_histogram";
import { RecordDetail } from "./record_detail";

/** The pipe's log: live at the end, searchable to the beginning. */
export const LogsPage = memo(function LogsPage({ pipe }: { pipe: string }) {
  const [chosen, choose] = useState<LogRecord | null>(null);
  return (
    <div className="logs">
      <Filters pipe={pipe} />
      <LevelHistogram pipe={pipe} />
      <LogTable chosen={chosen} onChoose={choose} />
      {chosen && <RecordDetail record={chosen} onClose={() => choose(null)} />}
    </div>
  );
});
