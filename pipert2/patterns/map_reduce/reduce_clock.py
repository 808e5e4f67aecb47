"""The clock of a reducer: a thread that rings when something is due."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pipert2.errors import PipertError


class ReduceClock:
    """Rings when it is time. What is due is done by whoever hears it, in a thread of its own.

    Args:
        name: the thread's name.
        pause: how many seconds there are until the clock is to ring; given True while nobody has answered it yet.
        ring: tells the one who is to do what is due; raises PipertError when there is nobody any more.
    """

    def __init__(self, name: str, pause: Callable[[bool], float], ring: Callable[[], None]) -> None:
        self._pause, self._ring = pause, ring
        self._rung = False
        self._closing = threading.Event()
        self._sooner = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def answered(self) -> None:
        """What was due is being done."""
        self._rung = False

    def look_again(self) -> None:
        """What is due may have become another time."""
        self._sooner.set()

    def close(self) -> None:
        """Ring no more. Closes twice without complaint."""
        self._closing.set()
        self._sooner.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._sooner.clear()
            pause = self._pause(self._rung)
            if self._closing.is_set() or self._sooner.wait(pause):
                continue
            self._rung = True
            try:
                self._ring()
            except PipertError:
                return  # the pipe ends
