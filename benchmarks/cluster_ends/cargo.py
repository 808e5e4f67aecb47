"""What is sent between hosts, and how its arrival is counted."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from time import monotonic, monotonic_ns, sleep
from typing import Any

import numpy as np

SHAPE = (1080, 1920, 3)
TEXT = b"x" * 64


@dataclass(frozen=True, slots=True)
class Work:
    """What is sent: small messages or frames, at a rate or as fast as they are taken (0); *lossless*: none may be lost;
    *delay*: what is measured is how late they arrive, not how many; *replicas*: of a detector at the receiving host
    that spends *cost* seconds of processor time on each."""

    key: str
    title: str
    frames: bool
    rate: float
    lossless: bool
    delay: bool = False
    seconds: float = 4.0
    replicas: int = 0
    cost: float = 0.0


WORKS = (
    Work("messages", "small messages/s, lossless", False, 0, True),
    Work("messages_rt", "small messages/s of 20,000, newest 1024 win", False, 20_000, False),
    Work("frames", "1080p frames/s, lossless", True, 0, True),
    Work("frames_rt", "1080p frames/s of 100, newest wins", True, 100, False),
    Work("latency", "small messages, 1000/s: p50", False, 1000, False, delay=True),
    Work("frame_latency", "1080p frames, 30/s: p50", True, 30, False, delay=True),
)

DETECTORS = tuple(
    Work(f"detectors_{count}", f"messages/s, detectors: {count}", False, 0, True, replicas=count, cost=0.004)
    for count in (1, 2, 4)
)
"""The same work for one, two and four replicas of a flow that does nothing but use its processor."""


def work(key: str) -> Work:
    """The work of this key."""
    return next(one for one in (*WORKS, *DETECTORS) if one.key == key)


@dataclass
class Pace:
    """Holds a sender to a rate; 0: none."""

    rate: float
    due: float = field(default_factory=monotonic)

    def wait(self) -> None:
        if self.rate:
            self.due = max(self.due + 1 / self.rate, monotonic() - 0.1)
            sleep(max(0.0, self.due - monotonic()))


def message(number: int) -> dict[str, Any]:
    return {"number": number, "stamp": monotonic_ns(), "text": TEXT}


def fill(frame: np.ndarray, number: int) -> None:
    """A frame is filled afresh; its number and stamp stand at its beginning, which is sent as it is."""
    frame[:] = number % 251
    frame.reshape(-1)[8:16].view(np.int64)[0] = number
    frame.reshape(-1)[16:24].view(np.int64)[0] = monotonic_ns()


class Arrivals:
    """Counts what arrives from a second after the first on; says the figures when the time is over."""

    def __init__(self, seconds: float, warmup: float = 1.0) -> None:
        self.seconds = seconds
        self.warmup = warmup
        self.began = 0
        self.count = self.damaged = 0
        self.ages: list[int] = []
        self.begun = self.over = False

    def small(self, data: dict[str, Any]) -> None:
        self._note(data["stamp"], data["text"] == TEXT)

    def frame(self, frame: np.ndarray) -> None:
        flat = frame.reshape(-1)
        number = int(flat[8:16].view(np.int64)[0])
        self._note(int(flat[16:24].view(np.int64)[0]), flat[0] == flat[-1] == number % 251)

    def _note(self, stamp: int, whole: bool) -> None:
        now = monotonic_ns()
        self.began = self.began or now + round(self.warmup * 1e9)
        if now < self.began or self.over:
            return
        self.begun = True
        if now > self.began + self.seconds * 1e9:
            self.over = True
            return
        self.count += 1
        self.damaged += not whole
        if len(self.ages) < 100_000:
            self.ages.append(now - stamp)

    def figures(self) -> dict[str, float]:
        ages = np.array(self.ages or [0]) / 1e3
        return {
            "rate": self.count / self.seconds,
            "p50": float(np.percentile(ages, 50)),
            "p99": float(np.percentile(ages, 99)),
            "damaged": self.damaged,
        }

    def say(self) -> None:
        print(json.dumps(self.figures()), flush=True)


def wait_for_the_end() -> None:
    """Whoever has started this closes its standard input when it is to end."""
    sys.stdin.read()
