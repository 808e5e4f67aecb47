"""What is in a beamline's captures: the frames that several streams have of one event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import NamedTuple

Buffer = bytes | bytearray | memoryview


class Place(Enum):
    """Where in its stream a message belongs."""

    START = "start"
    FRAME = "frame"
    END = "end"


@dataclass(repr=False, slots=True)
class StreamData:
    """What one stream has of an event.

    Attributes:
        typ: the stream's protocol, such as ``"STINS"``.
        frames: the parts of one message of that protocol, as they came: bytes.
    """

    typ: str
    frames: Sequence[Buffer]

    @property
    def length(self) -> int:
        """The number of frames."""
        return len(self.frames)

    def get_bytes(self) -> bytes:
        """All frames in one."""
        return b"".join(self.frames)

    def __repr__(self) -> str:
        return f"StreamData(typ={self.typ!r}, frames={self.frames!r}, length={self.length})"


class StreamFrame(NamedTuple):
    """A message of a stream, on its way from its source to the routine that aligns."""

    stream: str
    data: StreamData


@dataclass(slots=True)
class EventData:
    """The frames that belong together.

    Attributes:
        event_number: counts the events of a scan from 0, which is the start of all streams.
        streams: by the stream's name; a stream that has nothing is missing.
        created_at: when the event was made, if that is known.
    """

    event_number: int
    streams: dict[str, StreamData]
    created_at: datetime | None = field(default=None, compare=False, repr=False)

    def __getitem__(self, stream: str) -> StreamData:
        return self.streams[stream]

    def __contains__(self, stream: object) -> bool:
        return stream in self.streams

    def __iter__(self) -> Iterator[str]:
        return iter(self.streams)
