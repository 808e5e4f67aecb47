"""The runs of pipes that the cockpit has seen, in the database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipert2.cockpit.store.database import Database


@dataclass(frozen=True, slots=True)
class PipeRun:
    """One run of a pipe, as it introduces itself: *id* names the run, *started* is when (seconds since the epoch)."""

    id: str
    name: str
    host: str
    pid: int
    started: float
    pipert2: str


@dataclass(frozen=True, slots=True)
class KnownPipe:
    """A run with its *number* in the database, since when it is as it is, and the last that was heard of it."""

    number: int
    run: PipeRun
    since: float
    structure: dict[str, Any] | None
    status: dict[str, Any] | None


class PipeStore:
    """Runs of pipes by their numbers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[KnownPipe]:
        """All of them, oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT * FROM pipes ORDER BY number").fetchall()
        return [
            KnownPipe(
                row[0],
                PipeRun(*row[1:7]),
                row[7],
                json.loads(row[8]) if row[8] else None,
                json.loads(row[9]) if row[9] else None,
            )
            for row in rows
        ]

    @staticmethod
    def add(connection: sqlite3.Connection, run: PipeRun, since: float) -> int:
        """Note a run; its number."""
        connection.execute(
            "INSERT INTO pipes (id, name, host, pid, started, pipert2, since) VALUES (?,?,?,?,?,?,?) "
            "ON CONFLICT (id) DO UPDATE SET since = excluded.since",
            (run.id, run.name, run.host, run.pid, run.started, run.pipert2, since),
        )
        found = connection.execute("SELECT number FROM pipes WHERE id = ?", (run.id,)).fetchone()
        return int(found[0])

    @staticmethod
    def note(
        connection: sqlite3.Connection,
        number: int,
        since: float,
        structure: Mapping[str, Any] | None,
        status: Mapping[str, Any] | None,
    ) -> None:
        """Note the last that was heard of a run."""
        connection.execute(
            "UPDATE pipes SET since = ?, structure = ?, status = ? WHERE number = ?",
            (since, json.dumps(structure) if structure else None, json.dumps(status) if status else None, number),
        )

    @staticmethod
    def remove(connection: sqlite3.Connection, number: int) -> None:
        """Forget a run whose records are gone already, with its metrics."""
        connection.execute("BEGIN IMMEDIATE")
        for table in ("counts", "metrics", "layouts"):
            connection.execute(f"DELETE FROM {table} WHERE pipe = ?", (number,))
        connection.execute("DELETE FROM pipes WHERE number = ?", (number,))
        connection.execute("COMMIT")
