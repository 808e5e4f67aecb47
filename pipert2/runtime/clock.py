"""Clocks: the time of day, time that only goes forward, and waiting, so that tests can have hours pass at once."""

from __future__ import annotations

import threading
import time
from typing import Protocol

from pipert2.transport.memory import Bell

LONGEST_SLEEP = 60.0
"""Look again after so many seconds at the latest: somebody may have set the clock."""


class Clock(Protocol):
    """What waits for a time asks a clock, never the ``time`` module."""

    def now(self) -> float:
        """Seconds since the epoch; people and other machines may set it forward and back."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment; only ever goes forward, at the pace of real time."""
        ...

    def wait(self, signal: threading.Event | threading.Condition, timeout: float | None = None) -> bool:
        """Wait for *signal*, at most *timeout* seconds; a condition's lock is held by who waits.

        Returns:
            False when the time was up.
        """
        ...

    def sleep(self, bell: Bell, until: float) -> None:
        """Wait for *bell*, or until :meth:`now` has come to *until*. It may be earlier: look again."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, signal: threading.Event | threading.Condition, timeout: float | None = None) -> bool:
        # A lock's time-out that is too long overflows, and "never" is written as infinity here.
        return signal.wait(None if timeout is None else max(0.0, min(timeout, threading.TIMEOUT_MAX)))

    def sleep(self, bell: Bell, until: float) -> None:
        bell.wait(max(0.0, min(until - time.time(), LONGEST_SLEEP)))


class VirtualClock:
    """A clock that stands still until a test moves it.

    >>> clock = VirtualClock()
    >>> clock.advance(2.5)
    >>> clock.now()
    2.5
    """

    _LOOK = 0.002  # real seconds between two looks at a threading.Event, which cannot be told that time has passed

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._monotonic = start
        self._waiting: list[tuple[threading.Condition, float]] = []  # and until when
        self._sleeping: list[Bell] = []
        self._lock = threading.Lock()

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    @property
    def waiting(self) -> int:
        """How many threads wait for this clock just now: wait for them before moving it.

        One whose time is over does not wait any more, even if it has not got to know yet.
        """
        with self._lock:
            return sum(until > self._monotonic for _, until in self._waiting) + len(self._sleeping)

    def advance(self, seconds: float) -> None:
        """Let *seconds* go by."""
        with self._lock:
            self._now += seconds
            self._monotonic += seconds
        self._wake()

    def set_to(self, now: float) -> None:
        """Set the time of day, as people and time servers do, without letting time go by."""
        with self._lock:
            self._now = now
        self._wake()

    def wait(self, signal: threading.Event | threading.Condition, timeout: float | None = None) -> bool:
        deadline = float("inf") if timeout is None else self._monotonic + timeout
        if isinstance(signal, threading.Event):
            return self._wait_for_event(signal, deadline)
        entry = signal, deadline
        with self._lock:
            self._waiting.append(entry)
        try:
            if self._monotonic >= deadline:
                return False
            signal.wait()
            return self._monotonic < deadline
        finally:
            with self._lock:
                self._waiting.remove(entry)

    def sleep(self, bell: Bell, until: float) -> None:
        with self._lock:
            if self._now >= until:
                return
            self._sleeping.append(bell)
        try:
            bell.wait(None)
        finally:
            with self._lock:
                if bell in self._sleeping:
                    self._sleeping.remove(bell)

    def _wait_for_event(self, event: threading.Event, deadline: float) -> bool:
        entry = threading.Condition(), deadline
        with self._lock:
            self._waiting.append(entry)
        try:
            while not event.is_set() and self._monotonic < deadline:
                event.wait(self._LOOK)
            return event.is_set()
        finally:
            with self._lock:
                self._waiting.remove(entry)

    def _wake(self) -> None:
        with self._lock:
            waiting = [condition for condition, _ in self._waiting]
            sleeping, self._sleeping = self._sleeping, []  # so that who still sleeps is told from who was woken
        for bell in sleeping:
            bell.ring()
        for condition in waiting:
            with condition:
                condition.notify_all()
