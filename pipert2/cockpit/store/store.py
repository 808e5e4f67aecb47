"""All that the cockpit keeps, in one database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from types import TracebackType
from typing import TYPE_CHECKING

from pipert2.cockpit.settings import CockpitSettings
from pipert2.cockpit.store.accounts import Accounts
from pipert2.cockpit.store.audit import Entry, write_entry
from pipert2.cockpit.store.database import Database
from pipert2.cockpit.store.metrics_store import MetricsStore
from pipert2.cockpit.store.pipe_store import PipeStore
from pipert2.cockpit.store.record_store import RecordStore
from pipert2.cockpit.store.upkeep import Upkeep
from pipert2.cockpit.store.writer import Writer

if TYPE_CHECKING:
    from pipert2.cockpit.server.live_pipe import LivePipe
    from pipert2.cockpit.server.messages import Record


class Store:
    """Opens the database and keeps it small. A context manager; closes twice without complaint.

    Args:
        settings: where it is, and how much is kept.
        workers: read it, since that may take a while.

    Attributes:
        connected: the numbers of the runs whose pipes are connected.
        on_removed: called, in the writer's thread, with the number of a run that was forgotten.
    """

    def __init__(self, settings: CockpitSettings, workers: Executor) -> None:
        self.database = Database(settings.database)
        self.workers = workers
        self.accounts = Accounts(self.database)
        self.records = RecordStore(self.database)
        self.metrics = MetricsStore(self.database, settings.keep_days)
        self.pipes = PipeStore(self.database)
        self.connected: set[int] = set()
        self.on_removed: Callable[[int], None] = lambda number: None
        self.upkeep = Upkeep(
            self.records,
            self.metrics,
            keep_records=settings.keep_records,
            keep_days=settings.keep_days,
            keep_pipes=settings.keep_pipes,
            connected=lambda number: number in self.connected,
            on_removed=lambda number: self.on_removed(number),
        )
        self.writer = Writer(self.database, self.upkeep, self.metrics.forget_layouts)

    def insert(self, connection: sqlite3.Connection, pipe: LivePipe, records: Sequence[Record]) -> list[Record]:
        """Write those records of a pipe that are not there yet; these. For the writer's thread."""
        last = max(pipe.last, self.records.last_written(connection, pipe.number))
        fresh = [record for record in records if record["number"] > last]
        fresh.sort(key=lambda record: record["number"])
        fresh = [one for at, one in enumerate(fresh) if not at or one["number"] > fresh[at - 1]["number"]]
        if fresh:
            self.records.insert(connection, pipe.number, fresh)
            self.upkeep.added(pipe.number, len(fresh))
        return fresh

    def audit(self, entry: Entry) -> None:
        """Add an entry to the audit trail."""
        self.writer.submit(lambda connection: write_entry(connection, entry))

    def close(self) -> None:
        """Write what waits and close the database."""
        self.writer.close()
        self.database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
