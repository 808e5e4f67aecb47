"""How many batches of a real-time link may be on their way at once."""

from __future__ import annotations

LEAST, FIRST, MOST = 3, 4, 256
_SLACK = 1_000_000
"""Nanoseconds that a round trip may take longer without anything waiting on the way: threads are woken late."""
_FEW, _MANY = 1.0, 3.0
_TRUSTED = 10_000_000_000
"""Nanoseconds for which the shortest round trip is believed; then the way is let run empty to measure it anew."""


class Window:
    """Grows while the link takes more, shrinks when they begin to wait on the way.

    What waits on the way makes newer messages late, and what is not sent yet can still be replaced by a newer one.
    Growing is that of TCP Vegas (Brakmo, Peterson, IEEE JSAC 13(8), 1995), shrinking at once to what fits that of FAST
    TCP (Wei, Jin, Low, Hegde, IEEE/ACM ToN 14(6), 2006), letting the way run empty at times that of BBR (Cardwell and
    others, ACM Queue 14(5), 2016): who keeps the way full never sees how short it is.

    Args:
        most: never above this.

    Attributes:
        size: how many.
        base, round_trip: the shortest round trip, and how long one takes at present, ns; 0 before the first one.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = max(1, most)
        self._least = min(LEAST, self._most)
        self.size = min(FIRST, self._most)
        self.base = self.round_trip = 0
        self._full = False
        self._starting = True
        self._due = 0
        self._seen_at = 0  # when a round trip was about as short as the shortest
        self._resume = 0  # the size to go back to when the way has run empty

    def was_full(self) -> None:
        """The window has held back messages since the last change of its size."""
        self._full = True

    def measured(self, round_trip: int, now: int) -> None:
        """A batch that was sent *round_trip* ns ago has been confirmed; *now* is a monotonic time in ns."""
        self.round_trip = round_trip if not self.round_trip else (7 * self.round_trip + round_trip) // 8
        if not self.base or round_trip <= self.base + self.base // 8:
            self.base = min(self.base or round_trip, round_trip)
            self._seen_at = now
        if now < self._due:
            return
        self._due = now + round_trip
        if self._resume:
            self._run_empty(round_trip, now)
        elif now - self._seen_at > _TRUSTED and self.size > self._least:
            self._resume, self.size = self.size, self._least
        else:
            self._adapt(round_trip)
        self._full = False

    def _run_empty(self, round_trip: int, now: int) -> None:
        """What was sent before has arrived: this round trip is that of an empty way."""
        self.base, self._seen_at = round_trip, now
        self.size, self._resume = self._resume, 0

    def _adapt(self, round_trip: int) -> None:
        waiting = self.size * (1 - self.base / round_trip) if round_trip > self.base + _SLACK else 0.0
        if waiting > _MANY:
            self._starting = False
            self.size = max(self._least, int(self.size * self.base / round_trip) + 1)
        elif waiting < _FEW and self._full:
            self.size = min(self._most, self.size * 2 if self._starting else self.size + 1)
