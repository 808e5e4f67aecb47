"""The source of a replay: recorded events."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipert2.errors import CaptureError, PipertError
from pipert2.graph.handlers import events
from pipert2.graph.routine import EndOfStream, SourceRoutine
from pipert2.patterns.capture.cbors import CborsReader
from pipert2.patterns.events.batch import CLOSED, ScanEnd, StreamFrame
from pipert2.patterns.events.merge import MergeCounts, merged
from pipert2.patterns.streams.protocols import protocol_of
from pipert2.patterns.streams.stream_data import EventData, Place

_LARGEST_BATCH = 64
_LARGEST_BYTES = 1 << 20


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
                return message
            self._messages = None
        if not self.hold and self._closed >= max(self._begun.values(), default=0):
            raise EndOfStream
        self.wait(1.0)
        return None

    @events(CLOSED)
    def on_closed(self, report: Mapping[str, Any]) -> None:
        """A scan is over."""
        self._closed += 1

    def _note(self, one: Any) -> None:
        """Count the scans by their beginnings, or by their ends where these are marked."""
        if isinstance(one, ScanEnd):
            self._begun["ended"] += 1
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
    """

    def __init__(self, files: Sequence[str | Path], name: str | None = None, *, hold: bool = False) -> None:
        super().__init__(name)
        self.hold = hold
        self.files = [os.fspath(file) for file in files]

    def messages(self) -> Iterator[list[Any]]:
        problems: list[str] = []
        counts = MergeCounts()
        message: list[Any] = []
        current, size, most = 0, 0, 1
        anything = False
        for scan, event in merged([self._events(file, problems) for file in self.files], counts):
            if scan != current:
                current = scan
                yield [*message, ScanEnd()]
                message, size, most = [], 0, 1
            anything = True
            if len(message) >= most or size > _LARGEST_BYTES:
                yield message
                # Few at first, so that every worker has something to do soon; then many, because that is quicker.
                message, size, most = [], 0, min(_LARGEST_BATCH, most + 1)
            message.append(event)
            for data in event.streams.values():
                size += sum(map(len, data.frames))
        if counts.out_of_order or counts.duplicate:
            problems.append(
                f"{counts.out_of_order} events were too far from their place, {counts.duplicate} streams came twice"
            )
        if anything:
            yield [*message, ScanEnd("; ".join(problems))]

    def _events(self, file: str, problems: list[str]) -> Iterator[EventData]:
        try:
            with CborsReader(file, views=True) as reader:
                for record in reader:
                    if isinstance(record.value, EventData):
                        yield record.value
        except CaptureError as error:
            self.logger.error("%s", error)
            problems.append(str(error))
