"""The offset of another host's clock is read for each message, while the answers it is made of come."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from pipert2.engine.link.offset import KEPT, OffsetEstimate


@pytest.fixture
def _threads_take_turns_often() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("_threads_take_turns_often")
def test_the_estimate_can_be_read_while_an_answer_comes() -> None:
    estimate = OffsetEstimate()
    ended = threading.Event()

    def answers() -> None:
        for number in range(5_000):
            estimate.add(asked=0, answered=0, arrived=number % 50)
        ended.set()

    thread = threading.Thread(target=answers)
    thread.start()
    while not ended.is_set():
        best = estimate.best
        assert best is None or best.uncertainty <= 25
    thread.join()


def test_of_the_last_answers_the_quickest_counts() -> None:
    estimate = OffsetEstimate()
    assert estimate.best is None
    estimate.add(asked=0, answered=5, arrived=-1)  # came before it was asked for
    assert estimate.best is None
    estimate.add(asked=0, answered=101, arrived=2)
    for _ in range(KEPT - 1):
        estimate.add(asked=0, answered=0, arrived=10)
    assert estimate.best == (-100, 1)
    estimate.add(asked=0, answered=0, arrived=10)
    assert estimate.best == (5, 5)
