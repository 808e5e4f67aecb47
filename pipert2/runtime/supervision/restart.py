"""Whether, and when, a flow that died is started again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Restart:
    """Restart a flow that dies, unless it dies too often.

    Args:
        times: restarts within *window*; one death more and the flow stays dead. 0: never restart.
        window: seconds.
        backoff: seconds before the first restart; doubled for each further one within the window, 5 s at most.
    """

    times: int = 3
    window: float = 60.0
    backoff: float = 0.1

    def __post_init__(self) -> None:
        if isinstance(self.times, bool) or not isinstance(self.times, int) or self.times < 0:
            raise ValueError(f"Restart(times=...) is a whole number, 0 or more, not {self.times!r}")
        if not self.window > 0:
            raise ValueError(f"Restart(window=...) is a time in seconds above 0, not {self.window!r}")
        if not self.backoff >= 0:
            raise ValueError(f"Restart(backoff=...) is a time in seconds, 0 or more, not {self.backoff!r}")

    def delay(self, deaths: Sequence[float], now: float, attempts: int = 0) -> float | None:
        """Seconds until the restart after the deaths at these times (the newest included); None: leave it dead.

        Args:
            attempts: how often the message that was in hand, and comes again, has been tried. From the second time on
                a death is put down to the message, which will be a dead letter when its attempts are used up.

        >>> Restart(times=2, window=10).delay([1.0, 2.0], now=2.0)
        0.2
        >>> Restart(times=2, window=10).delay([1.0, 2.0, 3.0], now=3.0) is None
        True
        """
        recent = sum(1 for death in deaths if now - death <= self.window)
        if attempts > 1 and self.times:
            recent = max(attempts, min(recent, self.times))
        elif recent > self.times:
            return None
        return float(min(5.0, self.backoff * 2.0 ** max(0, min(60, recent - 1))))
