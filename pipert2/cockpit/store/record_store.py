"""Log records in the database: written in batches, found by time, place and words."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipert2.cockpit.store.database import NUMBER_BITS, Database, ids_of, record_id
from pipert2.cockpit.store.levels import level_number
from pipert2.cockpit.store.log_filter import LogFilter

Record = dict[str, Any]
_COLUMNS = "id, time, level_name, logger, flow, routine, message, traceback, extra"
_NUMBER_MASK = (1 << NUMBER_BITS) - 1
_EXPORT_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Records of a pipe, oldest first; *more*: there are further ones in the direction in which they were asked for."""

    records: list[Record]
    more: bool


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many records there were: by level one number for each bucket of *seconds*, from *start* on."""

    start: float
    seconds: float
    levels: dict[str, list[int]]


class RecordStore:
    """The records of all pipes.

    Args:
        database: the database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._indexed = database.has_text_index

    # --- writing: in the writer's thread

    def insert(self, connection: sqlite3.Connection, pipe: int, records: Sequence[Mapping[str, Any]]) -> None:
        """Write records of a pipe, in the order of their numbers, all of them newer than what is there."""
        rows, texts, counts = [], [], Counter[tuple[int, str]]()
        for one in records:
            identity = record_id(pipe, one["number"])
            name, message, trace, extra = one["level"], one["message"], one["traceback"], one["extra"]
            rows.append(
                (
                    identity,
                    pipe,
                    one["time"],
                    level_number(name),
                    name,
                    one["logger"],
                    one["flow"],
                    one["routine"],
                    message,
                    trace,
                    json.dumps(extra) if extra else None,
                )
            )
            texts.append((identity, message, trace))
            counts[int(one["time"]), name] += 1
        connection.executemany("INSERT INTO records VALUES (?,?,?,?,?,?,?,?,?,?,?)", rows)
        if self._indexed:
            connection.executemany("INSERT INTO records_text (rowid, message, traceback) VALUES (?,?,?)", texts)
        connection.executemany(
            "INSERT INTO counts VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE SET records = records + excluded.records",
            [(pipe, second, name, level_number(name), number) for (second, name), number in counts.items()],
        )

    def delete_oldest(
        self, connection: sqlite3.Connection, pipe: int, limit: int, older_than: float | None = None
    ) -> int:
        """Delete up to *limit* of a pipe's oldest records, those *older_than* a time only if that is given; how many.

        They must be followed by none that is older, so the first that is young enough ends it.
        """
        found = connection.execute(
            "SELECT id, time FROM records WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?", (*ids_of(pipe), limit)
        ).fetchall()
        if older_than is not None:
            keep = next((at for at, (_, when) in enumerate(found) if when >= older_than), len(found))
            found = found[:keep]
        if not found:
            return 0
        first, last = found[0][0], found[-1][0]
        connection.execute("BEGIN IMMEDIATE")
        if self._indexed:
            connection.execute(
                "INSERT INTO records_text (records_text, rowid, message, traceback) "
                "SELECT 'delete', id, message, traceback FROM records WHERE id BETWEEN ? AND ?",
                (first, last),
            )
        connection.execute("DELETE FROM records WHERE id BETWEEN ? AND ?", (first, last))
        connection.execute("DELETE FROM counts WHERE pipe = ? AND second < ?", (pipe, int(found[-1][1])))
        connection.execute("COMMIT")
        return len(found)

    # --- reading: in any thread

    def last_number(self, pipe: int) -> int:
        """The number of a pipe's newest record, 0 without one."""
        with self._database.reading() as connection:
            return self.last_written(connection, pipe)

    @staticmethod
    def last_written(connection: sqlite3.Connection, pipe: int) -> int:
        """The same, as this connection sees it."""
        query = "SELECT max(id) FROM records WHERE id BETWEEN ? AND ?"
        (found,) = connection.execute(query, ids_of(pipe)).fetchone()
        return int(found) & _NUMBER_MASK if found is not None else 0

    def count(self, pipe: int) -> int:
        """How many records of a pipe there are."""
        with self._database.reading(60.0) as connection:
            found = connection.execute("SELECT count(*) FROM records WHERE id BETWEEN ? AND ?", ids_of(pipe)).fetchone()
        return int(found[0])

    def page(
        self,
        pipe: int,
        wanted: LogFilter,
        *,
        before: int | None = None,
        after: int | None = None,
        start: float | None = None,
        end: float | None = None,
        limit: int = 200,
    ) -> RecordPage:
        """Records that fit: without *after* the newest *limit*, of those *before* a number if that is given."""
        order = "ASC" if after is not None and before is None else "DESC"
        if after is not None and before is not None:
            order = "ASC"
        with self._database.reading() as connection:
            where, values = self._where(connection, pipe, wanted, before, after, start, end)
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM records WHERE {where} ORDER BY id {order} LIMIT ?", (*values, limit + 1)
            ).fetchall()
        found = [_record(row) for row in rows[:limit]]
        return RecordPage(found if order == "ASC" else found[::-1], len(rows) > limit)

    def each(
        self, pipe: int, wanted: LogFilter, start: float | None = None, end: float | None = None
    ) -> Iterator[list[Record]]:
        """All records that fit and are there now, oldest first, a page at a time."""
        after, until = 0, self.last_number(pipe) + 1
        more = True
        while more:
            page = self.page(pipe, wanted, after=after, before=until, start=start, end=end, limit=_EXPORT_PAGE)
            more = page.more
            if page.records:
                after = page.records[-1]["number"]
                yield page.records

    def histogram(self, pipe: int, wanted: LogFilter, start: float, end: float, buckets: int) -> Histogram:
        """How many records that fit there were from *start* to *end*."""
        width = max((end - start) / buckets, 1e-3)
        counted = wanted == LogFilter(level=wanted.level) and width >= 1.0
        with self._database.reading() as connection:
            if counted:  # without reading the records
                least = level_number(wanted.level) if wanted.level else 0
                rows = connection.execute(
                    "SELECT CAST((second - ?) / ? AS INTEGER) AS bucket, level_name, sum(records) FROM counts "
                    "WHERE pipe = ? AND second BETWEEN ? AND ? AND level >= ? GROUP BY bucket, level_name",
                    (start, width, pipe, int(start), end, least),
                ).fetchall()
            else:
                where, values = self._where(connection, pipe, wanted, None, None, start, end)
                rows = connection.execute(
                    "SELECT CAST((time - ?) / ? AS INTEGER) AS bucket, level_name, count(*) FROM records "
                    f"WHERE {where} GROUP BY bucket, level_name",
                    (start, width, *values),
                ).fetchall()
        levels: dict[str, list[int]] = {}
        for bucket, level, number in rows:
            levels.setdefault(level, [0] * buckets)[min(max(bucket, 0), buckets - 1)] += number
        return Histogram(start, width, levels)

    def _where(
        self,
        connection: sqlite3.Connection,
        pipe: int,
        wanted: LogFilter,
        before: int | None,
        after: int | None,
        start: float | None,
        end: float | None,
    ) -> tuple[str, list[Any]]:
        low, high = ids_of(pipe)
        if after is not None:
            low = max(low, record_id(pipe, min(after, _NUMBER_MASK)) + 1)
        if before is not None:
            high = min(high, record_id(pipe, min(max(before, 1), _NUMBER_MASK)) - 1)
        parts: list[str] = []
        values: list[Any] = []
        if start is not None or end is not None:
            times = (start if start is not None else 0.0, end if end is not None else 1e12)
            first, last = connection.execute(
                "SELECT min(id), max(id) FROM records WHERE pipe = ? AND time BETWEEN ? AND ?", (pipe, *times)
            ).fetchone()
            low, high = max(low, first if first is not None else high + 1), min(high, last if last is not None else 0)
            parts.append("time BETWEEN ? AND ?")
            values += times
        for column, value in (("flow", wanted.flow), ("routine", wanted.routine)):
            if value is not None:
                parts.append(f"{column} = ?")
                values.append(value)
        if wanted.level is not None:
            least = level_number(wanted.level)
            parts.append("level >= ?" + (" AND level >= 30" if least >= 30 else ""))  # the second part names the index
            values.append(least)
        text, words = self._text(wanted, low, high)
        return " AND ".join(["id BETWEEN ? AND ?", *parts, *text]), [low, high, *values, *words]

    def _text(self, wanted: LogFilter, low: int, high: int) -> tuple[list[str], list[Any]]:
        tokens = wanted.tokens
        if self._indexed and tokens and all(token.isascii() for token in tokens):
            query = " AND ".join(f'"{token}"*' for token in tokens)
            found = "id IN (SELECT rowid FROM records_text WHERE records_text MATCH ? AND rowid BETWEEN ? AND ?)"
            return [found], [query, low, high]
        parts: list[str] = []
        values: list[Any] = []
        for word in wanted.words:
            parts.append("(message LIKE ? ESCAPE '\\' OR traceback LIKE ? ESCAPE '\\')")
            values += [_pattern(word)] * 2
        return parts, values


def _pattern(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _record(row: Sequence[Any]) -> Record:
    return {
        "number": row[0] & _NUMBER_MASK,
        "time": row[1],
        "level": row[2],
        "logger": row[3],
        "flow": row[4],
        "routine": row[5],
        "message": row[6],
        "traceback": row[7],
        "extra": json.loads(row[8]) if row[8] else {},
    }
