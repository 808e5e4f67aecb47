"""Whether a flow that died is started again, and when."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipert2 import Restart

times = st.lists(st.floats(0, 1000), max_size=50).map(sorted)


def test_the_first_restart_comes_after_the_backoff() -> None:
    assert Restart(times=3, window=60.0, backoff=0.1).delay([5.0], now=5.0) == 0.1


def test_each_further_restart_waits_twice_as_long() -> None:
    restart = Restart(times=4, window=60.0, backoff=0.1)
    assert [restart.delay([1.0] * deaths, now=1.0) for deaths in range(1, 5)] == [0.1, 0.2, 0.4, 0.8]


def test_no_restart_waits_longer_than_five_seconds() -> None:
    assert Restart(times=100, window=60.0, backoff=0.1).delay([1.0] * 50, now=1.0) == 5.0


def test_deaths_over_the_same_message_do_not_use_up_the_restarts_of_its_flow_but_come_later_each_time() -> None:
    restart = Restart(times=2, window=60.0, backoff=0.1)
    assert [restart.delay([1.0] * attempts, 1.0, attempts) for attempts in range(1, 8)] == [
        *(0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0)
    ]
    assert restart.delay([1.0] * 3, 1.0, attempts=1) is None
    assert Restart(times=0).delay([1.0], 1.0, attempts=2) is None


def test_without_backoff_a_restart_comes_at_once() -> None:
    assert Restart(times=3, backoff=0.0).delay([1.0, 2.0], now=2.0) == 0.0


def test_one_death_more_than_allowed_is_the_last() -> None:
    restart = Restart(times=2, window=60.0)
    assert restart.delay([1.0, 2.0], now=2.0) is not None
    assert restart.delay([1.0, 2.0, 3.0], now=3.0) is None


def test_no_times_means_never() -> None:
    assert Restart(times=0).delay([1.0], now=1.0) is None


def test_deaths_before_the_window_are_forgotten() -> None:
    restart = Restart(times=2, window=10.0, backoff=0.1)
    assert restart.delay([1.0, 2.0, 100.0], now=100.0) == 0.1


@given(deaths=times, limit=st.integers(0, 10), window=st.floats(0.1, 1000))
def test_a_flow_stays_dead_exactly_when_it_died_too_often_of_late(
    deaths: list[float], limit: int, window: float
) -> None:
    now = deaths[-1] if deaths else 0.0
    recent = [death for death in deaths if now - death <= window]
    delay = Restart(times=limit, window=window).delay(deaths, now)
    assert (delay is None) == (len(recent) > limit)


@given(deaths=times, backoff=st.floats(0, 100))
def test_a_delay_is_never_negative_nor_longer_than_five_seconds(deaths: list[float], backoff: float) -> None:
    delay = Restart(times=1000, window=1000.0, backoff=backoff).delay(deaths, 1000.0)
    assert delay is not None
    assert 0.0 <= delay <= 5.0


def test_thousands_of_deaths_can_be_counted() -> None:
    assert Restart(times=10_000, backoff=0.1).delay([1.0] * 5000, now=1.0) == 5.0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"times": -1}, "Restart(times=...) is a whole number, 0 or more, not -1"),
        ({"times": 1.5}, "Restart(times=...) is a whole number, 0 or more, not 1.5"),
        ({"times": None}, "Restart(times=...) is a whole number, 0 or more, not None"),
        ({"times": True}, "Restart(times=...) is a whole number, 0 or more, not True"),
        ({"window": 0}, "Restart(window=...) is a time in seconds above 0, not 0"),
        ({"window": float("nan")}, "Restart(window=...) is a time in seconds above 0, not nan"),
        ({"backoff": -0.1}, "Restart(backoff=...) is a time in seconds, 0 or more, not -0.1"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError) as caught:
        Restart(**options)
    assert str(caught.value) == text
