"""What the pipe itself keeps in the store: runs of triggered routines, and messages that were dealt with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pipert2.store.data import decode, encode
from pipert2.store.database import Database

_KEPT_RUNS = 1_000


class RunOutcome(Enum):
    """How a run ended. ``INTERRUPTED``: the process ended first."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a triggered routine.

    Attributes:
        number: counts the routine's runs from 1.
        due, began, ended: moments (seconds since the epoch).
        text: the error, if it failed.
    """

    routine: str
    number: int
    due: float
    began: float
    ended: float | None
    outcome: RunOutcome
    text: str


class Runs:
    """The last thousand runs of each triggered routine, and the state of its trigger."""

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    def trigger_state(self, routine: str) -> dict[str, Any] | None:
        """What was last saved of a routine's trigger."""
        rows = self._database.read("SELECT state FROM triggers WHERE routine = ?", (routine,))
        return dict(decode(rows[0][0])) if rows else None

    def save_trigger_state(self, routine: str, state: Mapping[str, Any]) -> None:
        """Keep the state of a routine's trigger."""
        kept = encode(dict(state))
        with self._database.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO triggers VALUES (?, ?)", (routine, kept))

    def begin(self, routine: str, due: float, state: Mapping[str, Any] | None = None) -> Run:
        """A run begins; *state* of its trigger is kept with it, so that a kill can neither lose nor repeat a fire."""
        began = self._now()
        with self._database.writing() as connection:
            if state is not None:
                self.save_trigger_state(routine, state)
            rows = connection.execute(
                "INSERT INTO runs SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, NULL, 'running', '' "
                "FROM runs WHERE routine = ?1 RETURNING number",
                (routine, due, began),
            ).fetchall()
            number = int(rows[0][0])
            oldest = number - _KEPT_RUNS
            connection.execute("DELETE FROM runs WHERE routine = ? AND number <= ?", (routine, oldest))
        return Run(routine, number, due, began, None, RunOutcome.RUNNING, "")

    def end(self, run: Run, outcome: RunOutcome, text: str = "", state: Mapping[str, Any] | None = None) -> None:
        """A run has ended."""
        with self._database.writing() as connection:
            if state is not None:
                self.save_trigger_state(run.routine, state)
            connection.execute(
                "UPDATE runs SET ended = ?, outcome = ?, text = ? WHERE routine = ? AND number = ?",
                (self._now(), outcome.value, text, run.routine, run.number),
            )

    def interrupt(self, routine: str) -> int:
        """Runs of *routine* that never ended were interrupted: its process begins anew. Returns how many."""
        with self._database.writing() as connection:
            return connection.execute(
                "UPDATE runs SET outcome = 'interrupted' WHERE routine = ? AND outcome = 'running'", (routine,)
            ).rowcount

    def list(self, routine: str, limit: int = 100) -> list[Run]:
        """The newest runs, newest first."""
        rows = self._database.read(
            "SELECT routine, number, due, began, ended, outcome, text FROM runs WHERE routine = ? "
            "ORDER BY number DESC LIMIT ?",
            (routine, limit),
        )
        return [
            Run(name, number, due, began, ended, RunOutcome(outcome), text)
            for name, number, due, began, ended, outcome, text in rows
        ]


class Acknowledged:
    """Ids of messages that were dealt with to the end, so that one that is sent again is known."""

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    def add(self, source: str, messages: Iterable[str | int]) -> int:
        """Keep ids of a source's messages. Returns how many were not there."""
        now = self._now()
        with self._database.writing() as connection:
            return connection.executemany(
                "INSERT OR IGNORE INTO acknowledged VALUES (?, ?, ?)", [(source, message, now) for message in messages]
            ).rowcount

    def has(self, source: str, message: str | int) -> bool:
        """Whether a message was dealt with."""
        query = "SELECT 1 FROM acknowledged WHERE source = ? AND message = ?"
        return bool(self._database.read(query, (source, message)))

    def count(self, source: str) -> int:
        """How many of a source's messages were dealt with."""
        return int(self._database.read("SELECT count(*) FROM acknowledged WHERE source = ?", (source,))[0][0])

    def forget(self, source: str | None = None, before: float | None = None) -> int:
        """Remove ids: of one source, of before a moment, or all. Returns how many."""
        with self._database.writing() as connection:
            return connection.execute(
                "DELETE FROM acknowledged WHERE (?1 IS NULL OR source = ?1) AND (?2 IS NULL OR time < ?2)",
                (source, before),
            ).rowcount
