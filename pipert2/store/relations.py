"""Relations between records, or between any two things that have names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipert2.store.database import Database
from pipert2.store.records import Change, Record, RecordKey

End = Record | RecordKey | str | int
_PAGE = 500
_COLUMNS = "name, a, b, symmetric, data, added, changed"


@dataclass(frozen=True, slots=True)
class Relation:
    """That *a* is related to *b*.

    Attributes:
        a, b: names of records, or the texts or numbers that were given. When it was found by one of its ends, and
            goes both ways, that end is *a*.
        name: how they are related.
        symmetric: it goes both ways.
        data: what was given with it.
        added, changed: when it first came, and when its data last changed (seconds since the epoch).
    """

    a: RecordKey | str | int
    name: str
    b: RecordKey | str | int
    symmetric: bool
    data: dict[str, Any]
    added: float
    changed: float

    def __getitem__(self, name: str) -> Any:
        return self.data[name]


class Relations:
    """The table of relations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def relate(self, a: End, name: str, b: End, symmetric: bool, data: dict[str, Any], now: float) -> Change:
        first, second = _kept(a), _kept(b)
        if symmetric and _order(second) < _order(first):
            first, second = second, first
        kept = self._database.encoded(data)
        with self._database.writing() as connection:
            found = connection.execute(
                "SELECT symmetric, data FROM relations WHERE name = ? AND a = ? AND b = ?", (name, first, second)
            ).fetchone()
            if found is not None and (bool(found[0]), found[1]) == (symmetric, kept):
                return Change.SAME
            connection.execute(
                "INSERT INTO relations VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE "
                "SET symmetric = excluded.symmetric, changed = excluded.changed, data = excluded.data",
                (name, first, second, symmetric, now, now, kept),
            )
            return Change.NEW if found is None else Change.CHANGED

    def of(self, a: End, name: str) -> Iterator[Relation]:
        """Those from *a*, and those to it that go both ways."""
        end = _kept(a)
        forward = f"SELECT {_COLUMNS} FROM relations WHERE name = ? AND a = ? AND b > ? ORDER BY b LIMIT {_PAGE}"
        back = (
            f"SELECT {_COLUMNS} FROM relations WHERE name = ? AND b = ? AND a > ? AND symmetric AND a IS NOT b "
            f"ORDER BY a LIMIT {_PAGE}"
        )
        for query, column in ((forward, 2), (back, 1)):
            after: str | int | bytes = -(2**63)  # numbers come before texts, texts before bytes
            while True:
                rows = self._database.read(query, (name, end, after))
                for row in rows:
                    yield self._relation(row, turned=column == 1)
                if len(rows) < _PAGE:
                    break
                after = rows[-1][column]

    def all(self, name: str) -> Iterator[Relation]:
        after: tuple[Any, Any] = (-(2**63), -(2**63))
        while True:
            rows = self._database.read(
                f"SELECT {_COLUMNS} FROM relations WHERE name = ? AND (a, b) > (?, ?) ORDER BY a, b LIMIT {_PAGE}",
                (name, *after),
            )
            for row in rows:
                yield self._relation(row, turned=False)
            if len(rows) < _PAGE:
                return
            after = rows[-1][1], rows[-1][2]

    def count(self, name: str) -> int:
        return int(self._database.read("SELECT count(*) FROM relations WHERE name = ?", (name,))[0][0])

    def remove(self, a: End, name: str, b: End) -> bool:
        first, second = _kept(a), _kept(b)
        with self._database.writing() as connection:
            return bool(
                connection.execute(
                    "DELETE FROM relations WHERE name = ?1 AND "
                    "((a = ?2 AND b = ?3) OR (symmetric AND a = ?3 AND b = ?2))",
                    (name, first, second),
                ).rowcount
            )

    def _relation(self, row: Any, turned: bool) -> Relation:
        name, first, second, symmetric, kept, added, changed = row
        if turned:
            first, second = second, first
        data = self._database.decoded(kept)
        return Relation(_end(first), name, _end(second), bool(symmetric), data, added, changed)


def _kept(end: Any) -> str | int | bytes:
    """An end as it lies in the file: texts and numbers as they are, a record's name as bytes."""
    if isinstance(end, Record):
        end = end.reference
    if isinstance(end, RecordKey):
        return json.dumps([end.kind, end.key]).encode()
    if type(end) is str or (type(end) is int and -(2**63) < end < 2**63):
        return end
    raise TypeError(f"relations are between records, texts and whole numbers, not {end!r:.200}")


def _end(kept: str | int | bytes) -> RecordKey | str | int:
    return RecordKey(*json.loads(kept)) if isinstance(kept, bytes) else kept


def _order(kept: str | int | bytes) -> tuple[str, Any]:
    return type(kept).__name__, kept
