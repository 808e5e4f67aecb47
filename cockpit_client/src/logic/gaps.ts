/** Gaps in charts: a single missing value is a moment's delay, more of them are worth seeing. */

/** The values with single gaps filled by the middle of their neighbours. */
export function bridged(values: readonly (number | null)[]): (number | null)[] {
  return values.map((value, index) => {
    const before = values[index - 1] ?? null;
    const after = values[index + 1] ?? null;
    return value === null && before !== null && after !== null ? (before + after) / 2 : value;
  });
}
