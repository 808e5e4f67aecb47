"""Which frames of several streams belong together, by their time stamps: decisions only."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Any

from pipert2.patterns.events.settled import Counts, Missing, Outcome, Settled


class TimeAligner:
    """Puts frames together by their time stamps: each frame of the first stream is an event, and of each other stream
    the frame nearest to it belongs to it if it is within the tolerance.

    Args:
        streams: the first one is the one that others are compared with.
        tolerance: the largest difference, in the unit of the stamps.
        missing: what becomes of an event with frames missing.
        limit: frames of one stream that may wait for those of others.

    >>> aligner = TimeAligner(["camera", "wheel"], 0.01)
    >>> aligner.take("camera", "image", 5.0), aligner.take("wheel", "angle", 5.004)
    ([], [Settled(number=1, outcome=<Outcome.COMPLETE: 'complete'>, frames={'camera': 'image', 'wheel': 'angle'})])
    """

    def __init__(
        self, streams: Sequence[str], tolerance: float, *, missing: Missing = Missing.DROP, limit: int = 1024
    ) -> None:
        if not streams or len(set(streams)) != len(streams):
            raise ValueError(f"TimeAligner(streams=...): one stream or more, each once, not {list(streams)!r}")
        if not 0 <= tolerance < math.inf:
            raise ValueError(f"TimeAligner(tolerance=...) is a time, 0 or more, not {tolerance!r}")
        self.counts = Counts()
        self._missing = missing
        self._tolerance = tolerance
        self._limit = limit
        self._waiting: dict[str, deque[tuple[float, Any, float]]] = {stream: deque() for stream in streams}
        self._reference = streams[0]
        self._others = tuple(streams[1:])
        self._newest = dict.fromkeys(streams, -math.inf)
        self._ended: set[str] = set()
        self._number = 0

    @property
    def front(self) -> int:
        """The last event there was."""
        return self._number

    @property
    def open(self) -> int:
        """How many frames wait for others."""
        return sum(map(len, self._waiting.values()))

    def take(self, stream: str, frame: Any, stamp: float, now: float = 0.0) -> list[Settled]:
        """A frame has come; the stamps of a stream grow.

        Args:
            now: the time, for :meth:`expire`.

        Returns:
            The events that are settled by it.
        """
        self.counts.frames += 1
        if stream not in self._waiting or stream in self._ended:
            self.counts.surplus += 1
            return []
        if isinstance(stamp, bool) or not isinstance(stamp, int | float) or not math.isfinite(stamp):
            self.counts.malformed += 1
            return []
        if stamp <= self._newest[stream]:
            if stamp == self._newest[stream]:
                self.counts.duplicate += 1
            else:
                self.counts.late += 1
            return []
        self._newest[stream] = stamp
        waiting = self._waiting[stream]
        waiting.append((stamp, frame, now))
        found: list[Settled] = []
        self._settle(found)
        while len(waiting) > self._limit:
            self.counts.overflow += 1
            if stream == self._reference:
                self._take_next(found)
                self._settle(found)
            else:
                waiting.popleft()
                self.counts.surplus += 1
        return found

    def end(self, stream: str) -> list[Settled]:
        """No more frames of this stream will come."""
        if stream in self._waiting:
            self._ended.add(stream)
        found: list[Settled] = []
        self._settle(found)
        return found

    def expire(self, before: float) -> list[Settled]:
        """Settle events that have been open since before this time with what there is."""
        found: list[Settled] = []
        reference = self._waiting[self._reference]
        while reference and reference[0][2] <= before:
            self._take_next(found)
        self._settle(found)
        return found

    def finish(self) -> list[Settled]:
        """Nothing more will come at all."""
        self._ended.update(self._waiting)
        found: list[Settled] = []
        self._settle(found)
        for stream in self._others:
            self.counts.surplus += len(self._waiting[stream])
            self._waiting[stream].clear()
        return found

    def _settle(self, found: list[Settled]) -> None:
        reference = self._waiting[self._reference]
        while reference and all(self._decided(stream, reference[0][0]) for stream in self._others):
            self._take_next(found)

    def _decided(self, stream: str, stamp: float) -> bool:
        """Whether the frame of this stream nearest to *stamp* is known."""
        return stream in self._ended or self._newest[stream] >= stamp

    def _take_next(self, found: list[Settled]) -> None:
        reference = self._waiting[self._reference]
        stamp, frame, _ = reference.popleft()
        following = reference[0][0] if reference else math.inf
        frames = {self._reference: frame}
        for stream in self._others:
            nearest = self._nearest(self._waiting[stream], stamp, following)
            if nearest is not None:
                frames[stream] = nearest[1]
        self._number += 1
        if len(frames) == 1 + len(self._others):
            outcome = Outcome.COMPLETE
        elif self._missing is Missing.PARTIAL:
            outcome = Outcome.PARTIAL
        else:
            outcome, frames = Outcome.LOST, {}
        self.counts.note(outcome)
        found.append(Settled(self._number, outcome, frames))

    def _nearest(
        self, waiting: deque[tuple[float, Any, float]], stamp: float, following: float
    ) -> tuple[float, Any, float] | None:
        """Take the frame nearest to *stamp*, and drop those that are older; None if there is none that belongs here."""
        best: tuple[float, Any, float] | None = None
        while waiting:
            other = waiting[0][0]
            if other > stamp + self._tolerance or abs(following - other) < abs(stamp - other):
                break
            if best is not None and abs(best[0] - stamp) <= abs(other - stamp):
                break
            if best is not None or other < stamp - self._tolerance:
                self.counts.surplus += 1
            candidate = waiting.popleft()
            best = candidate if candidate[0] >= stamp - self._tolerance else None
        return best
