"""How many messages of a real-time link may be on their way at once."""

from __future__ import annotations

from collections import deque

LEAST, FIRST, MOST = 2, 4, 256
_SLACK = 1_000_000
"""Nanoseconds that a round trip may take longer without anything waiting on the way: threads are woken late."""
_FEW, _MANY = 1.0, 3.0
_BASE_SECONDS = 10
"""How long the shortest round trip is remembered: routes change."""


class Window:
    """Grows while the link takes more, shrinks when messages begin to wait on the way, as in TCP Vegas.

    Brakmo, Peterson: TCP Vegas, IEEE JSAC 13(8), 1995. What waits on the way makes newer messages late, and what is not
    sent yet can still be replaced by a newer one.

    Args:
        most: never above this.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = max(1, most)
        self.size = min(FIRST, self._most)
        self._full = False
        self._starting = True
        self._shortest: deque[tuple[int, int]] = deque(maxlen=_BASE_SECONDS)  # second, and the shortest in it
        self._due = 0
        self.round_trip = 0

    def was_full(self) -> None:
        """The window has held back a message since the last change of its size."""
        self._full = True

    @property
    def base(self) -> int:
        """The shortest round trip of the last seconds, ns; 0 before the first one."""
        return min((shortest for _, shortest in self._shortest), default=0)

    def measured(self, round_trip: int, now: int) -> None:
        """A message that was sent *round_trip* ns ago has been confirmed; *now* is a monotonic time in ns."""
        second = now // 1_000_000_000
        if not self._shortest or self._shortest[-1][0] != second:
            while self._shortest and self._shortest[0][0] < second - _BASE_SECONDS:
                self._shortest.popleft()
            self._shortest.append((second, round_trip))
        elif round_trip < self._shortest[-1][1]:
            self._shortest[-1] = second, round_trip
        self.round_trip = round_trip if not self.round_trip else (7 * self.round_trip + round_trip) // 8
        if now < self._due:
            return
        self._due = now + round_trip
        least = min(LEAST, self._most)
        waiting = self.size * (1 - self.base / round_trip) if round_trip > self.base + _SLACK else 0.0
        if waiting > _MANY:
            self._starting = False
            self.size = max(least, self.size - max(1, self.size // 8))
        elif waiting < _FEW and self._full:
            self.size = min(self._most, self.size * 2 if self._starting else self.size + 1)
        self._full = False
