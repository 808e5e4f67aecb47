import { type ReactNode, useEffect, useId, useRef } from "react";

interface Props {
  readonly title: string;
  readonly wide?: boolean;
  readonly children: ReactNode;
  onClose(): void;
}

/** A window above the page that keeps the focus until it is closed (Escape closes it). */
export function Dialog({ title, wide = false, children, onClose }: Props) {
  const element = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const dialog = element.current;
    if (dialog && !dialog.open) dialog.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog ref={element} className={wide ? "wide" : ""} aria-labelledby={heading} onCancel={(event) => { event.preventDefault(); onClose(); }}>
      <h2 id={heading}>{title}</h2>
      {children}
    </dialog>
  );
}
