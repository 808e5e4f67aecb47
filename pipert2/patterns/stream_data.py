"""What is in a beamline's captures: the frames that several streams have of one event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime


@dataclass
class StreamData:
    """What one stream has of an event.

    Attributes:
        typ: the stream's protocol, such as ``"STINS"``.
        frames: the parts of one message of that protocol, as they came: bytes.
    """

    typ: str
    frames: Sequence[bytes | memoryview]

    @property
    def length(self) -> int:
        """The number of frames."""
        return len(self.frames)


@dataclass
class EventData:
    """The frames that belong together.

    Attributes:
        event_number: counts the events of a scan from 0.
        streams: by the stream's name.
        created_at: when the event was made, if that is known.
    """

    event_number: int
    streams: dict[str, StreamData]
    created_at: datetime | None = field(default=None, compare=False)
