"""Replay: a source that sends what a capture holds, as it was recorded."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from pathlib import Path
from time import monotonic
from typing import Any, Literal

from pipert2.errors import CaptureError
from pipert2.graph.parameter import Parameter
from pipert2.graph.routine import EndOfStream, SourceRoutine
from pipert2.patterns.capture.reading import CaptureMessage, Outline, Played, chosen_topics, outline, played
from pipert2.patterns.capture.timeline import Timeline

_NANO = 1_000_000_000
_SAID_EVERY = 1.0


class Replay(SourceRoutine):
    """Sends what a capture holds, in the order and, as far as wanted, at the times at which it was recorded.

    A stop pauses it: the next start goes on where it was; after the end, a start begins anew. Its parameters change
    while it runs: ``speed``, and ``position``, seconds from the capture's beginning, which also says how far it is.

    A damaged capture is played up to the damage; then the stream ends with an error, which is logged and counted and
    says where the damage is. Of one whose writer did not come to its end (it was killed) all is played, and the log
    says so.

    Args:
        path: an MCAP file, of :class:`Recorder` or of another program, or a ``.cbors`` of dranspose.
        topic: the channel; may be left out if there is one only. Several, or ``"*"`` for all, come as
            :class:`CaptureMessage`, which says which is which.
        speed: how many times as fast as it was recorded; ``"max"``: as fast as it is taken.
        start: seconds from the capture's beginning from which it is played.
        end: seconds from the capture's beginning at which it ends.
        loop: begin again at the end: True for ever, or how many times it is played.
        scan: of dranspose's captures that hold several scans: which one, from 1; all of them if left out.
        types: classes that data in it is of, where this process has not imported them under the same names.
        allow_pickle: unpickle data that had to be pickled, which runs whatever code the file's writer wanted.

    Raises:
        CaptureError: there is no such capture, or it cannot be played this way.
        ValueError: an argument is not what it should be.
    """

    speed = Parameter(1.0, minimum=0.0, help="Times as fast as it was recorded; 0: as fast as it is taken.")
    position = Parameter(0.0, minimum=0.0, unit="s", help="From the capture's beginning; set it to go there.")

    def __init__(
        self,
        path: str | Path,
        *,
        topic: str | Iterable[str] | None = None,
        speed: float | Literal["max"] = 1.0,
        start: float = 0.0,
        end: float | None = None,
        loop: bool | int = False,
        scan: int | None = None,
        types: Iterable[type] = (),
        allow_pickle: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        if speed != "max" and (isinstance(speed, str) or not 0 < speed < math.inf):
            raise ValueError(f"Replay(speed=...) is a number above 0, or 'max', not {speed!r}")
        if not 0 <= start < math.inf:
            raise ValueError(f"Replay(start=...) is a time in seconds, 0 or more, not {start!r}")
        if end is not None and not end > start:
            raise ValueError(f"Replay(end=...) is a time in seconds after start, not {end!r}")
        if not isinstance(loop, bool) and not (isinstance(loop, int) and loop >= 1):
            raise ValueError(f"Replay(loop=...) is True, False or a number of times, 1 or more, not {loop!r}")
        self.path = Path(path).absolute()
        self.outline: Outline = outline(path, types=types, allow_pickle=allow_pickle)
        self.topics = chosen_topics(path, self.outline.topics, topic)
        if start and self.outline.first is None and self.outline.messages:
            raise CaptureError(str(path), "it does not say when its messages were recorded: leave out start and end")
        if scan is not None and not 1 <= scan <= self.outline.scans:
            raise CaptureError(
                str(path), f"it has {self.outline.scans} scans, numbered from 1: there is no scan {scan!r}"
            )
        self._scan = scan
        self.speed = 0.0 if speed == "max" else float(speed)
        self.position = float(start)
        self._with_topics = not (topic is None or (isinstance(topic, str) and topic != "*"))
        self._allow_pickle = allow_pickle
        self._start = float(start)
        self._end = None if end is None else float(end)
        self._loop = loop
        self._begin()

    def _begin(self) -> None:
        """Forget how far it was."""
        self._from = self._start
        self._said_position = self.position
        self._passed = 0
        self._rounds = 1
        self._sent = 0
        self._over = False
        self._failure: CaptureError | None = None

    def setup(self) -> None:
        if self._over:
            self._begin()
        elif self.position > self._start and not self._passed:
            self._go_to(self.position)  # the process before this one was there
        self._timeline = Timeline()
        self._next: Played | None = None
        self._said = monotonic()
        self._open(skip=self._passed)
        self.logger.info(
            "replays %s, of %g s, from %g s on, at %s",
            self.path.name,
            round(self.outline.duration, 3),
            round(self.position, 3),
            f"{self.speed:g} times its speed" if self.speed else "full speed",
        )

        if self.outline.scans > 1 and self._scan is None:
            self.logger.warning(
                "%s holds %d scans, all are played: choose one with scan=", self.path.name, self.outline.scans
            )

    def main_logic(self) -> Any:
        if self.position != self._said_position:
            self._go_to(self.position)
            self._open()
        message = self._next or self._advance()
        if message is None:
            return None
        now = monotonic()
        due = self._timeline.due(message.time, self.speed, now)
        if due > now:
            self._next = message
            self.wait(due - now)
            if monotonic() < due:
                return None  # an event came, or another speed or position
        self._next = None
        self._timeline.sent(due)
        return self._sent_now(message)

    def _sent_now(self, message: Played) -> Any:
        try:
            data = message.load()
        except CaptureError as error:
            self._broken_off(error)
            raise EndOfStream from None
        self._passed += 1
        self._sent += 1
        now = monotonic()
        if now - self._said >= _SAID_EVERY:
            self._said = now
            self._say(message.time)
        if self._with_topics:
            time = message.time / _NANO if message.time is not None else None
            return CaptureMessage(message.topic, time, message.sequence, data)
        return data

    def _broken_off(self, error: CaptureError) -> None:
        """End the stream as if the capture ended here; :meth:`cleanup` says that it did not."""
        self._over = True
        self._failure = CaptureError(error.path, error.reason, error.offset, self._sent)

    def _advance(self) -> Played | None:
        """The next message; None at the end of a round that others follow."""
        try:
            message = next(self._messages)
        except StopIteration as stop:
            self._ended(closed=bool(stop.value))
            return None
        except CaptureError as error:
            self._broken_off(error)
            raise EndOfStream from None
        if self._end is not None and self._seconds(message.time) >= self._end:
            self._messages.close()
            self._ended(closed=True)
            return None
        return message

    def _ended(self, *, closed: bool) -> None:
        if not closed and self._rounds == 1:
            self.logger.warning(
                "%s was not closed by its writer: all %d messages in it were played, more may be missing",
                self.path.name,
                self._sent,
            )
        played = self._passed or self._from > self._start
        if not played or (self._loop is not True and self._rounds >= int(self._loop)):
            self._over = True
            self._say(self.outline.last if self._end is None else None)
            raise EndOfStream
        self._rounds += 1
        self._timeline.begin_again()
        self._from, self._passed = self._start, 0
        self._open()

    def _go_to(self, position: float) -> None:
        self._said_position = position
        self._from, self._passed, self._next = position, 0, None
        if hasattr(self, "_timeline"):
            self._timeline.cut()

    def _open(self, skip: int = 0) -> None:
        first = self.outline.first
        since = 0 if first is None else first + round(self._from * _NANO)
        self._messages: Generator[Played, None, bool] = played(
            self.path, self.topics, self.outline, since=since, scan=self._scan, allow_pickle=self._allow_pickle
        )
        for _ in range(skip):
            if next(self._messages, None) is None:
                break

    def _seconds(self, time: int | None) -> float:
        return (time - self.outline.first) / _NANO if time is not None and self.outline.first is not None else 0.0

    def _say(self, time: int | None) -> None:
        """Let those who watch know how far it is."""
        if time is not None:
            self._said_position = max(0.0, self._seconds(time))
            self.position = self._said_position

    def cleanup(self) -> None:
        messages = getattr(self, "_messages", None)
        if messages is None:
            return
        messages.close()
        self.logger.info("%s: sent %d messages", self.path.name, self._sent)
        if self._failure is not None:  # so that the run does not end well
            raise self._failure
