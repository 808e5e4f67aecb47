"""The one thread that writes: takes what waits, does all of it in one transaction, then says that it is safe."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any

from pipert2.cockpit.store.database import Database
from pipert2.errors import ControlError

logger = logging.getLogger(__name__)

Job = Callable[[sqlite3.Connection], Any]
_MOST_TOGETHER = 64
_PULSE = 1.0
_CLOSE_SECONDS = 5.0


class Writer:
    """Writes to the database. A context manager; closes twice without complaint.

    Args:
        database: the database.
        upkeep: called between transactions, at least once a second, with a connection; does a small step of what keeps
            the database small, and returns whether there is more to do at once.
        on_failure: called when a transaction was taken back.
    """

    def __init__(
        self,
        database: Database,
        upkeep: Callable[[sqlite3.Connection], bool],
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_failure = on_failure
        self._connection = database.connect()
        self._upkeep = upkeep
        self._jobs: SimpleQueue[tuple[Job, Future[Any]] | None] = SimpleQueue()
        self._closed = False
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="pipert2-cockpit-writer", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> Future[Any]:
        """Have *job* done in the next transaction. The future is done when what it wrote is committed.

        Raises:
            ControlError: this is closed.
        """
        if self._closed:
            raise ControlError("bad_state", "the cockpit is shutting down")
        future: Future[Any] = Future()
        self._jobs.put((job, future))
        return future

    def close(self) -> None:
        """Write what waits, then end."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        more = False
        while True:
            group, last = self._next_group(0.0 if more else _PULSE)
            if group:
                self._write(group)
            if last:
                self._connection.close()
                return
            try:
                more = self._upkeep(self._connection)
            except sqlite3.Error as error:
                more = False
                self._roll_back()
                self._note(error)

    def _next_group(self, patience: float) -> tuple[list[tuple[Job, Future[Any]]], bool]:
        """What waits; and whether it is the last."""
        group: list[tuple[Job, Future[Any]]] = []
        try:
            one = self._jobs.get(timeout=patience) if patience else self._jobs.get_nowait()
            while True:
                if one is None:
                    return group, True
                group.append(one)
                if len(group) >= _MOST_TOGETHER:
                    return group, False
                one = self._jobs.get_nowait()
        except Empty:
            return group, False

    def _write(self, group: list[tuple[Job, Future[Any]]]) -> None:
        try:
            results = self._transaction([job for job, _ in group])
        except Exception as error:
            if len(group) > 1:  # one of them is to blame: the others shall not suffer for it
                for one in group:
                    self._write([one])
                return
            if isinstance(error, sqlite3.Error):
                self._note(error)
            group[0][1].set_exception(error)
            return
        self._note(None)
        for (_, future), result in zip(group, results, strict=True):
            future.set_result(result)

    def _transaction(self, jobs: list[Job]) -> list[Any]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            results = [job(self._connection) for job in jobs]
            self._connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            self._on_failure()
            raise
        return results

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error as error:
                logger.debug("nothing to roll back: %s", error)

    def _note(self, error: sqlite3.Error | None) -> None:
        """Tell in the log when writing begins to fail and when it goes again, not each time."""
        if error is not None and not self._failing:
            logger.error("the cockpit cannot write its database, pipes keep their records and try again: %s", error)
        if error is None and self._failing:
            logger.warning("the cockpit can write its database again")
        self._failing = error is not None
