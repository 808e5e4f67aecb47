"""How far the clocks of two hosts are apart, from the answers to pings."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

KEPT = 16
"""Answers of which the quickest one counts: clocks drift, so older ones are worth less than a fresh one."""


class Offset(NamedTuple):
    """*nanoseconds* to add to a stamp of the other host's clock, give or take *uncertainty* nanoseconds."""

    nanoseconds: int
    uncertainty: int


@dataclass(frozen=True, slots=True)
class _Sample:
    round_trip: int
    offset: int


class OffsetEstimate:
    """The offset of another host's monotonic clock, as in NTP: the answer that took the shortest time counts.

    Answers come in other threads than those that ask for the estimate, which is made when an answer comes: it is asked
    for with each message.

    >>> estimate = OffsetEstimate()
    >>> estimate.add(asked=1_000, answered=50_500, arrived=2_000)
    >>> estimate.best
    Offset(nanoseconds=-49000, uncertainty=500)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples: deque[_Sample] = deque(maxlen=KEPT)
        self._best: Offset | None = None

    def add(self, *, asked: int, answered: int, arrived: int) -> None:
        """Take an answer into account.

        Args:
            asked: when the ping was sent, on this clock, ns.
            answered: when it was answered, on the other clock.
            arrived: when the answer came, on this clock. One that came before it was asked for is left out.
        """
        if arrived < asked:
            return
        with self._lock:
            self._samples.append(_Sample(arrived - asked, (asked + arrived) // 2 - answered))
            sample = min(self._samples, key=lambda one: one.round_trip)
            self._best = Offset(sample.offset, (sample.round_trip + 1) // 2)

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def best(self) -> Offset | None:
        """The estimate; None before the first answer."""
        return self._best
