"""What a protocol of streams is: how its messages are read, and how they are made of what a socket receives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipert2.patterns.streams.messages import MakeError, whole
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


def place_of(header: Mapping[str, Any], key: str, places: Mapping[str, Place], error: MakeError) -> Place:
    """Where a message belongs whose header says it under *key*."""
    said = header.get(key)
    place = places.get(said) if isinstance(said, str) else None
    if place is None:
        raise error(f"{key!r} is one of {', '.join(map(repr, places))}, not {said!r:.80}")
    return place


def place_and_number(
    header: Mapping[str, Any], key: str, places: Mapping[str, Place], number: str, error: MakeError
) -> tuple[Place, int | None]:
    """:func:`place_of`, and the number that the header of a frame has under another name."""
    place = place_of(header, key, places, error)
    return place, whole(header, number, error) if place is Place.FRAME else None
