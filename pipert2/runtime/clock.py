"""Time, so that tests can have their own."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A clock that only goes forward."""

    def now(self) -> float:
        """Seconds since some fixed moment."""


class MonotonicClock:
    """The machine's monotonic clock, the same for all its processes."""

    def now(self) -> float:
        return time.monotonic()
