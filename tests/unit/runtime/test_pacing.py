"""Ticks without drift, and the rate at which a source's data can be used."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipert2.runtime.routine.pacing import Load, Ticker, usable_rates


def ticking(period: int) -> Ticker:
    ticker = Ticker()
    ticker.set_period(period)
    return ticker


# ------------------------------------------------------------------------------------------------ Ticker


def test_the_first_tick_is_due_at_once() -> None:
    assert ticking(100).next(42) == 42


def test_ticks_follow_each_other_at_the_period() -> None:
    ticker = ticking(100)
    assert [ticker.next(now) for now in (0, 0, 0, 0)] == [0, 100, 200, 300]


def test_a_tick_that_was_taken_late_does_not_delay_the_next() -> None:
    ticker = ticking(100)
    assert [ticker.next(now) for now in (0, 150, 199, 230)] == [0, 100, 200, 300]
    assert ticker.skipped == 0


def test_a_tick_that_comes_a_whole_period_late_is_skipped_and_counted() -> None:
    ticker = ticking(100)
    ticker.next(0)
    assert ticker.next(200) == 200
    assert ticker.skipped == 1


def test_many_missed_ticks_are_counted_each() -> None:
    ticker = ticking(100)
    ticker.next(0)
    assert ticker.next(1_050) == 1_000
    assert ticker.skipped == 9


def test_another_period_begins_anew() -> None:
    ticker = ticking(100)
    ticker.next(0)
    ticker.set_period(30)
    assert [ticker.next(now) for now in (110, 110)] == [110, 140]
    assert ticker.skipped == 0


def test_the_same_period_set_again_changes_nothing() -> None:
    ticker = ticking(100)
    ticker.next(0)
    ticker.set_period(100)
    assert ticker.next(50) == 100


def test_a_reset_ticker_ticks_at_once() -> None:
    ticker = ticking(100)
    ticker.next(0)
    ticker.reset()
    assert ticker.next(5_000) == 5_000
    assert ticker.skipped == 0


moments = st.lists(st.integers(0, 5_000), min_size=1, max_size=100).map(
    lambda steps: [sum(steps[: at + 1]) for at in range(len(steps))]
)


@given(nows=moments, period=st.integers(1, 1_000))
def test_ticks_never_drift(nows: list[int], period: int) -> None:
    ticker = ticking(period)
    ticks = [ticker.next(now) for now in nows]
    assert all((tick - ticks[0]) % period == 0 for tick in ticks)


@given(nows=moments, period=st.integers(1, 1_000))
def test_every_tick_is_given_or_counted_as_skipped(nows: list[int], period: int) -> None:
    ticker = ticking(period)
    ticks = [ticker.next(now) for now in nows]
    assert all(one < other for one, other in pairwise(ticks))
    assert (ticks[-1] - ticks[0]) // period == len(ticks) - 1 + ticker.skipped


@given(nows=moments, period=st.integers(1, 1_000))
def test_no_tick_is_more_than_a_period_late(nows: list[int], period: int) -> None:
    ticker = ticking(period)
    assert all(now - ticker.next(now) < period for now in nows)


@given(count=st.integers(1, 200), period=st.integers(1, 1_000))
def test_who_waits_for_each_tick_misses_none(count: int, period: int) -> None:
    ticker, now = ticking(period), 0
    for _ in range(count):
        now = max(now, ticker.next(now))
    assert (now, ticker.skipped) == ((count - 1) * period, 0)


# ------------------------------------------------------------------------------------------------ usable_rates


def rate(loads: list[float | None], outputs: dict[int, list[int]]) -> float | None:
    """Of source 0, with the seconds that each routine takes."""
    return usable_rates({index: Load(seconds) for index, seconds in enumerate(loads)}, outputs, [0])[0]


@pytest.mark.parametrize(
    ("loads", "outputs", "expected"),
    [
        ([0.001, 0.1], {0: [1]}, 10.0),
        ([0.5, 0.1], {0: [1]}, 10.0),
        ([0.001, 0.01, 0.1], {0: [1], 1: [2]}, 10.0),
        ([0.001, 0.1, 0.01], {0: [1], 1: [2]}, 10.0),
        ([0.001, 0.01, 0.1], {0: [1, 2]}, 100.0),
        ([0.001, 0.1, None], {0: [1], 1: [2]}, 10.0),
        ([0.001, None], {0: [1]}, None),
        ([0.001, 0.1, None], {0: [1, 2]}, None),
        ([0.001, None, 0.1], {0: [1], 1: [2]}, 10.0),
        ([0.001, 0.02, 0.1, 0.5], {0: [1], 1: [2, 3]}, 10.0),
    ],
    ids=[
        "one reader",
        "the source's own time does not count",
        "the slowest of a chain counts",
        "wherever in the chain it is",
        "the fastest of two branches counts",
        "what is not known yet does not limit",
        "nothing is known",
        "one branch is not known",
        "a middle is not known",
        "branches behind a middle",
    ],
)
def test_the_rate_that_can_be_used(
    loads: list[float | None], outputs: dict[int, list[int]], expected: float | None
) -> None:
    found = rate(loads, outputs)
    assert found == (None if expected is None else pytest.approx(expected))


def test_a_circle_does_not_go_on_for_ever() -> None:
    assert rate([0.001, 0.01, 0.02], {0: [1], 1: [2], 2: [1]}) == pytest.approx(50.0)


def test_every_source_gets_a_rate_of_its_own() -> None:
    loads = {0: Load(0.001), 1: Load(0.001), 2: Load(0.1), 3: Load(0.2)}
    assert usable_rates(loads, {0: [2], 1: [3]}, [0, 1]) == {0: 10.0, 1: 5.0}


seconds = st.floats(1e-6, 10.0)


@given(chain=st.lists(seconds, min_size=2, max_size=8))
def test_along_a_chain_the_slowest_counts(chain: list[float]) -> None:
    outputs = {index: [index + 1] for index in range(len(chain) - 1)}
    assert rate(list(chain), outputs) == pytest.approx(1 / max(chain[1:]))


@given(branches=st.lists(seconds, min_size=1, max_size=8))
def test_at_a_fork_the_fastest_counts(branches: list[float]) -> None:
    assert rate([0.001, *branches], {0: list(range(1, len(branches) + 1))}) == pytest.approx(1 / min(branches))
