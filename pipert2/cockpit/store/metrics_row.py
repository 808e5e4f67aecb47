"""A second of a pipe's life as one row of numbers, made of two snapshots."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from typing import Any

SERIES = {
    "routine": ("rate", "logic_p50", "logic_p99", "age_p50", "age_p99", "errors", "skipped"),
    "wire": ("rate", "dropped", "queued", "blocked"),
    "flow": ("cpu", "rss", "restarts"),
}
"""The values of each kind of thing, in their order."""
MOST_THINGS = 20_000
_NAN = math.nan

Thing = tuple[str, str]
"""A kind, and the name of one of it; a wire's is ``source->destination``."""


class MetricsRow:
    """The numbers of one second: *things* in their order, *values* of all of them behind one another."""

    __slots__ = ("things", "values")

    def __init__(self, things: tuple[Thing, ...], values: bytes) -> None:
        self.things = things
        self.values = values


class Counters:
    """Makes rows of a pipe's snapshots; remembers the counters of the last one to tell what is new."""

    def __init__(self) -> None:
        self._last: dict[Thing, tuple[float, ...]] = {}
        self._time = _NAN

    def row(self, status: Mapping[str, Any]) -> MetricsRow:
        """The row of a snapshot, whatever stands in it."""
        values = array("f")
        things: list[Thing] = []
        now = _number(status.get("time"))
        seconds = now - self._time
        seen: dict[Thing, tuple[float, ...]] = {}
        for one in _dicts(status.get("routines")):
            thing = ("routine", str(one.get("name")))
            counters = (_number(one.get("errors")), _number(one.get("skipped")))
            new = self._new(thing, counters)
            logic, age = _dict(one.get("logic_time")), _dict(one.get("age"))
            latencies = (logic.get("p50"), logic.get("p99"), age.get("p50"), age.get("p99"))
            values.extend((_number(one.get("rate")), *map(_number, latencies), *new))
            things.append(thing)
            seen[thing] = counters
        for one in _dicts(status.get("wires")):
            thing = ("wire", f"{one.get('source')}->{one.get('destination')}")
            if one.get("unlinked") or thing in seen:
                continue
            counters = (_number(one.get("dropped")), _number(one.get("blocked_seconds")))
            dropped, blocked = self._new(thing, counters)
            share = min(1.0, blocked / seconds) if seconds > 0 else _NAN
            values.extend((_number(one.get("rate")), dropped, _number(one.get("queued")), share))
            things.append(thing)
            seen[thing] = counters
        for one in _dicts(status.get("flows")):
            things.append(("flow", str(one.get("name"))))
            values.extend(_number(one.get(name)) for name in ("cpu_percent", "rss_bytes", "restarts"))
        self._last, self._time = seen, now
        return MetricsRow(tuple(things), values.tobytes())

    def _new(self, thing: Thing, counters: tuple[float, ...]) -> tuple[float, ...]:
        """What was added since the last snapshot; a counter that fell has begun anew."""
        before = self._last.get(thing)
        if before is None:
            return tuple(0.0 for _ in counters)
        return tuple(now - old if now >= old else now for now, old in zip(counters, before, strict=True))


def offset_of(things: list[list[str]], wanted: Thing) -> int | None:
    """How many values stand before those of *wanted* in a row, None if it has none."""
    offset = 0
    for kind, name in things:
        if (kind, name) == wanted:
            return offset
        offset += len(SERIES[kind])
    return None


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30:
        return float(value)
    return _NAN


def _dict(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _dicts(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value[:MOST_THINGS] if isinstance(one, Mapping)] if isinstance(value, list) else []
