import { go, view } from "../live/location";
import { usePart } from "../live/signal";
import { type Range, RANGES } from "../logic/ranges";

/** How far back the charts look; it is part of the link. */
export function RangeSelect() {
  const range = usePart(view, (one) => one.range);
  return (
    <select aria-label="Range of the charts" value={range} onChange={(event) => go({ range: event.target.value as Range }, true)}>
      {RANGES.map((one) => <option key={one.name} value={one.name}>{`last ${one.label}`}</option>)}
    </select>
  );
}
