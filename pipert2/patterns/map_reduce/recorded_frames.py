"""The source of a replay of what a detector sent: messages of one stream, which belong to no events yet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pipert2.errors import CaptureError, PipertError
from pipert2.patterns.capture.cbors import CborsReader, Layout
from pipert2.patterns.events.batch import LARGEST_BATCH, LARGEST_BYTES, ScanEnd
from pipert2.patterns.map_reduce.recorded_events import ScanSource
from pipert2.patterns.streams.protocols import protocol_of
from pipert2.patterns.streams.stins import PROTOCOL
from pipert2.patterns.streams.stream_data import EventData, Place, StreamData, StreamFrame
from pipert2.patterns.streams.stream_protocol import StreamProtocol


class RecordedFrames(ScanSource):
    """Sends the messages of a capture as its detector did, see
    :class:`~pipert2.patterns.streams.zmq_stream.ZmqStream`.

    Args:
        file: a ``.cbors`` file that holds the messages of one stream.
        stream: its name.
        protocol: of its messages.
        name: the routine's name.
        hold: do not end when all is sent and over.
    """

    def __init__(
        self,
        file: str | Path,
        stream: str,
        *,
        protocol: str = PROTOCOL,
        name: str | None = None,
        hold: bool = False,
    ) -> None:
        super().__init__(name if name is not None else stream)
        self.hold = hold
        self.file, self.stream, self.protocol = os.fspath(file), stream, protocol
        with CborsReader(self.file) as reader:
            if reader.layout is not Layout.FRAMES:
                raise CaptureError(self.file, "it holds events, not the messages of one stream", 0)

    def messages(self) -> Iterator[list[StreamFrame | ScanEnd]]:
        known = protocol_of(self.protocol)
        assemble = known.assembler() if known is not None and known.assembler is not None else None
        found: list[StreamFrame | ScanEnd] = []
        size, last, problem = 0, None, ""
        try:
            with CborsReader(self.file, views=True) as reader:
                for _, parts in reader:
                    assert not isinstance(parts, EventData)
                    size += sum(map(len, parts))
                    messages = [parts] if assemble is None else assemble(list(parts))
                    for one in messages:
                        last = StreamData(self.protocol, one)
                        found.append(StreamFrame(self.stream, last))
                    if len(found) >= LARGEST_BATCH or size > LARGEST_BYTES:
                        yield found
                        found, size = [], 0
        except CaptureError as error:
            problem = str(error)
        if not problem and last is not None and known is not None and not _is_end(known, last):
            problem = f"the capture {self.file} ends in the middle of a scan"
        if problem:
            self.logger.error("%s", problem)
        yield [*found, ScanEnd(problem, self.stream)]


def _is_end(protocol: StreamProtocol, data: StreamData) -> bool:
    try:
        return protocol.glance(data)[0] is Place.END
    except PipertError:
        return False
