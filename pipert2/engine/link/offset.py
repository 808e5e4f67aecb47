"""How far the clocks of two hosts are apart, from the answers to pings."""

from __future__ import annotations

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

    >>> estimate = OffsetEstimate()
    >>> estimate.add(asked=1_000, answered=50_500, arrived=2_000)
    >>> estimate.best
    Offset(nanoseconds=-49000, uncertainty=500)

    Attributes:
        best: the estimate; None before the first answer. It is asked for with each message, and changes with a ping.
    """

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque(maxlen=KEPT)
        self.best: Offset | None = None

    def add(self, *, asked: int, answered: int, arrived: int) -> None:
        """Take an answer into account.

        Args:
            asked: when the ping was sent, on this clock, ns.
            answered: when it was answered, on the other clock.
            arrived: when the answer came, on this clock. One that came before it was asked for is left out.
        """
        if arrived >= asked:
            self._samples.append(_Sample(arrived - asked, (asked + arrived) // 2 - answered))
            quickest = min(self._samples, key=lambda one: one.round_trip)
            self.best = Offset(quickest.offset, (quickest.round_trip + 1) // 2)

    def __len__(self) -> int:
        return len(self._samples)
