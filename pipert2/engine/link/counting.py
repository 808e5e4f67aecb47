"""What is shown of one end of a link, and said when the other one falls silent."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic_ns

from pipert2.engine.link.frames import BadFrameError
from pipert2.graph.routine import Routine

_SHOW_EVERY = 500_000_000
SILENCE = 5_000_000_000
"""Nanoseconds without a word after which the other end is said to be out of reach; pings come every two seconds."""
WAITING, CONNECTED, CUT = "waiting for the other end", "connected", "cut"
"""What an end of a link says of the other one: never heard since it was started, heard, or not for long."""
_LOOK_EVERY = 2.0


class Counting:
    """Shows numbers as results of the routine, not more often than twice a second, and whether the link is there.

    Args:
        routine: whose they are.
    """

    def __init__(self, routine: Routine) -> None:
        self._routine = routine
        self._shown: dict[str, float] = {}
        self._counts: Mapping[str, float] = {}
        self._due = 0
        self._heard_at = 0
        self._state = ""
        self._foreign = 0

    def hear(self, now: int) -> None:
        """The other end has said something; from any thread."""
        self._heard_at = now

    def is_cut(self, now: int) -> bool:
        """Whether the other end was there, and has said nothing for long."""
        return bool(self._heard_at) and now - self._heard_at >= SILENCE

    def warn(self, text: str) -> None:
        """Say in the log what is wrong."""
        self._routine.logger.warning("link %r: %s", getattr(self._routine, "key", ""), text)

    def foreign(self, error: BadFrameError) -> None:
        """Count bytes that no link has sent."""
        if not self._foreign:
            self.warn(f"something else sends on its key, which is left out: {error}")
        self._foreign += 1

    def show(self, counts: Mapping[str, float], wait: float | None) -> float | None:
        """Show what has changed, if it is time to; in how many seconds it is to be looked at again, *wait* at most."""
        self._counts = {**counts, "foreign": self._foreign}
        now = monotonic_ns()
        self._watch(now)
        if now >= self._due:
            self.show_now()
            self._due = now + _SHOW_EVERY
        elif self._counts != self._shown:
            later = (self._due - now) / 1e9
            wait = later if wait is None else min(wait, later)
        if self._state == CONNECTED:
            wait = _LOOK_EVERY if wait is None else min(wait, _LOOK_EVERY)
        return wait

    def show_now(self) -> None:
        """Show what has changed."""
        for name, value in self._counts.items():
            if self._shown.get(name) != value:
                self._routine.show(f"link/{name}", value)
        self._shown = dict(self._counts)

    def _watch(self, now: int) -> None:
        there = bool(self._heard_at) and not self.is_cut(now)
        state = CONNECTED if there else CUT if self._heard_at else WAITING
        if state == self._state:
            return
        if state == CUT:
            self.warn(f"nothing heard of the other end for {SILENCE / 1e9:g} s")
        elif self._state:
            self._routine.logger.info("link %r: the other end is there", getattr(self._routine, "key", ""))
        self._state = state
        self._routine.show("link/state", state)
