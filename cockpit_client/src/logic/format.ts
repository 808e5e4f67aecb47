/** Numbers, durations and moments as people read them. */

export function rate(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0/s";
  if (value < 0.1) return `${(value * 60).toFixed(1)}/min`;
  if (value < 10) return `${value.toFixed(1)}/s`;
  return `${count(Math.round(value))}/s`;
}

export function count(value: number): string {
  if (Math.abs(value) < 10_000) return String(Math.round(value));
  if (Math.abs(value) < 1_000_000) return `${(value / 1_000).toFixed(1)}k`;
  if (Math.abs(value) < 1_000_000_000) return `${(value / 1_000_000).toFixed(1)}M`;
  return `${(value / 1_000_000_000).toFixed(1)}G`;
}

/** A short time: 320 µs, 4.2 ms, 1.3 s. */
export function latency(seconds: number | null): string {
  if (seconds === null || !Number.isFinite(seconds)) return "–";
  if (seconds < 0.0009995) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 0.00995) return `${(seconds * 1e3).toFixed(1)} ms`;
  if (seconds < 1) return `${Math.round(seconds * 1e3)} ms`;
  return seconds < 60 ? `${seconds.toFixed(1)} s` : duration(seconds);
}

/** Two short times, with one unit if it is the same: 143 / 193 ms, 344 µs / 3.3 ms. */
export function latencies(half: number | null, most: number | null): string {
  const [short, long] = [latency(half), latency(most)];
  const unit = / \S+$/.exec(long)?.[0];
  return unit && short.endsWith(unit) && !short.slice(0, -unit.length).includes(" ") ? `${short.slice(0, -unit.length)} / ${long}` : `${short} / ${long}`;
}

/** A long time, its two greatest units: 3 d 4 h, 5 min 12 s. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const units: [number, string][] = [
    [Math.floor(whole / 86_400), "d"],
    [Math.floor(whole / 3_600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ];
  const first = units.findIndex(([amount]) => amount > 0);
  if (first < 0) return "0 s";
  return units
    .slice(first, first + 2)
    .filter(([amount], index) => index === 0 || amount > 0)
    .map(([amount, unit]) => `${amount} ${unit}`)
    .join(" ");
}

export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  let rest = value;
  while (rest >= 1000 && unit < units.length - 1) {
    rest /= 1000;
    unit += 1;
  }
  return `${unit === 0 || rest >= 100 ? Math.round(rest) : rest.toFixed(1)} ${units[unit]}`;
}

export function percent(value: number): string {
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} %`;
}

const two = (value: number): string => String(value).padStart(2, "0");

/** The time of day with milliseconds, in the browser's zone. */
export function clock(seconds: number): string {
  const date = new Date(seconds * 1000);
  const millis = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${millis}`;
}

export function day(seconds: number): string {
  const date = new Date(seconds * 1000);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** Day and time, without the day if it is today's. */
export function moment(seconds: number, now: number = Date.now() / 1000): string {
  const time = clock(seconds).slice(0, 8);
  return day(seconds) === day(now) ? time : `${day(seconds)} ${time}`;
}

/** A mark on a time axis whose marks are `step` seconds apart. */
export function tick(seconds: number, step: number): string {
  if (step >= 86_400) return day(seconds).slice(5);
  return clock(seconds).slice(0, step >= 60 ? 5 : 8);
}

/** Any value as one line of text. */
export function plain(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "");
}
