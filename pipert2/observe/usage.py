"""What processes use of the machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import psutil

FRESH = 0.5
"""Seconds for which a figure is told again: a shorter span says little about a processor's use, and to ask the system
is a good part of what a status costs."""


class _Seen(NamedTuple):
    process: psutil.Process
    at: float
    cpu_percent: float
    rss_bytes: int


class Usage:
    """Processor time and memory of processes, found anew when they are older than :data:`FRESH`.

    Args:
        clock: tells the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[int, _Seen] = {}

    def of(self, pid: int) -> tuple[float, int]:
        """Per cent of one processor since it was last found out, and bytes; 0 of a process that is gone."""
        seen, now = self._seen.get(pid), self._clock()
        if seen is not None and now - seen.at < FRESH:
            return seen.cpu_percent, seen.rss_bytes
        try:
            process = seen.process if seen is not None else psutil.Process(pid)
            with process.oneshot():
                cpu, rss = float(process.cpu_percent()), int(process.memory_info().rss)
        except psutil.Error:
            self._seen.pop(pid, None)
            return 0.0, 0
        # The first time there is no span to tell a use of: the next one who asks may know.
        self._seen[pid] = _Seen(process, now if seen is not None else now - FRESH, cpu, rss)
        return cpu, rss
