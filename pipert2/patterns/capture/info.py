"""What is in a capture, found by reading all of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pipert2.errors import CaptureError
from pipert2.patterns.capture.cbors import CborsReader, Layout, ScanCounter
from pipert2.patterns.capture.mcap_reader import McapReader
from pipert2.patterns.capture.reading import is_mcap
from pipert2.patterns.streams.stream_data import EventData

_NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ChannelInfo:
    """A channel of a capture, or a stream of a beamline's events.

    Attributes:
        topic: its name.
        kind: the encoding of its messages, or the stream's protocol.
        messages: how many there are.
        bytes: how many they have, unpacked.
        pictures: how many have a picture that viewers show.
        missing: how many sequence numbers between the first and the last are not there.
        first, last: when they were recorded, seconds since the epoch; None if that is not known.
    """

    topic: str
    kind: str
    messages: int
    bytes: int
    pictures: int
    missing: int
    first: float | None
    last: float | None

    @property
    def rate(self) -> float | None:
        """Messages per second."""
        if self.first is None or self.last is None or self.last <= self.first:
            return None
        return (self.messages - 1) / (self.last - self.first)


@dataclass(frozen=True, slots=True)
class CaptureInfo:
    """What is in a capture.

    Attributes:
        path: the file.
        format: ``"mcap"``, ``"cbors events"`` or ``"cbors frames"``.
        size: bytes of the file.
        messages: how many can be read.
        channels: by name.
        classes, pickled: of data: the classes it is of, and those of which data is pickled.
        scans: where event numbers begin anew: how many times, and the first one.
        closed: whether its writer came to its end.
        problem: what is wrong with it; None if nothing is. offset: the byte at which that is.
    """

    path: str
    format: str
    size: int
    messages: int
    channels: tuple[ChannelInfo, ...]
    classes: tuple[str, ...]
    pickled: tuple[str, ...]
    scans: int
    closed: bool
    problem: str | None
    offset: int | None

    @property
    def first(self) -> float | None:
        """When the first message was recorded."""
        return min((one.first for one in self.channels if one.first is not None), default=None)

    @property
    def last(self) -> float | None:
        """When the last message was recorded."""
        return max((one.last for one in self.channels if one.last is not None), default=None)

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong with it."""
        return self.closed and self.problem is None


class _Count:
    def __init__(self, topic: str, kind: str) -> None:
        self.topic, self.kind = topic, kind
        self.messages = self.bytes = self.pictures = 0
        self.lowest = self.highest = 0
        self.first: float | None = None
        self.last: float | None = None

    def add(self, size: int, time: float | None, sequence: int | None) -> None:
        if sequence is not None:
            self.lowest = min(self.lowest, sequence) if self.messages else sequence
            self.highest = max(self.highest, sequence)
        self.messages += 1
        self.bytes += size
        if time is not None:
            self.first = time if self.first is None else min(self.first, time)
            self.last = time if self.last is None else max(self.last, time)

    def info(self) -> ChannelInfo:
        missing = max(0, self.highest - self.lowest + 1 - self.messages) if self.highest else 0
        return ChannelInfo(
            self.topic, self.kind, self.messages, self.bytes, self.pictures, missing, self.first, self.last
        )


def capture_info(path: str | Path) -> CaptureInfo:
    """What is in a capture: all of it is read, and its checksums are checked; data is not looked into.

    Raises:
        CaptureError: it cannot be read, or is no capture. A damaged one is described up to the damage.
    """
    return _mcap_info(os.fspath(path)) if is_mcap(path) else _cbors_info(os.fspath(path))


def _mcap_info(path: str) -> CaptureInfo:
    counts: dict[str, _Count] = {}
    problem: CaptureError | None = None
    with McapReader(path) as reader:
        try:
            for message in reader:
                channel = message.channel
                count = counts.get(channel.topic)
                if count is None:
                    count = counts[channel.topic] = _Count(channel.topic, channel.encoding)
                size = len(message.data) + (len(message.picture) if message.picture is not None else 0)
                count.pictures += message.picture is not None
                count.add(size, message.time / _NANO, message.sequence)
        except CaptureError as error:
            problem = error
        return CaptureInfo(
            path=path,
            format="mcap",
            size=reader.size,
            messages=sum(count.messages for count in counts.values()),
            channels=tuple(counts[topic].info() for topic in sorted(counts)),
            classes=tuple(reader.classes),
            pickled=tuple(reader.pickled),
            scans=1 if counts else 0,
            closed=reader.closed,
            problem=problem.reason if problem is not None else None,
            offset=problem.offset if problem is not None else None,
        )


def _cbors_info(path: str) -> CaptureInfo:
    counts: dict[str, _Count] = {}
    messages = 0
    scans = ScanCounter()
    problem: CaptureError | None = None
    with CborsReader(path, views=True) as reader:
        try:
            for _, value in reader:
                messages += 1
                scans.see(value)
                if isinstance(value, EventData):
                    _count_streams(counts, value)
                else:
                    count = counts.setdefault("frames", _Count("frames", "bytes"))
                    count.add(sum(map(len, value)), None, None)
        except CaptureError as error:
            problem = error
        return CaptureInfo(
            path=path,
            format="cbors events" if reader.layout is Layout.EVENTS else "cbors frames",
            size=os.stat(path).st_size,
            messages=messages,
            channels=tuple(counts[topic].info() for topic in sorted(counts)),
            classes=(),
            pickled=(),
            scans=scans.scan,
            closed=problem is None,
            problem=problem.reason if problem is not None else None,
            offset=problem.offset if problem is not None else None,
        )


def _count_streams(counts: dict[str, _Count], event: EventData) -> None:
    time = event.created_at.timestamp() if event.created_at is not None else None
    for name, stream in event.streams.items():
        count = counts.get(name)
        if count is None:
            count = counts[name] = _Count(name, stream.typ)
        count.add(sum(map(len, stream.frames)), time, None)
