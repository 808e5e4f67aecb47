import { dismiss, notices } from "../live/notices";
import { useSignal } from "../live/signal";

export function NoticeList() {
  const shown = useSignal(notices);
  return (
    <div className="notices" role="status" aria-live="polite">
      {shown.map((notice) => (
        <div key={notice.number} className={`notice ${notice.kind}`}>
          <span>{notice.text}</span>
          <button className="bare" aria-label="Dismiss" onClick={() => dismiss(notice.number)}>×</button>
        </div>
      ))}
    </div>
  );
}
