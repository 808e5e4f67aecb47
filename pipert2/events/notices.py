"""What happens in a pipe and is told to everybody: runs of triggers, dead letters, restarts."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

FIRED = "fired"
"""A source's trigger has fired: ``routine``, ``flow``, ``run``, ``due``, ``missed``."""
FAILED = "failed"
"""Such a run did not go well: ``routine``, ``flow``, ``run``, ``outcome``, ``reason``."""
DEAD_LETTER = "dead_letter"
"""A message was given up: ``routine``, ``flow``, ``number``, ``attempts``, ``reason``."""
ROUTINE_RESTARTED = "routine_restarted"
"""A routine has a new process because the old one died: ``routine``, ``flow``, ``replica``, ``restarts``, ``cause``."""
FLOW_FINISHED = "flow_finished"
"""The streams of all routines of a flow have ended: ``flow``."""

MOST_KEPT = 10_000
LONGEST_REASON = 1_000
"""Characters of a reason in a notice; the log has all of it."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that has happened in a pipe.

    Attributes:
        number: counts them, from 1.
        time: when (seconds since the epoch).
        name: what: ``"fired"``, ``"failed"``, ``"dead_letter"``, ``"routine_restarted"`` or ``"flow_finished"``.
        values: what is known of it; the keyword arguments of ``@events(name)`` handlers.
    """

    number: int
    time: float
    name: str
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class NoticePage:
    """Notices, oldest first.

    Attributes:
        notices: they themselves.
        last: the number of the newest one looked at: the ``after`` of the next page.
        missed: notices after ``after`` that were gone already when they were asked for.
    """

    notices: tuple[Notice, ...]
    last: int
    missed: int


class Notices:
    """The newest notices of one pipe. Safe to use from any thread."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._kept: deque[Notice] = deque(maxlen=most)
        self._last = 0
        self._closed = False
        self._changed = threading.Condition()

    def add(self, name: str, values: Mapping[str, Any]) -> None:
        """Tell of something."""
        with self._changed:
            self._last += 1
            self._kept.append(Notice(self._last, time.time(), name, dict(values)))
            self._changed.notify_all()

    def page(self, after: int, limit: int, wait: float = 0.0) -> NoticePage:
        """The first *limit* notices behind number *after*; *wait* so many seconds for one if there is none."""
        deadline = monotonic() + wait
        with self._changed:
            after = min(after, self._last)  # a number of an earlier run
            while self._last == after and not self._closed and (left := deadline - monotonic()) > 0:
                self._changed.wait(left)
            oldest = self._kept[0].number if self._kept else self._last + 1
            found = [one for one in self._kept if one.number > after][:limit]
            last = found[-1].number if found else self._last
            return NoticePage(tuple(found), last, max(0, oldest - after - 1))

    def close(self) -> None:
        """Nothing more will happen: nobody waits any longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
