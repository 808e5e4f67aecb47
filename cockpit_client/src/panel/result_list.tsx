import { memo, useEffect, useState } from "react";
import { ResultPlot } from "../charts/result_plot";
import { clock } from "../logic/format";
import { bytesOf, keyOf, short } from "../logic/results";
import type { ShownValue } from "../protocol/records";
import { useResults } from "./use_results";
import { Section } from "./side_panel";

/** Two hundred curves at once are more than a page draws each second beside all else. */
const AT_FIRST = 30;

/** What a routine shows of its results, live; nothing where it shows none. */
export function ResultList({ routine }: { routine: string }) {
  const { values } = useResults(routine);
  const [all, setAll] = useState(false);
  if (values.length === 0) return null;
  return (
    <Section title="Results">
      <ul className="results" aria-label={`Results of ${routine}`}>
        {(all ? values : values.slice(0, AT_FIRST)).map((value) => (
          <li key={keyOf(value)} className="result" data-result={value.name}>
            <Result value={value} replica={value.routine === routine ? null : value.routine} />
          </li>
        ))}
      </ul>
      {!all && values.length > AT_FIRST && (
        <button className="button small" onClick={() => setAll(true)}>Show all {values.length} results</button>
      )}
    </Section>
  );
}

const Result = memo(function Result({ value, replica }: { value: ShownValue; replica: string | null }) {
  const array = value.kind === "curve" || value.kind === "image";
  return (
    <figure>
      <figcaption className="result-head">
        <b className="result-name" title={value.name}>{value.name}</b>
        {replica && <span className="muted">{replica}</span>}
        <span className={array ? "muted" : "result-value"}>{array ? value.text.replaceAll(" x ", " × ") : value.text}</span>
        <time className="muted">{clock(value.time).slice(0, 8)}</time>
      </figcaption>
      {value.kind === "number" && isCurve(value) && <ResultPlot label={`${value.name} over time`} at={value.at} values={value.values} time />}
      {value.kind === "curve" && <ResultPlot label={`elements of ${value.name}`} at={value.at} values={value.values} time={false} />}
      {value.kind === "image" && <Picture value={value} />}
    </figure>
  );
});

/** Whether there is anything to draw of a number: two moments, and one at which it was finite. */
function isCurve(value: ShownValue): boolean {
  return value.at.length > 1 && value.values.some((one) => one !== null);
}

function Picture({ value }: { value: ShownValue }) {
  const address = useAddress(value.png);
  return (
    <>
      {address && <img className="result-image" src={address} alt={`${value.name}, ${value.text}`} />}
      <div className="result-scale" aria-label="colours">
        <span>{short(value.least)}</span>
        <span className="result-colours" aria-hidden="true" />
        <span>{short(value.greatest)}</span>
      </div>
    </>
  );
}

/** An address for a picture; the one before stays until the next is decoded, so that nothing flickers. */
function useAddress(png: string): string | null {
  const [address, setAddress] = useState<string | null>(null);
  useEffect(() => {
    const made = URL.createObjectURL(new Blob([bytesOf(png)], { type: "image/png" }));
    const image = new Image();
    let over = false;
    image.src = made;
    image.decode().then(
      () => !over && setAddress(made),
      () => undefined,
    );
    return () => {
      over = true;
      setTimeout(() => URL.revokeObjectURL(made), 2_000);
    };
  }, [png]);
  return address;
}
