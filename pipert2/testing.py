"""Routines and tools for tests of one's own pipes, and of pipert2 itself."""

from __future__ import annotations

import os
import pickle
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pipert2.graph.handlers import events
from pipert2.graph.routine import DestinationRoutine, EndOfStream, MiddleRoutine, SourceRoutine
from pipert2.runtime.clock import VirtualClock
from pipert2.transport.codec import dumps_plain

__all__ = [
    "CollectingDestination",
    "FailingRoutine",
    "ListSource",
    "SlowRoutine",
    "VirtualClock",
    "wait_until",
]


def wait_until(condition: Callable[[], Any], timeout: float = 60.0, what: str = "the condition") -> Any:
    """Wait until *condition* returns something true, and return that.

    Raises:
        TimeoutError: it did not within *timeout* seconds.
    """
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come true within {timeout:g} s")
        time.sleep(0.005)
    return found


class ListSource(SourceRoutine):
    """Sends the items of a list, then ends its stream; with ``repeat=True`` it begins again and never ends.

    >>> from pipert2 import Pipe
    >>> numbers, seen = ListSource([1, 2, 3]), CollectingDestination()
    >>> pipe = Pipe(lossless=True, inline=True)
    >>> pipe.create_flow("all", True, numbers, seen)
    >>> pipe.run().ok, seen.items()
    (True, [1, 2, 3])
    """

    def __init__(self, items: Iterable[Any], name: str | None = None, *, repeat: bool = False) -> None:
        super().__init__(name)
        self._items = list(items)
        self._repeat = repeat

    def setup(self) -> None:
        self._next = 0

    def main_logic(self) -> Any:
        if self._next >= len(self._items):
            if not self._repeat:
                raise EndOfStream
            self._next = 0
        self._next += 1
        return self._items[self._next - 1]


class CollectingDestination(DestinationRoutine):
    """Keeps what it gets where the test can read it, also when it runs, or was killed, in another process."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)
        handle, path = tempfile.mkstemp(prefix="pipert2-collected-")
        os.close(handle)
        self.path = Path(path)
        self._owner = os.getpid()

    def setup(self) -> None:
        self._file = self.path.open("ab", buffering=0)

    def main_logic(self, data: Any) -> None:
        self._file.write(dumps_plain(data))

    def cleanup(self) -> None:
        self._file.close()

    def items(self) -> list[Any]:
        """What arrived so far, in order."""
        found = []
        with self.path.open("rb") as file:
            while True:
                try:
                    found.append(pickle.load(file))
                except (EOFError, pickle.UnpicklingError):
                    return found

    def __del__(self) -> None:
        if getattr(self, "_owner", None) == os.getpid():
            self.path.unlink(missing_ok=True)


class FailingRoutine(MiddleRoutine):
    """Raises ``ValueError`` for the items that *fails* is true of, passes the others on."""

    def __init__(self, fails: Callable[[Any], bool], name: str | None = None) -> None:
        super().__init__(name)
        self._fails = fails

    def main_logic(self, data: Any) -> Any:
        if self._fails(data):
            raise ValueError(f"{data!r} fails, as it was told to")
        return data


class SlowRoutine(MiddleRoutine):
    """Takes *seconds* for each item and passes it on; the event ``SET_DELAY`` changes that."""

    def __init__(self, seconds: float, name: str | None = None) -> None:
        super().__init__(name)
        self.seconds = seconds

    @events("SET_DELAY")
    def set_delay(self, seconds: float) -> None:
        self.seconds = seconds

    def main_logic(self, data: Any) -> Any:
        time.sleep(self.seconds)
        return data
