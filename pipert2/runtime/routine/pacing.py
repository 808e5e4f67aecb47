"""At what rate routines run: fixed rates, and holding sources to what can be used of their data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SECOND = 1_000_000_000

HEADROOM = 1.1
"""A source may make this much more than its consumers were seen to take, so that they never wait for it."""


class Ticker:
    """Ticks at a fixed rate without drift. All times in ns.

    A tick that comes more than one period late is not made up for: those that were missed are counted as skipped.

    >>> ticker = Ticker()
    >>> ticker.set_period(100)
    >>> [ticker.next(now) for now in (0, 100, 205, 290, 550)], ticker.skipped
    ([0, 100, 200, 300, 500], 1)
    """

    __slots__ = ("_due", "period", "skipped")

    def __init__(self) -> None:
        self.period = 0
        self.skipped = 0
        self._due: int | None = None

    def set_period(self, period: int) -> None:
        """Change the time between two ticks; 0: as fast as possible."""
        if period != self.period:
            self.period = period
            self._due = None

    def reset(self) -> None:
        """Begin anew: the next tick is due at once."""
        self._due = None

    def next(self, now: int) -> int:
        """When the next tick is due; wait until then. Each call is one tick."""
        if self._due is None:
            self._due = now
            return now
        self._due += self.period
        late = (now - self._due) // self.period if self.period else 0
        if late > 0:
            self.skipped += late
            self._due += late * self.period
        return self._due


@dataclass(frozen=True, slots=True)
class Load:
    """What a routine was seen to do in a while.

    Args:
        seconds: mean time of one ``main_logic``; None if it did not run.
    """

    seconds: float | None


def usable_rates(
    loads: Mapping[int, Load], outputs: Mapping[int, Sequence[int]], sources: Sequence[int]
) -> dict[int, float | None]:
    """For each source the rate (messages per second) at which its data can be used; None: no limit is known.

    Along a chain the slowest routine counts; where it forks, the fastest branch: what that one takes is not wasted.

    >>> loads = {0: Load(0.001), 1: Load(0.01), 2: Load(0.1)}
    >>> usable_rates(loads, {0: [1], 1: [2]}, [0])
    {0: 10.0}
    >>> usable_rates(loads, {0: [1, 2]}, [0])
    {0: 100.0}
    """

    known: dict[int, float | None] = {}

    def usable(routine: int, above: frozenset[int]) -> float | None:
        """The rate that *routine* and what is behind it can take; None if it is not known (yet)."""
        if routine in above:  # a wire that leads back says nothing new
            return None
        if routine not in known:
            own = loads[routine].seconds
            ends = outputs.get(routine, ())
            behind = [rate for end in ends if (rate := usable(end, above | {routine})) is not None]
            limits = [1 / own] if own else []
            if behind and len(behind) == len(ends):
                limits.append(max(behind))
            known[routine] = min(limits, default=None)
        return known[routine]

    def usable_behind(source: int) -> float | None:
        behind = [usable(end, frozenset({source})) for end in outputs.get(source, ())]
        return None if not behind or None in behind else max(rate for rate in behind if rate is not None)

    return {source: usable_behind(source) for source in sources}
