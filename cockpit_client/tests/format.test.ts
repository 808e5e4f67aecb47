import { describe, expect, it } from "vitest";
import { bytes, count, duration, latencies, latency, percent, plain, rate } from "../src/logic/format";
import { levelClass, levelNumber } from "../src/logic/levels";
import { refreshSeconds } from "../src/logic/ranges";

describe("numbers for people", () => {
  it("have the unit that fits", () => {
    expect([rate(0), rate(0.05), rate(9.94), rate(12345), rate(NaN)]).toEqual(["0/s", "3.0/min", "9.9/s", "12.3k/s", "–"]);
    expect([latency(null), latency(0.00032), latency(0.0042), latency(0.00999), latency(0.25), latency(1.26), latency(125)]).toEqual(["–", "320 µs", "4.2 ms", "10 ms", "250 ms", "1.3 s", "2 min 5 s"]);
    expect([latencies(0.143, 0.193), latencies(0.000344, 0.0033), latencies(null, 0.1), latencies(61, 122)]).toEqual(["143 / 193 ms", "344 µs / 3.3 ms", "– / 100 ms", "1 min 1 s / 2 min 2 s"]);
    expect([duration(0), duration(59), duration(3600), duration(90061), duration(-3)]).toEqual(["0 s", "59 s", "1 h", "1 d 1 h", "0 s"]);
    expect([bytes(999), bytes(34_100_000), bytes(5e12)]).toEqual(["999 B", "34.1 MB", "5.0 TB"]);
    expect([count(9999), count(10_000), count(2_500_000), percent(3.21), percent(132.4)]).toEqual(["9999", "10.0k", "2.5M", "3.2 %", "132 %"]);
    expect([plain("a"), plain({ a: 1 }), plain(null), plain(undefined)]).toEqual(["a", '{"a":1}', "null", ""]);
  });
});

describe("levels", () => {
  it("of users' own are drawn as the next known one below", () => {
    expect([levelClass("ERROR"), levelClass("Level 25"), levelClass("NOTICE"), levelClass("Level 5")]).toEqual(["error", "info", "info", "debug"]);
    expect(levelNumber("CRITICAL")).toBe(50);
  });
});

describe("charts", () => {
  it("ask more rarely the more they show", () => {
    expect([refreshSeconds(60), refreshSeconds(900), refreshSeconds(2_592_000)]).toEqual([1, 3, 60]);
  });
});
