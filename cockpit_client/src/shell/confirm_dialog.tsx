import { type ReactNode } from "react";
import { Dialog } from "./dialog";

interface Props {
  readonly title: string;
  readonly action: string;
  readonly children: ReactNode;
  onAct(): void;
  onClose(): void;
}

/** Asks before something that cannot be taken back. The focus is on not doing it. */
export function ConfirmDialog({ title, action, children, onAct, onClose }: Props) {
  return (
    <Dialog title={title} onClose={onClose}>
      <p>{children}</p>
      <div className="dialog-foot">
        <button className="button" autoFocus onClick={onClose}>Cancel</button>
        <button
          className="button danger"
          onClick={() => {
            onAct();
            onClose();
          }}
        >
          {action}
        </button>
      </div>
    </Dialog>
  );
}
