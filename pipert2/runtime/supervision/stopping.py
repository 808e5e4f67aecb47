"""Stopping a lossless pipe as a whole: its sources first, the others when nothing is on its way any more."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING

from pipert2.events.bus import EventResult
from pipert2.graph.handlers import STOP_EVENT_NAME
from pipert2.graph.routine import RoutineKind
from pipert2.graph.spec import RoutineSpec
from pipert2.runtime import commands

if TYPE_CHECKING:
    from pipert2.runtime.supervision.supervisor import Supervisor

_LOOK = 0.02  # seconds between two looks: nobody tells the main process what is acknowledged


class Stopping:
    """Stops one pipe.

    Args:
        limit: seconds that what is on its way may take; what is left then waits for the next start.
    """

    def __init__(self, supervisor: Supervisor, limit: float) -> None:
        self._supervisor = supervisor
        self._limit = limit
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def stop(self, wait: float | None) -> dict[str, EventResult] | None:
        """Stop all routines; with *wait*, what each answered within so many seconds."""
        if wait is not None:
            return self._stop(wait)
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._stop, args=(self._limit,), name="pipert2-stopping", daemon=True
                )
                self._thread.start()
        return None

    def _stop(self, wait: float) -> dict[str, EventResult]:
        supervisor = self._supervisor
        deadline = monotonic() + wait
        routines = supervisor.spec.routines
        sources = [routine for routine in routines if routine.kind is RoutineKind.SOURCE]
        results = supervisor.bus.call(STOP_EVENT_NAME, sources, {}, wait)
        limit = min(deadline, monotonic() + self._limit)
        while not self._is_drained(limit) and (left := limit - monotonic()) > 0:
            if self._closed.wait(min(left, _LOOK)) or any(source.index in supervisor.wanted for source in sources):
                return results  # ended, or started again
        others = [routine for routine in routines if routine.kind is not RoutineKind.SOURCE]
        return results | supervisor.bus.call(STOP_EVENT_NAME, others, {}, max(0.0, deadline - monotonic()))

    def _is_drained(self, limit: float) -> bool:
        """Whether nothing is on its way, nor between two wires in the hands of a routine.

        What one of those that are trusted has taken is in no queue, and keeps it busy only while it is worked on. So
        all of them are asked to answer, which they do between two messages: if nothing was put on any wire until then,
        none of them had anything that it would. Asked twice: who waits for room answers, and then looks for room.
        """
        supervisor, progress = self._supervisor, self._supervisor.progress
        before = progress.put
        if not progress.nothing_on_its_way():
            return False
        trusted = progress.on_trust
        if not trusted:
            return True
        for _ in range(2):
            supervisor.bus.call(commands.PING, trusted, {}, max(0.0, limit - monotonic()))
        return progress.put == before and progress.nothing_on_its_way()

    def drain(self, sources: Sequence[RoutineSpec] | None = None) -> None:
        """End the streams of *sources*, or of all there are; what waits for others is let go. Returns at once."""
        supervisor = self._supervisor
        spec = supervisor.spec
        if sources is None:
            sources = [routine for routine in spec.routines if not spec.inputs(routine.index)]
        supervisor.gates.let_go(range(len(spec.routines)))
        supervisor.bus.send(commands.DRAIN, sources, {})

    def close(self) -> None:
        """Give up."""
        self._closed.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(self._limit)
