"""Watches how long a triggered run takes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from pipert2.runtime.clock import LONGEST_SLEEP, Clock
from pipert2.runtime.triggers.schedule import Act, Schedule


class RunWatch:
    """While it is entered, says once that a run takes longer than the schedule's ``timeout``.

    Args:
        schedule: of which a run has begun.
        clock: the time.
        name: the routine's, for the thread.
        late: called then, in another thread.
    """

    def __init__(self, schedule: Schedule, clock: Clock, name: str, late: Callable[[], None]) -> None:
        self._schedule = schedule
        self._clock = clock
        self._late = late
        self._ended = threading.Event()
        self.timed_out = False
        self._thread: threading.Thread | None = None
        if schedule.timeout is not None:
            self._thread = threading.Thread(target=self._watch, name=f"pipert2-run-watch-{name}", daemon=True)

    def _watch(self) -> None:
        while not self._ended.is_set():
            decision = self._schedule.decide(self._clock.now())
            if decision.act is Act.TIMED_OUT:
                self.timed_out = True
                self._late()
                return
            self._clock.wait(self._ended, min(LONGEST_SLEEP, max(0.0, decision.at - self._clock.now())))

    def __enter__(self) -> RunWatch:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
