"""The audit trail: who did what when, and what came of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipert2.cockpit.store.database import Database
from pipert2.control.verbs import plain

MOST_ENTRIES = 100_000
_LONGEST = 4_000


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that somebody did.

    Attributes:
        time: when (seconds since the epoch).
        user: who, None where nobody has to log in. address: from where.
        pipe, pipe_name: with which run of a pipe, None if with none.
        verb, arguments: what. outcome: ``"ok"`` or an error's code. message: the error's.
    """

    time: float
    user: str | None
    address: str | None
    pipe: str | None
    pipe_name: str | None
    verb: str
    arguments: Mapping[str, Any]
    outcome: str
    message: str = ""


def write_entry(connection: sqlite3.Connection, entry: Entry) -> None:
    """Add an entry; the oldest ones go when there are too many. For the writer's thread."""
    arguments = json.dumps(plain(entry.arguments))
    if len(arguments) > _LONGEST:
        arguments = json.dumps({"shortened": arguments[:_LONGEST]})
    values = (entry.time, entry.user, entry.address, entry.pipe, entry.pipe_name, entry.verb[:200], arguments)
    done = connection.execute(
        "INSERT INTO audit (time, user, address, pipe, pipe_name, verb, arguments, outcome, message) "
        "VALUES (?,?,?,?,?,?,?,?,?)",
        (*values, entry.outcome, entry.message[:_LONGEST]),
    )
    connection.execute("DELETE FROM audit WHERE number <= ?", ((done.lastrowid or 0) - MOST_ENTRIES,))


def read_entries(database: Database, limit: int, before: int | None) -> tuple[list[dict[str, Any]], bool]:
    """The newest entries, of those *before* a number if that is given, newest first; whether there are more."""
    names = ("number", "time", "user", "address", "pipe", "pipe_name", "verb", "arguments", "outcome", "message")
    with database.reading() as connection:
        rows = connection.execute(
            f"SELECT {', '.join(names)} FROM audit WHERE number < ? ORDER BY number DESC LIMIT ?",
            (before if before is not None else 1 << 62, limit + 1),
        ).fetchall()
    entries = [dict(zip(names, row, strict=True)) for row in rows[:limit]]
    for entry in entries:
        entry["arguments"] = json.loads(entry["arguments"])
    return entries, len(rows) > limit
