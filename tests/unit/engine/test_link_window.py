"""The window of a real-time link, and the estimate of a clock's offset."""

from __future__ import annotations

import random

from pipert2.engine.link.offset import KEPT, OffsetEstimate
from pipert2.engine.link.window import LEAST, MOST, Window

MS = 1_000_000


def used(window: Window, bandwidth: float, delay: int, rounds: int = 400, now: int = 0) -> int:
    """What a window comes to on a way of so many messages per ms that takes *delay* ns there and back."""
    for _ in range(rounds):
        # What is more than fits on the way waits in front of it.
        round_trip = max(delay, round(window.size / bandwidth * MS))
        now += round_trip
        window.was_full()
        window.measured(round_trip, now)
    return window.size


def test_it_grows_until_the_way_is_full() -> None:
    assert used(Window(), bandwidth=0.5, delay=100 * MS) >= 50
    assert used(Window(), bandwidth=0.5, delay=100 * MS) <= 60


def test_a_long_way_that_takes_all_is_used_up_to_the_most() -> None:
    assert used(Window(), bandwidth=1000, delay=100 * MS) == MOST


def test_it_shrinks_when_messages_begin_to_wait() -> None:
    window = Window()
    used(window, bandwidth=1, delay=50 * MS)
    assert used(window, bandwidth=0.05, delay=50 * MS, now=100_000 * MS) < 10


def test_it_never_falls_below_the_least_nor_rises_above_the_credit() -> None:
    assert LEAST <= used(Window(), bandwidth=0.01, delay=MS) <= LEAST + 4
    assert used(Window(5), bandwidth=1000, delay=MS) == 5
    assert used(Window(1), bandwidth=0.001, delay=MS) == 1


def test_a_window_that_holds_nobody_back_does_not_grow() -> None:
    window = Window()
    for at in range(100):
        window.measured(MS, at * 10 * MS)
    assert window.size == Window().size


def test_the_quickest_answer_tells_the_offset() -> None:
    estimate, picks, offset = OffsetEstimate(), random.Random(3), 123_456_789_000
    for at in range(KEPT):
        asked = at * 1000 * MS
        there, back = picks.randint(1, 40) * MS, picks.randint(1, 40) * MS
        if at == 5:
            there = back = MS // 10
        estimate.add(asked=asked, answered=asked + there - offset, arrived=asked + there + back)
    best = estimate.best
    assert best is not None
    assert abs(best.nanoseconds - offset) <= best.uncertainty == MS // 10


def test_an_answer_that_came_before_the_question_is_left_out() -> None:
    estimate = OffsetEstimate()
    estimate.add(asked=10, answered=5, arrived=9)
    assert estimate.best is None
    assert len(estimate) == 0
