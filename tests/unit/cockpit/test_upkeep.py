"""Upkeep: too many and too old records go, runs that ended long ago too, and nothing of pipes that are connected."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipert2.cockpit.store.database import Database
from pipert2.cockpit.store.metrics_store import MetricsStore
from pipert2.cockpit.store.pipe_store import PipeRun, PipeStore
from pipert2.cockpit.store.record_store import RecordStore
from pipert2.cockpit.store.upkeep import Upkeep
from tests.unit.cockpit.conftest import record

DAY = 86_400.0


class _Kept:
    """A database with runs of pipes in it, and what keeps it small."""

    def __init__(self, database: Database, keep_records: int = 100, keep_pipes: int = 10) -> None:
        self.database = database
        self.records = RecordStore(database)
        self.connection = database.connect()
        self.connected: set[int] = set()
        self.removed: list[int] = []
        self.now = 100 * DAY
        self.upkeep = Upkeep(
            self.records,
            MetricsStore(database, 30.0),
            keep_records=keep_records,
            keep_days=10.0,
            keep_pipes=keep_pipes,
            connected=lambda number: number in self.connected,
            on_removed=self.removed.append,
            clock=lambda: self.now,
        )

    def pipe(self, records: int, *, days_ago: float = 0.0) -> int:
        since = self.now - days_ago * DAY
        number = PipeStore.add(self.connection, PipeRun(f"run{since}{records}", "p", "h", 1, since, "1"), since)
        self.add(number, records, since)
        return number

    def add(self, pipe: int, records: int, time: float) -> None:
        last = self.records.last_number(pipe)
        self.connection.execute("BEGIN")
        found = [record(last + 1 + n, time=time) for n in range(records)]
        self.records.insert(self.connection, pipe, found)
        self.connection.execute("COMMIT")
        self.upkeep.added(pipe, records)

    def run(self) -> None:
        self.now += 11.0
        while self.upkeep(self.connection):
            pass

    def counts(self, *pipes: int) -> list[int]:
        return [self.records.count(pipe) for pipe in pipes]


@pytest.fixture
def kept(database: Database) -> Callable[..., _Kept]:
    return lambda **options: _Kept(database, **options)


def test_each_pipe_keeps_its_newest_records(kept: Callable[..., _Kept]) -> None:
    one = kept()
    many, few = one.pipe(2_500), one.pipe(50)
    one.run()
    assert one.counts(many, few) == [100, 50]
    one.add(few, 80, one.now)
    one.run()
    assert one.counts(many, few) == [100, 100]
    assert one.records.last_number(few) == 130
    one.connection.close()


def test_old_records_go_by_age(kept: Callable[..., _Kept]) -> None:
    one = kept()
    pipe = one.pipe(30, days_ago=11.0)
    one.connected.add(pipe)
    one.add(pipe, 20, one.now)
    one.run()
    assert one.counts(pipe) == [20]
    one.connection.close()


def test_runs_that_ended_long_ago_are_forgotten_with_all_they_left(kept: Callable[..., _Kept]) -> None:
    one = kept()
    old, there, new = one.pipe(30, days_ago=11.0), one.pipe(31, days_ago=11.0), one.pipe(32, days_ago=1.0)
    one.connected.add(there)
    one.run()
    assert one.removed == [old]
    assert [known.number for known in PipeStore(one.database).all()] == [there, new]
    one.connection.close()


def test_of_too_many_runs_those_that_ended_first_are_forgotten(kept: Callable[..., _Kept]) -> None:
    one = kept(keep_pipes=2)
    pipes = [one.pipe(5, days_ago=4.0 - n) for n in range(4)]
    one.connected.add(pipes[0])
    one.run()
    assert one.removed == pipes[1:3]
    one.connection.close()


def test_a_run_whose_history_is_to_go_keeps_it_if_its_pipe_comes_back(kept: Callable[..., _Kept]) -> None:
    one = kept()
    pipe = one.pipe(5)
    one.upkeep.remove(pipe)
    one.connected.add(pipe)
    one.run()
    assert one.counts(pipe) == [5]
    one.connected.clear()
    one.upkeep.remove(pipe)
    one.run()
    assert one.removed == [pipe]
    one.connection.close()
