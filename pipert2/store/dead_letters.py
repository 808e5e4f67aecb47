"""Dead letters: messages that could not be dealt with, kept until somebody requeues or drops them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipert2.errors import StoreError
from pipert2.store.database import Database

_COLUMNS = "id, flow, routine, message, attempts, time, requeued, error, traceback, data, pipe, run, origin"
_FITTING = "(?1 IS NULL OR routine = ?1) AND (?2 IS NULL OR pipe = ?2)"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that a routine gave up on.

    Attributes:
        id: names it in the store.
        flow, routine: who gave it up.
        message: the message's id.
        attempts: how often it was tried.
        time: when it was given up (seconds since the epoch).
        requeued: when it was sent again; None while it is dead.
        error, traceback: the last attempt's error in a line, and in full.
        data: the message's data.
        pipe: the name of the pipe. run: names the run of it in which the message was given up.
        origin: which source made the message, and as which of its own.
    """

    id: int
    flow: str
    routine: str
    message: str
    attempts: int
    time: float
    requeued: float | None
    error: str
    traceback: str
    data: Any
    pipe: str = ""
    run: str = ""
    origin: int = 0


class DeadLetters:
    """The table of dead letters. One message of one routine is one letter, however often it is given up."""

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    def add(
        self,
        flow: str,
        routine: str,
        message: str,
        data: Any,
        *,
        attempts: int,
        error: str,
        traceback: str = "",
        pipe: str = "",
        run: str = "",
        origin: int = 0,
    ) -> int:
        """Keep a message that was given up; one that was requeued and failed again is dead again.

        Returns:
            the letter's id.
        """
        kept = self._database.encoded(data)
        with self._database.writing() as connection:
            rows = connection.execute(
                "INSERT INTO letters (flow, routine, message, attempts, time, requeued, error, traceback, data, pipe, "
                "run, origin) VALUES (?, ?, ?, ?, ?, NULL, ?, ?, ?, ?, ?, ?) ON CONFLICT (routine, message) DO UPDATE "
                "SET attempts = excluded.attempts, time = excluded.time, requeued = NULL, error = excluded.error, "
                "traceback = excluded.traceback, data = excluded.data RETURNING id",
                (
                    *(flow, routine, message, attempts, self._now(), _text(error), _text(traceback), kept),
                    *(pipe, run, origin),
                ),
            ).fetchall()
        return int(rows[0][0])

    def get(self, letter: int) -> DeadLetter | None:
        """The letter of this id."""
        rows = self._database.read(f"SELECT {_COLUMNS} FROM letters WHERE id = ?", (letter,))
        return self._letter(rows[0]) if rows else None

    def list(
        self,
        routine: str | None = None,
        *,
        requeued: bool = False,
        after: int = 0,
        limit: int = 100,
        pipe: str | None = None,
    ) -> list[DeadLetter]:
        """Letters, oldest first.

        Args:
            routine: only this routine's.
            requeued: those that were sent again and are not settled, instead of the dead ones.
            after: only those with a greater id: the last one of the page before.
            limit: how many at most.
            pipe: only this pipe's.
        """
        rows = self._database.read(
            f"SELECT {_COLUMNS} FROM letters WHERE {_FITTING} AND id > ?3 "
            "AND (requeued IS NOT NULL) = ?4 ORDER BY id LIMIT ?5",
            (routine, pipe, after, requeued, limit),
        )
        return [self._letter(row) for row in rows]

    def ids(self, routine: str | None = None, *, pipe: str | None = None) -> Sequence[int]:
        """The ids of those that were not requeued, oldest first."""
        query = f"SELECT id FROM letters WHERE requeued IS NULL AND {_FITTING} ORDER BY id"
        return [int(row[0]) for row in self._database.read(query, (routine, pipe))]

    def count(self, routine: str | None = None, *, pipe: str | None = None) -> int:
        """How many there are that were not requeued."""
        query = f"SELECT count(*) FROM letters WHERE requeued IS NULL AND {_FITTING}"
        return int(self._database.read(query, (routine, pipe))[0][0])

    def counts(self, pipe: str) -> dict[str, int]:
        """How many a pipe has that were not requeued, by routine."""
        query = "SELECT routine, count(*) FROM letters WHERE pipe = ? AND requeued IS NULL GROUP BY routine"
        return dict(self._database.read(query, (pipe,)))

    def requeue(self, letter: int) -> DeadLetter:
        """Mark a letter as sent again, and return it so that it can be. :meth:`drop` it when it was dealt with.

        Raises:
            StoreError: there is none of this id, or it was requeued already.
        """
        with self._database.writing() as connection:
            found = self.get(letter)
            if found is None or found.requeued is not None:
                was = "there is no dead letter" if found is None else "was requeued already: dead letter"
                raise StoreError(self._database.path, f"{was} {letter}")
            connection.execute("UPDATE letters SET requeued = ? WHERE id = ?", (self._now(), letter))
        return found

    def unqueue(self, letter: int | None = None, *, pipe: str | None = None) -> int:
        """Make letters that were sent again, and never settled, dead again; returns how many.

        Args:
            letter: only this one, which failed again; else all of them: after a crash.
            pipe: only this pipe's.
        """
        query = (
            "UPDATE letters SET requeued = NULL WHERE requeued IS NOT NULL AND (?1 IS NULL OR id = ?1) "
            "AND (?2 IS NULL OR pipe = ?2)"
        )
        with self._database.writing() as connection:
            return connection.execute(query, (letter, pipe)).rowcount

    def drop(self, letter: int) -> bool:
        """Remove a letter for good, requeued or not. Returns whether it was there."""
        with self._database.writing() as connection:
            return connection.execute("DELETE FROM letters WHERE id = ?", (letter,)).rowcount == 1

    def drop_all(self, routine: str | None = None) -> int:
        """Remove all that were not requeued. Returns how many."""
        with self._database.writing() as connection:
            return connection.execute(
                "DELETE FROM letters WHERE requeued IS NULL AND (?1 IS NULL OR routine = ?1)", (routine,)
            ).rowcount

    def settle(self, routine: str, message: str) -> bool:
        """A message that was requeued was dealt with. Returns whether there was one."""
        query = "DELETE FROM letters WHERE routine = ? AND message = ? AND requeued IS NOT NULL"
        with self._database.writing() as connection:
            return connection.execute(query, (routine, message)).rowcount == 1

    def _letter(self, row: Any) -> DeadLetter:
        number, flow, routine, message, attempts, time, requeued, error, traceback, kept, pipe, run, origin = row
        data = self._database.decoded(kept)
        known = (number, flow, routine, message, attempts, time, requeued, error, traceback)
        return DeadLetter(*known, data, pipe, run, origin)


def _text(text: str) -> str:
    """Errors may quote what is no text."""
    return text.encode("utf-8", "backslashreplace").decode()
