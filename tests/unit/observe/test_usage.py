"""What processes use, told from a figure that is not too old."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from pipert2.observe.usage import FRESH, Usage


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often the system was asked; the n-th answer is n per cent."""
    count = 0

    def cpu_percent(_: object) -> float:
        nonlocal count
        count += 1
        return float(count)

    monkeypatch.setattr("psutil.Process.cpu_percent", cpu_percent)
    return lambda: count


def test_who_asks_often_gets_the_same_figure_for_a_while(looks: Callable[[], int]) -> None:
    usage = Usage(clock := Clock())
    usage.of(os.getpid())
    clock.now += 0.01
    first = usage.of(os.getpid())
    clock.now += FRESH / 2
    assert usage.of(os.getpid()) == first
    assert looks() == 2
    clock.now += FRESH
    assert usage.of(os.getpid())[0] == 3.0


def test_the_first_look_tells_no_use_and_is_not_kept(looks: Callable[[], int]) -> None:
    usage = Usage(Clock())
    usage.of(os.getpid())
    usage.of(os.getpid())
    assert looks() == 2


def test_a_process_that_is_gone_uses_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    assert Usage().of(child.pid) == (0.0, 0)
