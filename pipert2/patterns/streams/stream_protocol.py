"""What a protocol of streams is: how its messages are read, and how they are made of what a socket receives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipert2.patterns.streams.messages import Malformed, whole
from pipert2.patterns.streams.stream_data import Buffer, Place, StreamData

Glance = Callable[[StreamData], tuple[Place, int | None]]
"""Where in its stream a message belongs, and its frame's number; raises PipertError if it cannot be read."""

Assemble = Callable[[list[Buffer]], list[list[Buffer]]]
"""Takes the parts of what a socket received; returns the parts of the messages that are complete with it."""


@dataclass(frozen=True, slots=True)
class StreamProtocol:
    """A protocol, by which streams are read and aligned.

    Attributes:
        name: what :attr:`StreamData.typ` says.
        parse: reads a message; for users.
        glance: where in its stream a message belongs, and its number; asked for each, so it should be quick.
        pattern: the ZeroMQ pattern that devices use: ``"pull"`` or ``"sub"``.
        assembler: makes what puts messages together, or apart, for each connection anew; None where what is received
            is a message.
        numbered: whether its frames say their number; those of others are counted.
    """

    name: str
    parse: Callable[..., Any]
    glance: Glance
    pattern: str = "pull"
    assembler: Callable[[], Assemble] | None = None
    numbered: bool = True


Head = tuple[Place, int | None, dict[str, Any]]
"""What is read of a message before anything else: where in its stream it belongs, its frame's number, its header."""


@dataclass(frozen=True, slots=True)
class Heads:
    """How a protocol's headers say what a message is.

    Attributes:
        key: the name under which they say it.
        places: what they say there.
        number: the name under which those of frames say their number, if they do.

    >>> heads = Heads("kind", {"begin": Place.START, "point": Place.FRAME, "stop": Place.END}, "at")
    >>> heads.of({"kind": "point", "at": 7})[:2]
    (<Place.FRAME: 'frame'>, 7)
    """

    key: str
    places: Mapping[str, Place]
    number: str | None = None

    def of(self, header: dict[str, Any]) -> Head:
        """What a header says; raises Malformed."""
        said = header.get(self.key)
        place = self.places.get(said) if isinstance(said, str) else None
        if place is None:
            raise Malformed(f"{self.key!r} is one of {', '.join(map(repr, self.places))}, not {said!r:.80}")
        number = whole(header, self.number) if place is Place.FRAME and self.number is not None else None
        return place, number, header
