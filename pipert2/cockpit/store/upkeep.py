"""Keeps the database small: old and too many records, old metrics and old runs go, a little at a time."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

from pipert2.cockpit.store.metrics_store import MetricsStore
from pipert2.cockpit.store.pipe_store import PipeStore
from pipert2.cockpit.store.record_store import RecordStore

_STEP = 1_000
_EVERY = 10.0
_SLACK = 1.002
"""Records above the limit that are let be, so that not each batch deletes some."""


class Upkeep:
    """A step of it is done by calling this, in the writer's thread.

    Args:
        records, metrics: what is kept small.
        keep_records: of each pipe. keep_days: of records, and of runs that ended. keep_pipes: runs.
        connected: whether a run's pipe, by its number, is connected now: then it is kept.
        on_removed: called with the number of a run that was forgotten.
    """

    def __init__(
        self,
        records: RecordStore,
        metrics: MetricsStore,
        *,
        keep_records: int,
        keep_days: float,
        keep_pipes: int,
        connected: Callable[[int], bool],
        on_removed: Callable[[int], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._records = records
        self._metrics = metrics
        self._keep_records = keep_records
        self._keep_seconds = keep_days * 86_400.0
        self._keep_pipes = keep_pipes
        self._connected = connected
        self._on_removed = on_removed
        self._clock = clock
        self._counts: dict[int, int] = {}
        self._to_remove: set[int] = set()
        self._due = 0.0

    def added(self, pipe: int, records: int) -> None:
        """Records of a pipe were written."""
        if pipe in self._counts:
            self._counts[pipe] += records

    def remove(self, pipe: int) -> None:
        """Forget a run with all that is kept of it."""
        self._to_remove.add(pipe)

    def __call__(self, connection: sqlite3.Connection) -> bool:
        """Do a step; whether there is more to do at once."""
        more = False
        now = self._clock()
        if now >= self._due:
            pipes = connection.execute("SELECT number, since FROM pipes ORDER BY number").fetchall()
            self._count([number for number, _ in pipes])
            self._choose(pipes, now)
            more = self._delete_old(connection, [number for number, _ in pipes], now)
            self._due = now if more else now + _EVERY
        more = self._delete_many(connection) or more
        return self._remove_some(connection) or more

    def _count(self, pipes: list[int]) -> None:
        for pipe in pipes:
            if pipe not in self._counts:
                self._counts[pipe] = self._records.count(pipe)
        self._counts = {pipe: self._counts[pipe] for pipe in pipes}

    def _delete_many(self, connection: sqlite3.Connection) -> bool:
        more = False
        for pipe, count in self._counts.items():
            excess = count - self._keep_records
            if excess > 0 and count >= self._keep_records * _SLACK:
                deleted = self._records.delete_oldest(connection, pipe, min(excess, _STEP))
                self._counts[pipe] = count - deleted if deleted else self._records.count(pipe)
                more = more or excess > _STEP
        return more

    def _delete_old(self, connection: sqlite3.Connection, pipes: list[int], now: float) -> bool:
        more = False
        for pipe in pipes:
            deleted = self._records.delete_oldest(connection, pipe, _STEP, now - self._keep_seconds)
            self._counts[pipe] = self._counts.get(pipe, 0) - deleted
            more = self._metrics.roll_up(connection, pipe, now) or deleted >= _STEP or more
        return self._metrics.delete_old(connection, now, _STEP) or more

    def _choose(self, pipes: list[tuple[int, float]], now: float) -> None:
        """Note the runs to be forgotten: ended long ago, or too many."""
        ended = [(number, since) for number, since in pipes if not self._connected(number)]
        self._to_remove |= {number for number, since in ended if since < now - self._keep_seconds}
        excess = len(pipes) - len(self._to_remove) - self._keep_pipes
        left = sorted((since, number) for number, since in ended if number not in self._to_remove)
        self._to_remove |= {number for _, number in left[: max(0, excess)]}

    def _remove_some(self, connection: sqlite3.Connection) -> bool:
        self._to_remove = {pipe for pipe in self._to_remove if not self._connected(pipe)}
        if not self._to_remove:
            return False
        pipe = min(self._to_remove)
        deleted = self._records.delete_oldest(connection, pipe, _STEP)
        if deleted < _STEP:
            PipeStore.remove(connection, pipe)
            self._metrics.forget_layouts()
            self._to_remove.discard(pipe)
            self._counts.pop(pipe, None)
            self._on_removed(pipe)
        return bool(self._to_remove)
