"""What workers get: the frames of several streams that belong together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class StreamData:
    """What one stream has for one event.

    Attributes:
        typ: the protocol, such as ``"STINS"``.
        frames: the parts of the message, as they came.
    """

    typ: str
    frames: Sequence[Buffer]

    @property
    def length(self) -> int:
        """How many parts there are."""
        return len(self.frames)

    def get_bytes(self) -> bytes:
        """All parts in one."""
        return b"".join(bytes(part) for part in self.frames)

    def __repr__(self) -> str:
        return f"StreamData(typ={self.typ!r}, frames={self.frames!r}, length={self.length})"


@dataclass(frozen=True, slots=True)
class Event:
    """The frames that belong together.

    Attributes:
        event_number: counts the events of a scan; 0 is the start of all streams.
        streams: what each stream has for this event; a stream that has nothing is missing.
    """

    event_number: int
    streams: Mapping[str, StreamData] = field(default_factory=dict)

    def __getitem__(self, stream: str) -> StreamData:
        return self.streams[stream]

    def __contains__(self, stream: object) -> bool:
        return stream in self.streams

    def __iter__(self) -> Iterator[str]:
        return iter(self.streams)
