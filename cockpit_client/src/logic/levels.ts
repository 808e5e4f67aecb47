/** Log levels, least first. */

export const LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] as const;

const NUMBERS: Readonly<Record<string, number>> = { DEBUG: 10, INFO: 20, WARNING: 30, ERROR: 40, CRITICAL: 50 };

/** The level's number; what is no level of Python's counts as INFO. */
export function levelNumber(level: string): number {
  const numbered = /^Level (\d+)$/.exec(level);
  return NUMBERS[level] ?? (numbered ? Number(numbered[1]) : 20);
}

/** The level that decides on the colour: the greatest known one that is not above. */
export function levelClass(level: string): string {
  const number = levelNumber(level);
  return [...LEVELS].reverse().find((known) => levelNumber(known) <= number)?.toLowerCase() ?? "debug";
}
