"""A thread for what a routine's own must not wait for. It is there only while there is something to do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_Job = TypeVar("_Job")

IDLE_SECONDS = 2.0


class SideThread(Generic[_Job]):
    """Does jobs one after the other; ends when nothing has come for long.

    Args:
        name: of the thread.
        do: does a job; must not raise.
    """

    def __init__(self, name: str, do: Callable[[_Job], None]) -> None:
        self._name = name
        self._do = do
        self._waiting: dict[Hashable, _Job] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def put(self, key: Hashable, job: _Job) -> None:
        """Have a job done as soon as may be, in place of one of the same key that still waits. Never blocks."""
        with self._changed:
            if self._closed:
                return
            self._waiting[key] = job
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify()

    @property
    def waiting(self) -> int:
        """Jobs that were not begun."""
        return len(self._waiting)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._waiting and not self._closed:
                    self._changed.wait(IDLE_SECONDS)
                if not self._waiting or self._closed:
                    self._thread = None
                    return
                job = self._waiting.pop(next(iter(self._waiting)))
            self._do(job)

    def close(self) -> None:
        """End the thread. Closes twice without complaint."""
        with self._changed:
            self._closed = True
            thread = self._thread
            self._changed.notify()
        if thread is not None:
            thread.join(2.0)
