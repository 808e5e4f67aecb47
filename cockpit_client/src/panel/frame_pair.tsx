import { useEffect, useState } from "react";
import { useCockpit } from "../live/access";
import { useSignal } from "../live/signal";
import { clock } from "../logic/format";
import type { FrameMessage, Side } from "../protocol/messages";

/** What a routine gets and what it returns, side by side, live while this is on. */
export function FramePair({ name, kind }: { name: string; kind: string }) {
  const cockpit = useCockpit();
  const [on, setOn] = useState(false);
  const hasInput = kind !== "source";
  const hasOutput = kind !== "destination";
  useEffect(() => {
    if (!on) return;
    const sides: [string, Side][] = [];
    if (hasInput) sides.push([name, "input"]);
    if (hasOutput) sides.push([name, "output"]);
    cockpit.look(sides);
    return () => cockpit.look([]);
  }, [cockpit, on, name, hasInput, hasOutput]);
  if (!on)
    return <button className="button small" onClick={() => setOn(true)}>Show frames</button>;
  return (
    <>
      <div className="frames">
        {hasInput && <FrameView name={name} side="input" />}
        {hasOutput && <FrameView name={name} side="output" />}
      </div>
      <button className="button small" onClick={() => setOn(false)}>Hide frames</button>
    </>
  );
}

function FrameView({ name, side }: { name: string; side: Side }) {
  const message = useSignal(useCockpit().frame(name, side));
  const address = usePicture(message);
  return (
    <figure className="frame">
      {address ? (
        <img src={address} alt={`${side} of ${name}`} data-number={message?.number} width={message?.width} height={message?.height} />
      ) : (
        <div className="no-frame muted">no picture yet</div>
      )}
      <figcaption>
        <b>{side}</b> {message && <span className="muted">{message.original.join(" × ")} {message.dtype}, {clock(message.time)}</span>}
      </figcaption>
    </figure>
  );
}

/** An address for a picture's bytes; the one before is let go when the next is there. */
function usePicture(message: FrameMessage | null): string | null {
  const [address, setAddress] = useState<string | null>(null);
  useEffect(() => {
    if (!message) return;
    const made = URL.createObjectURL(new Blob([message.jpeg], { type: "image/jpeg" }));
    // Shown only when it is decoded, so that nothing flickers.
    const image = new Image();
    let over = false;
    image.src = made;
    image.decode().then(
      () => {
        if (!over) setAddress(made);
      },
      () => URL.revokeObjectURL(made),
    );
    return () => {
      over = true;
      setTimeout(() => URL.revokeObjectURL(made), 2_000);
    };
  }, [message]);
  return message ? address : null;
}
