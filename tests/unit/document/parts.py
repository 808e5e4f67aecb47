"""Routines and transmitters that the tests' documents name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from pipert2 import (
    DataTransmitter,
    DestinationRoutine,
    MiddleRoutine,
    Routine,
    SourceRoutine,
    destination,
    middle,
    source,
)
from pipert2.graph.parameter import Parameter


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Camera(SourceRoutine):
    gain = Parameter(1.0, minimum=0.0, maximum=8.0)
    tint = Parameter(Colour.RED)

    def __init__(
        self,
        fps: float = 25.0,
        size: tuple[int, int] = (640, 480),
        name: str | None = None,
        *,
        folder: Path | None = None,
        tags: list[str] | None = None,
        extra: Any = None,
    ) -> None:
        super().__init__(name)
        if fps <= 0:
            raise ValueError(f"fps is above 0, not {fps}")
        self.fps, self.size, self.folder, self.tags, self.extra = fps, size, folder, tags, extra

    def main_logic(self) -> int:
        return 1


class Needy(SourceRoutine):
    """Takes no name, and cannot do without an option."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def main_logic(self) -> int:
        return 1


class Free(MiddleRoutine):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.args, self.kwargs = args, kwargs

    def main_logic(self, data: Any) -> Any:
        return data


class Judge(MiddleRoutine):
    def __init__(self, judge: Callable[[Any], bool], name: str | None = None) -> None:
        super().__init__(name)

    def main_logic(self, data: Any) -> Any:
        return data


class Show(DestinationRoutine):
    def main_logic(self, data: int) -> None: ...


class Read(DestinationRoutine):
    def main_logic(self, data: str) -> None: ...


class Anything(Routine):
    def main_logic(self, *data: Any) -> Any:
        return data


class Outer:
    class Inner(Show):
        pass


class Mine(DataTransmitter):
    def __init__(self, level: int = 1) -> None:
        self.level = level


@source
def numbers() -> Iterator[int]:
    yield from range(3)


@middle(name="twice")
def double(number: int) -> int:
    return 2 * number


@destination
def note(number: int) -> None: ...


def plain(number: int) -> int:
    return number


show = Show("an instance")
NUMBER = 5


def bright(number: int) -> bool:
    return number > 100


@middle(concurrency=4, retries=2)
def eager(number: int) -> int:
    return number
