"""Automatic pacing reads how long routines take and tells the sources."""

from __future__ import annotations

import pytest

from pipert2.graph.routine import RoutineKind
from pipert2.graph.spec import EdgeSpec, PipeSpec, RoutineSpec
from pipert2.graph.transmitter import BasicTransmitter
from pipert2.runtime.routine.pacing import HEADROOM, SECOND
from pipert2.runtime.supervision.auto_pacing import LONGEST_PERIOD, AutoPacing
from pipert2.transport import board as b
from pipert2.transport.board import Board
from pipert2.transport.memory import PrivateArena


class Shop:
    """A source with two readers, and their words."""

    def __init__(self) -> None:
        routines = tuple(RoutineSpec(index, name, "flow", RoutineKind.ANY, ()) for index, name in enumerate("abc"))
        edges = tuple(
            EdgeSpec(
                index=index,
                source=0,
                destination=index + 1,
                lossless=False,
                capacity=1,
                transmitter=BasicTransmitter(),
                crosses=False,
            )
            for index in range(2)
        )
        self.spec = PipeSpec("shop", {"flow": (0, 1, 2)}, routines, edges, 1.0)
        self.board = Board(PrivateArena().create("board", Board.size(3, 2)), 3)
        self.pacing = AutoPacing(lambda: self.spec, self.board)

    def worked(self, routine: int, seconds: float, messages: int = 10) -> None:
        row = self.board.routine(routine) + b.LOGIC
        self.board.words[row] += messages
        self.board.words[row + 1] += round(messages * seconds * SECOND)

    @property
    def period(self) -> float:
        self.pacing.tick()
        return self.board.words[self.board.routine(0) + b.PACE_NS] / SECOND


def test_nothing_is_held_back_before_anything_is_known() -> None:
    assert Shop().period == 0.0


def test_a_source_is_held_to_a_little_more_than_its_fastest_reader_takes() -> None:
    shop = Shop()
    shop.worked(1, 0.020)
    shop.worked(2, 0.100)
    assert shop.period == pytest.approx(0.020 / HEADROOM, rel=1e-6)


def test_the_latest_time_counts() -> None:
    shop = Shop()
    shop.worked(1, 0.020)
    shop.worked(2, 0.020)
    assert shop.period == pytest.approx(0.020 / HEADROOM, rel=1e-6)
    shop.worked(1, 0.005)
    assert shop.period == pytest.approx(0.005 / HEADROOM, rel=1e-6)


def test_without_anything_new_the_rate_stays() -> None:
    shop = Shop()
    shop.worked(1, 0.020)
    shop.worked(2, 0.020)
    assert shop.period == shop.period == shop.period > 0.0


def test_a_source_is_never_held_to_less_than_one_message_a_second() -> None:
    shop = Shop()
    shop.worked(1, 100.0)
    shop.worked(2, 100.0)
    assert shop.period == LONGEST_PERIOD / SECOND


def test_a_reader_that_was_unlinked_does_not_count() -> None:
    shop = Shop()
    shop.worked(1, 0.005)
    shop.worked(2, 0.100)
    shop.board.words[shop.board.edge(0) + b.CLOSED] = 1
    assert shop.period == pytest.approx(0.100 / HEADROOM, rel=1e-6)
