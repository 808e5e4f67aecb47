"""The analyses that map-reduce is measured with, and the reducer that measures."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import psutil

from pipert2.patterns.map_reduce.parameters import BoolParameter, IntParameter, StrParameter
from pipert2.patterns.streams import stins
from pipert2.patterns.streams.stream_data import EventData

STREAM = "xrd"


def nothing(event: EventData) -> None:
    """What an event costs without an analysis."""


def mean(event: EventData, till_x: int = 2, from_y: int = 8) -> float | None:
    """The mean of a region."""
    message = stins.parse(event[STREAM])
    return float(message.data[:till_x, from_y:].mean()) if isinstance(message, stins.StinsData) else None


def heavy(event: EventData, seconds: float = 0.005) -> float | None:
    """The same, and so much processor time: what azimuthal integration may take."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass
    return mean(event)


def stamp(event: EventData) -> tuple[str, float] | None:
    """When the detector sent its message."""
    message = stins.parse(event[STREAM])
    return None if isinstance(message, stins.StinsStart) else (message.htype, message.header["sent"])


class Meter:
    """Notes when results come, and writes what it noted into a file when the scan is over."""

    def __init__(self, parameters: Any) -> None:
        self.path = Path(parameters["figures"].value)
        self.usage, self.quarter = parameters["usage"].value, parameters["events"].value // 4
        self.results = 0
        self.ages: list[float] = []
        self.end_sent = 0.0
        self.early: list[int] = []
        self.spent = _spent() if self.usage else 0.0
        self.began = time.monotonic()

    @staticmethod
    def describe_parameters() -> list[Any]:
        return [StrParameter("figures", ""), BoolParameter("usage", True), IntParameter("events", 0)]

    def process_result(self, result: Any) -> None:
        self.results += 1
        if self.results == self.quarter and self.usage:
            self.early = _memory()
        if isinstance(result.payload, tuple):
            kind, sent = result.payload
            if kind == "image":
                self.ages.append(time.monotonic() - sent)
            else:
                self.end_sent = sent

    def finish(self) -> None:
        figures: dict[str, Any] = {"seconds": time.monotonic() - self.began, "results": self.results}
        if self.usage:
            figures |= {"processor": _spent() - self.spent, "memory": [sum(self.early), sum(_memory())]}
        if self.ages:
            self.ages.sort()
            for name, share in (("p50", 0.5), ("p99", 0.99), ("most", 1.0)):
                figures[name] = self.ages[min(len(self.ages) - 1, int(len(self.ages) * share))]
        self.path.write_text(json.dumps(figures | {"end_sent": self.end_sent}))


def _flows() -> list[psutil.Process]:
    """The processes of the pipe's flows: they have one parent, which the detector and the main process have not."""
    parent = psutil.Process().parent()
    return parent.children() if parent is not None else []


def _spent() -> float:
    return sum(one.user + one.system for one in (process.cpu_times() for process in _flows()))


def _memory() -> list[int]:
    """What each has for itself: pages of shared memory are the pipe's, and are touched little by little."""
    return [found.rss - found.shared for found in (process.memory_info() for process in _flows())]
