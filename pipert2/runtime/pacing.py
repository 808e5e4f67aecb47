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

    def usable(routine: int, above: tuple[int, ...]) -> float | None:
        own = loads[routine].seconds
        rate = 1 / own if own else None
        if routine in above:
            return None
        behind = [usable(end, (*above, routine)) for end in outputs.get(routine, ())]
        if not behind or any(end is None for end in behind):
            return rate if not behind else (rate if above else None)
        fastest = max(end for end in behind if end is not None)
        return fastest if rate is None or not above else min(rate, fastest)

    return {source: usable(source, ()) for source in sources}
