"""When the messages of a capture are due while it is played; no clock, no file: only what follows from what."""

from __future__ import annotations

_NANO = 1e-9


class Timeline:
    """Says when each message is due.

    It is anchored where playing begins: there and then belong to one moment of the capture. Another speed anchors it
    anew at the moment that the capture has come to.
    """

    def __init__(self) -> None:
        self._anchor: tuple[float, int] | None = None
        self._speed = 0.0
        self._last_due: float | None = None
        self._gap = 0.0
        self._next_start: float | None = None

    def due(self, recorded: int | None, speed: float, now: float) -> float:
        """When a message is due, in seconds of the clock that *now* is of; it may be in the past.

        Args:
            recorded: when it was recorded, ns; None: it is due at once.
            speed: how many times faster than it was recorded; 0: it is due at once.
            now: the time.
        """
        if recorded is None or speed <= 0:
            self._anchor = None
            return now
        if self._anchor is None:
            start, self._next_start = self._next_start, None
            self._anchor = (now if start is None else start, recorded)
        elif speed != self._speed:
            start, first = self._anchor
            self._anchor = (now, min(recorded, first + round((now - start) * self._speed / _NANO)))
        self._speed = speed
        start, first = self._anchor
        return start + (recorded - first) * _NANO / speed

    def sent(self, due: float) -> None:
        """The message that was due then has been sent."""
        if self._last_due is not None:
            self._gap = max(0.0, due - self._last_due)
        self._last_due = due

    def cut(self) -> None:
        """What comes next does not follow from what was before: it is due at once."""
        self._anchor = self._last_due = self._next_start = None

    def begin_again(self) -> None:
        """The first message follows on the last one, as long after it as that was after the one before."""
        self._anchor = None
        self._next_start = None if self._last_due is None else self._last_due + self._gap
