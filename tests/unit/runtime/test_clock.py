"""Clocks tell the time and wait; a virtual one only when it is moved."""

from __future__ import annotations

import threading
import time

import pytest

from pipert2.runtime.clock import Clock, SystemClock, VirtualClock
from pipert2.testing import wait_until


def waited(clock: VirtualClock, signal: threading.Event | threading.Condition, timeout: float | None) -> list[bool]:
    """Wait in another thread; the answer comes into the list."""
    answers: list[bool] = []

    def wait() -> None:
        if isinstance(signal, threading.Event):
            answers.append(clock.wait(signal, timeout))
        else:
            with signal:
                answers.append(clock.wait(signal, timeout))

    threading.Thread(target=wait, daemon=True).start()
    wait_until(lambda: clock.waiting == 1)
    return answers


def test_the_system_clock_is_the_machines() -> None:
    clock: Clock = SystemClock()
    assert abs(clock.now() - time.time()) < 5
    assert clock.monotonic() <= clock.monotonic()


def test_the_system_clock_waits_for_a_signal_or_a_time() -> None:
    clock, event, condition = SystemClock(), threading.Event(), threading.Condition()
    assert not clock.wait(event, 0.0)
    assert not clock.wait(event, -5.0)
    with condition:
        assert not clock.wait(condition, 0.001)
    event.set()
    assert clock.wait(event)
    assert clock.wait(event, float("inf"))


@pytest.mark.parametrize("signal", [threading.Event(), threading.Condition()], ids=["event", "condition"])
def test_time_that_is_let_pass_ends_a_wait(signal: threading.Event | threading.Condition) -> None:
    clock = VirtualClock()
    answers = waited(clock, signal, 3600.0)
    clock.advance(3600.0)
    wait_until(lambda: answers)
    assert answers == [False]
    assert clock.waiting == 0


def test_who_is_to_wake_does_not_wait_any_more_however_late_it_does() -> None:
    clock, condition = VirtualClock(), threading.Condition()
    answers = waited(clock, condition, 10.0)
    clock.advance(5.0)
    assert clock.waiting == 1
    with condition:  # it is told that its time is over, and cannot go on before this is let go of
        mover = threading.Thread(target=clock.advance, args=(5.0,), daemon=True)
        mover.start()
        wait_until(lambda: clock.monotonic() == 10.0)
        assert clock.waiting == 0
    mover.join(60.0)
    wait_until(lambda: answers)
    assert answers == [False]


def test_an_event_ends_a_wait() -> None:
    clock, event = VirtualClock(), threading.Event()
    answers = waited(clock, event, 10.0)
    event.set()
    wait_until(lambda: answers)
    assert answers == [True]


def test_a_notice_ends_a_wait() -> None:
    clock, condition = VirtualClock(), threading.Condition()
    answers = waited(clock, condition, None)
    with condition:
        condition.notify_all()
    wait_until(lambda: answers)
    assert answers == [True]


def test_a_time_that_is_over_is_not_waited_for() -> None:
    clock, condition = VirtualClock(), threading.Condition()
    with condition:
        assert not clock.wait(condition, 0.0)


def test_setting_the_time_of_day_lets_no_time_pass() -> None:
    clock = VirtualClock(100.0)
    clock.set_to(50.0)
    clock.advance(1.0)
    assert (clock.now(), clock.monotonic()) == (51.0, 101.0)
