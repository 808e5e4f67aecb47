"""The source of a replay of what detectors sent, recorded with its times: messages of several streams."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic

from pipert2.errors import CaptureError
from pipert2.patterns.capture.reading import outline, played
from pipert2.patterns.capture.timeline import Timeline
from pipert2.patterns.events.batch import ScanEnd
from pipert2.patterns.map_reduce.recorded_events import ScanSource
from pipert2.patterns.streams.stream_data import StreamFrame


class RecordedStreams(ScanSource):
    """Sends the messages of streams as they were recorded behind live sources, whichever channels they are in.

    Args:
        file: an MCAP file; what it holds besides is left out.
        streams: their names.
        name: the routine's name.
        hold: do not end when all is sent and over.
        speed: times as fast as they were recorded; as fast as they are taken if left out.

    Raises:
        CaptureError: there is no such file, or it cannot be read.
        ValueError: the speed is no number above 0.
    """

    def __init__(
        self,
        file: str | Path,
        streams: Sequence[str],
        *,
        name: str | None = None,
        hold: bool = False,
        speed: float | None = None,
    ) -> None:
        super().__init__(name)
        self.file, self.streams = os.fspath(file), tuple(streams)
        self.hold, self.speed = hold, self.checked(speed)
        self._outline = outline(self.file)

    def messages(self) -> Iterator[list[StreamFrame | ScanEnd]]:
        timeline, problem = Timeline(), ""
        others: set[str] = set()
        missing = set(self.streams)
        try:
            for message in played(self.file, self._outline.topics, self._outline):
                data = message.load()
                frames = [one for one in (data if isinstance(data, list) else [data]) if isinstance(one, StreamFrame)]
                found: list[StreamFrame | ScanEnd] = [one for one in frames if one.stream in self.streams]
                others.update(one.stream for one in frames if one.stream not in self.streams)
                missing.difference_update(one.stream for one in frames)
                if not found:
                    continue
                if self.speed is not None:
                    yield from self.until(timeline.due(message.time, self.speed, monotonic()))
                yield found
        except CaptureError as error:
            problem = str(error)
        names = ", ".join(map(repr, sorted(others)))
        if missing and not problem:
            problem = f"the capture {self.file} has no messages of stream {min(missing)!r}"
            problem += f", but of {names}" if others else ""
        elif others:
            self.logger.warning("messages of %s are left out: name these streams, too, to have them", names)
        if problem:
            self.logger.error("%s", problem)
        yield [ScanEnd(problem, stream) for stream in self.streams]
