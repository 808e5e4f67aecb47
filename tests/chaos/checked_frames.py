"""Frames that carry their checksum, and routines that look whether they are still as they were."""

from __future__ import annotations

import os
import zlib
from collections import deque
from typing import Any

import numpy as np

from pipert2 import DestinationRoutine, MiddleRoutine, SourceRoutine


def checksum(frame: np.ndarray[Any, Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(frame))


class Camera(SourceRoutine):
    """Frames of all sizes, lent and not, each with its number, its process and its checksum."""

    def __init__(self, name: str, sizes: tuple[int, ...]) -> None:
        super().__init__(name)
        self.sizes = sizes

    def setup(self) -> None:
        self.number = 0
        self.random = np.random.default_rng()

    def main_logic(self) -> dict[str, Any]:
        size = self.sizes[self.number % len(self.sizes)]
        frame = self.loan(size) if self.number % 2 and size else np.empty(size, np.uint8)
        frame[:] = self.number % 251
        frame[:64] = self.random.integers(0, 256, min(size, 64), np.uint8)
        self.number += 1
        return {"life": os.getpid(), "number": self.number - 1, "frame": frame, "checksum": checksum(frame)}


class Checks:
    """Looks at each frame when it comes and some frames later; notes what is not as it was, or comes twice."""

    name: str

    def __init__(self, name: str, journal: Any, keeps: int, *, ordered: bool = True) -> None:
        super().__init__(name)  # type: ignore[call-arg]
        self.journal = journal
        self.keeps = keeps
        self.ordered = ordered  # of several wires each has an order of its own only

    def setup(self) -> None:
        self.kept: deque[dict[str, Any]] = deque()
        self.last = (0, -1)

    def check(self, data: dict[str, Any]) -> None:
        self.compare(data, "new")
        now = data["life"], data["number"]
        if self.ordered and now[0] == self.last[0] and now[1] <= self.last[1]:
            self.journal.note("order", self.name, self.last, now)
        self.last = now
        self.kept.append(data)
        while len(self.kept) > self.keeps:
            self.compare(self.kept.popleft(), "kept")

    def compare(self, data: dict[str, Any], which: str) -> None:
        if checksum(data["frame"]) != data["checksum"]:
            self.journal.note("corrupt", self.name, which, data["number"], data["frame"].nbytes)


class Relay(Checks, MiddleRoutine):
    """Passes frames on as they came."""

    def main_logic(self, data: dict[str, Any]) -> dict[str, Any]:
        self.check(data)
        return data


class Viewer(Checks, DestinationRoutine):
    def main_logic(self, data: dict[str, Any]) -> None:
        self.check(data)


class Passes(MiddleRoutine):
    def main_logic(self, data: Any) -> Any:
        return data
