"""The source of a replay: recorded events."""

from __future__ import annotations

import itertools
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from pipert2.errors import CaptureError, PipertError
from pipert2.graph.handlers import events
from pipert2.graph.routine import EndOfStream, SourceRoutine
from pipert2.patterns.capture.cbors import CborsReader, Layout
from pipert2.patterns.capture.cbors_blocks import EventBlock, in_blocks
from pipert2.patterns.capture.timeline import Timeline
from pipert2.patterns.events.batch import CLOSED, LARGEST_BATCH, LARGEST_BYTES, ScanEnd
from pipert2.patterns.events.merge import MergeCounts, merged
from pipert2.patterns.streams.protocols import protocol_of
from pipert2.patterns.streams.stream_data import EventData, Place, StreamFrame


class ScanSource(SourceRoutine):
    """Sends what :meth:`messages` yields; its stream ends when the scans that it sent are over, because workers and
    reducer have to be there for their ends.
    """

    hold = False
    """Do not end then either."""

    def messages(self) -> Iterator[Any]:
        """Yield what :class:`~pipert2.patterns.events.align.Align` takes: messages, events, or lists of them."""
        raise NotImplementedError(f"{type(self).__name__} has no messages()")

    def setup(self) -> None:
        self._messages: Iterator[Any] | None = self.messages()
        self._begun: Counter[str] = Counter()
        self._closed = 0

    def main_logic(self) -> Any:
        if self._messages is not None:
            for message in self._messages:
                for one in message if isinstance(message, list) else (message,):
                    self._note(one)
                return message or None
            self._messages = None
        if not self.hold and self._closed >= max(self._begun.values(), default=0):
            raise EndOfStream
        self.wait(1.0)
        return None

    def checked(self, speed: float | None) -> float | None:
        """A speed that was asked for; raises ValueError if it is no number above 0."""
        if speed is not None and not 0 < speed < math.inf:
            raise ValueError(f"{type(self).__name__}(speed=...) is a number above 0, not {speed!r}")
        return speed

    def until(self, due: float) -> Iterator[list[Any]]:
        """Wait for this time; yields nothing to send, in between, when an event of the pipe has come."""
        while (left := due - monotonic()) > 0:
            self.wait(left)
            if monotonic() < due:
                yield []

    @events(CLOSED)
    def on_closed(self, report: Mapping[str, Any]) -> None:
        """A scan is over."""
        self._closed += 1

    def _note(self, one: Any) -> None:
        """Count the scans by their beginnings, or by their ends where these are marked."""
        if isinstance(one, ScanEnd):
            self._begun["ended"] += not one.stream
        elif isinstance(one, EventData):
            self._begun["recorded"] += one.event_number == 0
        elif isinstance(one, StreamFrame) and (protocol := protocol_of(one.data.typ)) is not None:
            try:
                if protocol.glance(one.data)[0] is Place.START:
                    self._begun[one.stream] += 1
            except PipertError:
                pass  # Align says so


class RecordedEvents(ScanSource):
    """Sends the events of captures, all streams together.

    Args:
        files: ``.cbors`` files, each of which has some of the streams.
        name: the routine's name.
        hold: do not end when all is sent and over.
        speed: times as fast as they were recorded; as fast as they are taken if left out. Events without a time
            follow on the one before at once.

    Raises:
        ValueError: the speed is no number above 0.
    """

    def __init__(
        self, files: Sequence[str | Path], name: str | None = None, *, hold: bool = False, speed: float | None = None
    ) -> None:
        super().__init__(name)
        self.hold, self.speed = hold, self.checked(speed)
        self.files = [os.fspath(file) for file in files]

    def messages(self) -> Iterator[list[Any]]:
        return self._all() if self.speed is None else self._in_time(self.speed)

    def _in_time(self, speed: float) -> Iterator[list[Any]]:
        """All that there is, each event when it is due."""
        timeline = Timeline()
        for message in self._all():
            for one in message:
                for event in one.read(0) if isinstance(one, EventBlock) else (one,):
                    if isinstance(event, EventData) and event.created_at is not None:
                        if event.event_number == 0:
                            timeline.cut()
                        recorded = round(event.created_at.timestamp() * 1e9)
                        yield from self.until(timeline.due(recorded, speed, monotonic()))
                    yield [event]

    def _all(self) -> Iterator[list[Any]]:
        problems: list[str] = []
        counts = MergeCounts()
        message: list[Any] = []
        current, size = 0, 0
        anything = False
        for scan, one in self._in_order(problems, counts):
            if scan != current:
                current = scan
                yield [*message, ScanEnd()]
                message, size = [], 0
            anything = True
            is_block = isinstance(one, EventBlock)
            if message and (is_block or len(message) >= LARGEST_BATCH or size > LARGEST_BYTES):
                yield message
                message, size = [], 0
            if isinstance(one, EventBlock):
                yield [one]
                continue
            message.append(one)
            for data in one.streams.values():
                size += sum(map(len, data.frames))
        if counts.out_of_order or counts.duplicate:
            problems.append(
                f"{counts.out_of_order} events were too far from their place, {counts.duplicate} streams came twice"
            )
        if anything:
            yield [*message, ScanEnd("; ".join(problems))]

    def _in_order(self, problems: list[str], counts: MergeCounts) -> Iterator[tuple[int, EventBlock | EventData]]:
        """The number of the scan, and what is next in it."""
        files = [self._file(file, problems) for file in self.files]
        if len(files) > 1:
            yield from merged(map(_events, files), counts)
            return
        # What is in order is passed on as it lies in the file; from the first event that is not, each is looked at.
        scan, expected = 0, -1
        for one in files[0]:
            if isinstance(one, EventBlock):
                expected = one.first + len(one.ends)
            elif one.event_number == expected or expected < 0 or one.event_number == 0:
                scan += one.event_number == 0 and expected >= 0
                expected = one.event_number + 1
            else:
                rest = _events(itertools.chain((one,), files[0]))
                for more, event in merged([rest], counts, expected):
                    yield scan + more, event
                return
            yield scan, one

    def _file(self, file: str, problems: list[str]) -> Iterator[EventBlock | EventData]:
        try:
            with CborsReader(file, views=True) as reader:
                if reader.layout is not Layout.EVENTS:
                    return
                if reader.buffer is not None:
                    yield from in_blocks(reader, reader.buffer, LARGEST_BATCH, LARGEST_BYTES)
                    return
                for record in reader:
                    assert isinstance(record.value, EventData)
                    yield record.value
        except CaptureError as error:
            self.logger.error("%s", error)
            problems.append(str(error))


def _events(items: Iterable[EventBlock | EventData]) -> Iterator[EventData]:
    for one in items:
        if isinstance(one, EventBlock):
            yield from one.read(0)
        else:
            yield one
