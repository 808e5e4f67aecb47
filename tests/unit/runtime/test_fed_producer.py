"""Which messages of a fed source are over, as it reads that from its ledger."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pipert2.runtime.routine.fed_producer import FedProducer, _Open
from pipert2.transport import board as b
from pipert2.transport import work_table as w
from pipert2.transport.work_table import WorkTable, table_words

CELLS = 8


class Ledger:
    """An account of its own, whose lock is held by somebody else until *meanwhile* is done."""

    def __init__(self) -> None:
        self.spec = SimpleNamespace(capacity=CELLS)
        self.table = WorkTable(memoryview(bytearray(8 * table_words(CELLS))).cast("Q"), CELLS)
        words = self.table.words
        for cell in range(CELLS):
            words[self.table.row(cell) + w.STATE] = w.FREE
        self.meanwhile: Callable[[], None] = lambda: None

    @property
    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        self.meanwhile()
        yield

    def open(self, cell: int) -> _Open:
        words, row = self.table.words, self.table.row(cell)
        words[row + w.NUMBER], words[row + w.STATE] = cell + 1, w.CLAIMED
        return _Open(cell + 1, 100 + cell)

    def count(self) -> None:
        self.table.words[w.DONE] += 1

    def free(self, cell: int) -> None:
        self.table.words[self.table.row(cell) + w.STATE] = w.FREE


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def producer(ledger: Ledger) -> Any:
    loop = SimpleNamespace(words=[0] * b.ROUTINE_WORDS, row=0)
    made: Any = FedProducer(cast(Any, loop), cast(Any, None), cast(Any, ledger))
    made.over = []
    made._feed = SimpleNamespace(over=made.over.append)
    for cell in range(CELLS):
        made._open[cell] = one = ledger.open(cell)
        made._tags[one.origin] = cell
    made._seen_done = 0
    return made


def test_a_message_is_over_in_whatever_order_they_are_done(ledger: Ledger, producer: Any) -> None:
    for cells in ((5,), (0, 7), (3, 1, 2)):
        for cell in cells:
            ledger.count()
            ledger.free(cell)
        producer._look()
    assert producer.over == [5, 0, 7, 1, 2, 3]
    assert not producer._is_something_over()


def test_one_that_is_counted_and_not_yet_free_is_not_overlooked(ledger: Ledger, producer: Any) -> None:
    ledger.count()  # whoever is at it holds the lock
    ledger.meanwhile = lambda: ledger.free(4)
    producer._look()
    assert producer.over == [4]


def test_one_that_is_done_while_others_are_looked_at_is_found_the_next_time(ledger: Ledger, producer: Any) -> None:
    ledger.count()
    ledger.free(6)
    ledger.free(2)  # and will be counted when this look is over
    producer._look()
    ledger.count()
    producer._look()
    assert sorted(producer.over) == [2, 6]


def test_what_is_given_up_because_all_are_killed_does_not_count_as_done(ledger: Ledger, producer: Any) -> None:
    producer._loop.words[b.TO_BE_KILLED] = 1
    ledger.count()
    ledger.free(3)
    producer._look()
    assert producer.over == []
    assert not producer._is_something_over()
