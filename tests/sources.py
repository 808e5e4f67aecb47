"""Sources that several tests need."""

from __future__ import annotations

from typing import Any

from pipert2 import EndOfStream, SourceRoutine, events
from pipert2.testing import ListSource


class OpenList(ListSource):
    """A list whose stream does not end, so that what was sent can be worked on again."""

    def main_logic(self) -> Any:
        if self._next == len(self._items):
            self.wait(60.0)
            return None
        return super().main_logic()


class Counting(SourceRoutine):
    """Counts upwards or downwards until it is told to end.

    Args:
        rest: seconds before each number.
    """

    ending = False
    number = 0

    def __init__(self, name: str, step: int = 1, *, rest: float = 0.002) -> None:
        super().__init__(name)
        self._step = step
        self._rest = rest

    @events("END")
    def end(self) -> None:
        self.ending = True

    def main_logic(self) -> int:
        self.wait(self._rest)
        if self.ending:
            raise EndOfStream
        self.number += self._step
        return self.number
