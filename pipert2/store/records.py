"""Records of the store: what routines add and put, and what is found of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from pipert2.errors import StoreError
from pipert2.store.database import Database

_PAGE = 500
"""Records that are read at a time: a long read would keep the log of what is written from being folded away."""


class Change(Enum):
    """What became of something that was put into the store."""

    NEW = "new"
    CHANGED = "changed"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class RecordKey:
    """Names a record: its kind, and the key that it was put under, or its number if it was added without one."""

    kind: str
    key: str | int


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the store. ``record["size"]`` is short for ``record.data["size"]``.

    Attributes:
        id: numbers all records in the order in which they came; one that is changed gets a new number.
        kind, key: what it was put under; *key* is None if it was added.
        data: what was given.
        added: when it first came (seconds since the epoch).
    """

    id: int
    kind: str
    key: str | int | None
    data: Any
    added: float

    @property
    def reference(self) -> RecordKey:
        """What names it in relations."""
        return RecordKey(self.kind, self.id if self.key is None else self.key)

    def __getitem__(self, name: Any) -> Any:
        return self.data[name]


class Records:
    """The table of records."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, kind: str, data: Any, now: float) -> int:
        kept = self._database.encoded(data)
        with self._database.writing() as connection:
            return self._insert(connection, _checked_kind(kind), None, now, kept)

    def put(self, kind: str, key: str | int, data: Any, now: float) -> Change:
        kept = self._database.encoded(data)
        _checked_key(key)
        with self._database.writing() as connection:
            found = connection.execute(
                "SELECT records.id, added, data FROM records JOIN kinds ON kinds.id = kind WHERE name = ? AND key = ?",
                (_checked_kind(kind), key),
            ).fetchone()
            if found is None:
                self._insert(connection, kind, key, now, kept)
                return Change.NEW
            number, added, before = found
            if before == kept:
                return Change.SAME
            # It goes to the end, with the time at which it first came, so that readers see what has changed.
            self._delete(connection, kind, [number])
            self._insert(connection, kind, key, added, kept)
            return Change.CHANGED

    def get(self, kind: str, key: str | int) -> Record | None:
        rows = self._database.read(
            "SELECT records.id, name, key, data, added FROM records JOIN kinds ON kinds.id = kind "
            "WHERE name = ? AND key = ?",
            (_checked_kind(kind), _checked_key(key)),
        )
        return self._record(rows[0]) if rows else None

    def by_number(self, number: int) -> Record | None:
        rows = self._database.read(
            "SELECT records.id, name, key, data, added FROM records JOIN kinds ON kinds.id = kind WHERE records.id = ?",
            (number,),
        )
        return self._record(rows[0]) if rows else None

    def count(self, kind: str, since: float | datetime | None, after: int | None, limit: int | None) -> int:
        if since is None and after is None:
            rows = self._database.read("SELECT records FROM kinds WHERE name = ?", (_checked_kind(kind),))
            found = int(rows[0][0]) if rows else 0
            return found if limit is None else min(found, limit)
        where = "kind = (SELECT id FROM kinds WHERE name = ?)"
        arguments: list[Any] = [_checked_kind(kind)]
        if since is not None:
            where += " AND added >= ?"
            arguments.append(since.timestamp() if isinstance(since, datetime) else since)
        if after is not None:
            where += " AND records.id > ?"
            arguments.append(after)
        arguments.append(-1 if limit is None else limit)
        query = f"SELECT count(*) FROM (SELECT 1 FROM records WHERE {where} LIMIT ?)"
        return int(self._database.read(query, arguments)[0][0])

    def kinds(self) -> dict[str, int]:
        return dict(self._database.read("SELECT name, records FROM kinds WHERE records > 0 ORDER BY name"))

    def newest(self, kind: str | None = None) -> int:
        if kind is None:
            rows = self._database.read("SELECT seq FROM sqlite_sequence WHERE name = 'records'")
            return int(rows[0][0]) if rows else 0
        rows = self._database.read(
            "SELECT max(id) FROM records WHERE kind = (SELECT id FROM kinds WHERE name = ?)", (_checked_kind(kind),)
        )
        return int(rows[0][0] or 0)

    def between(self, kind: str, after: int, until: int) -> Iterator[Record]:
        """The records of a kind with numbers above *after*, up to *until*, a page at a time."""
        while True:
            rows = self._database.read(
                "SELECT id, ?1, key, data, added FROM records WHERE kind = (SELECT id FROM kinds WHERE name = ?1) "
                "AND id > ?2 AND id <= ?3 ORDER BY id LIMIT ?4",
                (_checked_kind(kind), after, until, _PAGE),
            )
            for row in rows:
                yield self._record(row)
            if len(rows) < _PAGE:
                return
            after = rows[-1][0]

    def pending(self, kind: str) -> Iterator[Record]:
        """Those that are not done, oldest first; those that come meanwhile as well."""
        rows = self._database.read("SELECT settled FROM kinds WHERE name = ?", (_checked_kind(kind),))
        after, whole = int(rows[0][0]) if rows else 0, True
        while True:
            rows = self._database.read(
                "SELECT id, ?1, key, data, added, done.record FROM records LEFT JOIN done ON done.record = id "
                "WHERE kind = (SELECT id FROM kinds WHERE name = ?1) AND id > ?2 ORDER BY id LIMIT ?3",
                (kind, after, _PAGE),
            )
            for *row, is_done in rows:
                if is_done is None:
                    whole = False
                    yield self._record(row)
            if not rows:
                return
            after = rows[-1][0]
            if whole:  # the next to ask need not look at all those that are done
                with self._database.writing() as connection:
                    connection.execute("UPDATE kinds SET settled = max(settled, ?) WHERE name = ?", (after, kind))

    def done(self, kind: str, key: str | int | None, number: int | None, now: float) -> bool:
        with self._database.writing() as connection:
            if number is None:
                query = "SELECT id FROM records WHERE kind = (SELECT id FROM kinds WHERE name = ?) AND key = ?"
                row = connection.execute(query, (_checked_kind(kind), key)).fetchone()
                if row is None:
                    return False
                number = row[0]
            return connection.execute("INSERT OR IGNORE INTO done VALUES (?, ?)", (number, now)).rowcount == 1

    def remove(self, kind: str, key: str | int) -> bool:
        with self._database.writing() as connection:
            query = "SELECT id FROM records WHERE kind = (SELECT id FROM kinds WHERE name = ?) AND key = ?"
            row = connection.execute(query, (_checked_kind(kind), _checked_key(key))).fetchone()
            if row is not None:
                self._delete(connection, kind, [row[0]])
            return row is not None

    def forget(self, kind: str, before: float) -> int:
        removed = 0
        while True:  # in steps, so that others can write in between
            with self._database.writing() as connection:
                rows = connection.execute(
                    "SELECT id FROM records WHERE kind = (SELECT id FROM kinds WHERE name = ?) AND added < ? LIMIT ?",
                    (_checked_kind(kind), before, _PAGE),
                ).fetchall()
                self._delete(connection, kind, [row[0] for row in rows])
            removed += len(rows)
            if len(rows) < _PAGE:
                return removed

    @staticmethod
    def _insert(
        connection: sqlite3.Connection, kind: str, key: str | int | None, added: float, kept: str | bytes
    ) -> int:
        number = connection.execute(
            "INSERT INTO kinds (name, records) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET records = records + 1 "
            "RETURNING id",
            (kind,),
        ).fetchall()[0][0]
        found = connection.execute(
            "INSERT INTO records (kind, key, added, data) VALUES (?, ?, ?, ?)", (number, key, added, kept)
        ).lastrowid
        assert found is not None
        return found

    @staticmethod
    def _delete(connection: sqlite3.Connection, kind: str, numbers: list[int]) -> None:
        rows = [(number,) for number in numbers]
        connection.executemany("DELETE FROM records WHERE id = ?", rows)
        connection.executemany("DELETE FROM done WHERE record = ?", rows)
        connection.execute("UPDATE kinds SET records = records - ? WHERE name = ?", (len(numbers), kind))

    def _record(self, row: Any) -> Record:
        number, kind, key, kept, added = row
        try:
            return Record(number, kind, key, self._database.decoded(kept), added)
        except StoreError as error:
            name = f"record {number} of kind {kind!r}" + ("" if key is None else f", key {key!r}")
            raise StoreError(error.path, f"{name}: {error.reason}") from error.__cause__


def _checked_kind(kind: Any) -> str:
    if not isinstance(kind, str) or not kind or not _is_text(kind):
        raise TypeError(f"a kind of record is named by a text, not {kind!r}")
    return kind


def _checked_key(key: Any) -> str | int:
    if type(key) is str and _is_text(key):
        return key
    if type(key) is int and -(2**63) <= key < 2**63:
        return key
    raise TypeError(f"the key of a record is a text or a whole number, not {key!r:.200}")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
