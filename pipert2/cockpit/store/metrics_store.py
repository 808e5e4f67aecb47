"""Metrics in the database: by the second, then by 10 s, then by 5 minutes, and charts made of all three."""

from __future__ import annotations

import json
import math
import sqlite3
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from pipert2.cockpit.store.database import Database
from pipert2.cockpit.store.metrics_row import SERIES, MetricsRow, Thing, offset_of

STEPS = (1, 10, 300)
"""Seconds; each is made of the rows of the one before."""
KEPT = {1: 3_600.0, 10: 86_400.0}
_SLACK = 60.0
_MOST_BUCKETS_AT_ONCE = 20
_FLOAT = 4
_Array = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class Chart:
    """What became of a thing's values: at each of *times*, which are *seconds* apart, mean, least and greatest."""

    start: float
    end: float
    seconds: float
    times: list[float]
    series: dict[str, dict[str, list[float | None]]]


class MetricsStore:
    """The metrics of all pipes.

    A row holds all values of a pipe as 32-bit floats, in rows of 10 s and more three of each: mean, least, greatest.
    """

    def __init__(self, database: Database, keep_days: float) -> None:
        self._database = database
        self._kept = {**KEPT, 300: keep_days * 86_400.0}
        self._layouts: dict[tuple[int, tuple[Thing, ...]], int] = {}

    # --- writing: in the writer's thread

    def insert(self, connection: sqlite3.Connection, pipe: int, at: int, row: MetricsRow) -> None:
        """Write the row of a second; a second one of the same second is left out."""
        layout = self._layout(connection, pipe, row.things)
        connection.execute("INSERT OR IGNORE INTO metrics VALUES (?, 1, ?, ?, ?)", (pipe, at, layout, row.values))

    def _layout(self, connection: sqlite3.Connection, pipe: int, things: tuple[Thing, ...]) -> int:
        found = self._layouts.get((pipe, things))
        if found is None:
            names = json.dumps(things)
            connection.execute("INSERT OR IGNORE INTO layouts (pipe, names) VALUES (?, ?)", (pipe, names))
            query = "SELECT number FROM layouts WHERE pipe = ? AND names = ?"
            found = int(connection.execute(query, (pipe, names)).fetchone()[0])
            self._layouts = {key: value for key, value in self._layouts.items() if key[0] != pipe}
            self._layouts[pipe, things] = found
        return found

    def forget_layouts(self) -> None:
        """After a transaction failed: what was noted of it is not there."""
        self._layouts.clear()

    def roll_up(self, connection: sqlite3.Connection, pipe: int, now: float) -> bool:
        """Make coarser rows of finer ones that are complete, some at a time; whether there is more to do."""
        more = False
        for fine, coarse in pairwise(STEPS):
            more = self._roll_up(connection, pipe, fine, coarse, now - 2 - fine) or more
        return more

    def _roll_up(self, connection: sqlite3.Connection, pipe: int, fine: int, coarse: int, until: float) -> bool:
        (last,) = connection.execute(
            "SELECT max(time) FROM metrics WHERE pipe = ? AND step = ?", (pipe, coarse)
        ).fetchone()
        start = last + coarse if last is not None else 0
        for _ in range(_MOST_BUCKETS_AT_ONCE):
            (first,) = connection.execute(
                "SELECT min(time) FROM metrics WHERE pipe = ? AND step = ? AND time >= ?", (pipe, fine, start)
            ).fetchone()
            if first is None:
                return False
            begin = first // coarse * coarse
            if begin + coarse > until:
                return False
            rows = connection.execute(
                "SELECT layout, data FROM metrics WHERE pipe = ? AND step = ? AND time >= ? AND time < ? ORDER BY time",
                (pipe, fine, begin, begin + coarse),
            ).fetchall()
            layout = rows[-1][0]
            data = _merged([data for which, data in rows if which == layout], fine == 1)
            connection.execute(
                "INSERT OR IGNORE INTO metrics VALUES (?, ?, ?, ?, ?)", (pipe, coarse, begin, layout, data)
            )
            start = begin + coarse
        return True

    def delete_old(self, connection: sqlite3.Connection, now: float, limit: int) -> bool:
        """Delete up to *limit* rows of each step that have been kept long enough; whether there is more to do."""
        deleted = 0
        for step, seconds in self._kept.items():
            deleted = max(
                deleted,
                connection.execute(
                    "DELETE FROM metrics WHERE rowid IN (SELECT metrics.rowid FROM pipes CROSS JOIN metrics "
                    "WHERE pipe = pipes.number AND step = ? AND time < ? LIMIT ?)",
                    (step, now - seconds - _SLACK, limit),
                ).rowcount,
            )
        return deleted >= limit

    # --- reading: in any thread

    def chart(self, pipe: int, thing: Thing, start: float, end: float, points: int, now: float) -> Chart:
        """What became of a thing's values from *start* to *end*, at *points* times or a few more."""
        step = next((step for step in STEPS if start >= now - self._kept[step] and end - start <= 4_000 * step), 300)
        width = step * max(1, math.ceil((end - start) / points / step))
        times, values = self._values(pipe, thing, step, start - width, end)
        first = math.floor(start / width) * width
        buckets = max(1, math.ceil((end - first) / width))
        place = np.floor((times - first) / width).astype(np.int64)
        inside = (place >= 0) & (place < buckets)
        merged = _by_bucket(place[inside], values[inside], buckets)
        series = {
            name: {kind: _plain(merged[:, at, which]) for which, kind in enumerate(("mean", "least", "greatest"))}
            for at, name in enumerate(SERIES[thing[0]])
        }
        return Chart(start, end, width, [float(first + at * width) for at in range(buckets)], series)

    def _values(
        self, pipe: int, thing: Thing, coarsest: int, start: float, end: float
    ) -> tuple[np.ndarray[Any, Any], _Array]:
        """Times, and at each for each value mean, least, greatest; where coarse rows are not there yet, finer ones."""
        width = len(SERIES[thing[0]])
        times: list[float] = []
        parts: list[bytes] = []
        with self._database.reading() as connection:
            layouts = {
                number: offset_of(json.loads(names), thing)
                for number, names in connection.execute("SELECT number, names FROM layouts WHERE pipe = ?", (pipe,))
            }
            for step in [one for one in reversed(STEPS) if one <= coarsest]:
                each = 1 if step == 1 else 3
                for number, offset in layouts.items():
                    if offset is None:
                        continue
                    rows = connection.execute(
                        "SELECT time, substr(data, ?, ?) FROM metrics "
                        "WHERE pipe = ? AND step = ? AND layout = ? AND time >= ? AND time < ?",
                        (offset * each * _FLOAT + 1, width * each * _FLOAT, pipe, step, number, start, end),
                    ).fetchall()
                    times += [row[0] for row in rows]
                    parts += [row[1] if each == 3 else _tripled(row[1]) for row in rows]
                (covered,) = connection.execute(
                    "SELECT max(time) FROM metrics WHERE pipe = ? AND step = ?", (pipe, step)
                ).fetchone()
                start = max(start, covered + step) if covered is not None else start
        values = np.frombuffer(b"".join(parts), np.float32).reshape(len(times), width, 3)
        return np.array(times, np.float64), values


def _tripled(values: bytes) -> bytes:
    return np.repeat(np.frombuffer(values, np.float32), 3).tobytes()


def _merged(rows: list[bytes], single: bool) -> bytes:
    """Mean, least and greatest of rows of one layout."""
    values = np.frombuffer(b"".join(rows), np.float32).reshape(len(rows), -1, 1 if single else 3)
    return _reduced(values).tobytes()


def _reduced(values: _Array) -> _Array:
    """Over the first axis; NaN where nothing was."""
    means, least, greatest = values[:, :, 0], values[:, :, min(1, values.shape[2] - 1)], values[:, :, -1]
    there = np.isfinite(means)
    sums, counts = np.where(there, means, 0.0).sum(axis=0, dtype=np.float64), there.sum(axis=0)
    mean = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    parts = [mean, np.fmin.reduce(least, axis=0), np.fmax.reduce(greatest, axis=0)]  # these pass over NaN
    return np.stack(parts, axis=1).astype(np.float32)


def _by_bucket(place: np.ndarray[Any, Any], values: _Array, buckets: int) -> _Array:
    found: _Array = np.full((buckets, values.shape[1], 3), np.nan, np.float32)
    order = np.argsort(place, kind="stable")
    place, values = place[order], values[order]
    edges = np.flatnonzero(np.diff(place)) + 1
    for part in np.split(np.arange(len(place)), edges):
        if len(part):
            found[place[part[0]]] = _reduced(values[part])
    return found


def _plain(values: _Array) -> list[float | None]:
    return [None if math.isnan(one) else one for one in np.round(values.astype(np.float64), 9).tolist()]
