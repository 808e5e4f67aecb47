"""The envelope around a user's data, and the format of a ring's cells.

A cell is the 32-byte head, then *places*, then the pickle stream. A place says where one out-of-band buffer lies:
segment, slot, offset in the slot and length; or, with the segment number ``HERE``, at that offset in the cell itself.
Where places and stream do not fit, the cell has one place only, of a blob in a slot that holds them (``INDIRECT``).
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

CELL = 512
HEAD = struct.Struct("<BBHIQQQ")  # kind, places, attempt, length of the stream, origin, born, sent
PLACE = struct.Struct("<IIQQ")
COUNT = struct.Struct("<I")
ROOM = CELL - HEAD.size

HEAD_AND_PLACE = struct.Struct(HEAD.format + PLACE.format[1:])

# the kind, of two bits
DIRECT = 0
INDIRECT = 1
FLAT = 2  # the data was taken apart by codec.flatten
HERE = 0xFFFFFFFF
ALIGNMENT = 64

_SEQUENCE_BITS = 48
_SEQUENCE_MASK = (1 << _SEQUENCE_BITS) - 1


class Message(NamedTuple):
    """A user's data with what the runtime knows about it. Users see their data only.

    Attributes:
        data: what the source or middle routine returned.
        origin: source routine and sequence number in one number, see :func:`origin_of`; kept along the way.
        born: when the source made it; monotonic clock, ns, the same for all processes of the machine.
        sent: when the last routine sent it.
        attempt: the how manieth attempt at it this is, from 1, where messages are acknowledged; else 0.
        delivery: what has to be told when it is done with, where messages are acknowledged.
    """

    data: Any
    origin: int
    born: int
    sent: int
    attempt: int = 0
    delivery: Any = None


def origin_of(source: int, sequence: int) -> int:
    """Source routine and sequence number packed into one."""
    return source << _SEQUENCE_BITS | (sequence & _SEQUENCE_MASK)


def source_and_sequence(origin: int) -> tuple[int, int]:
    """The two parts of an origin."""
    return origin >> _SEQUENCE_BITS, origin & _SEQUENCE_MASK


Place = tuple[int, int, int, int]
"""Segment, slot, offset and length of a buffer; see the top of this module."""


def small_cell(kind: int, stream: bytes | memoryview, origin: int, born: int, sent: int, attempt: int) -> bytes | None:
    """The cell of a message with nothing beside its stream; None if that is too long."""
    length = len(stream)
    return HEAD.pack(kind, 0, attempt, length, origin, born, sent) + stream if length <= ROOM else None


def places_of(cell: Any, count: int, start: int = 0) -> list[Place]:
    """The places of a cell that begins at *start*."""
    at = start + HEAD.size
    return [PLACE.unpack_from(cell, at + PLACE.size * index) for index in range(count)]


def blob_of(blob: Any, length: int) -> tuple[list[Place], Any]:
    """The places and the stream, of *length* bytes, of a blob (``INDIRECT``)."""
    count: int = COUNT.unpack_from(blob)[0]
    at = COUNT.size + PLACE.size * count
    return [PLACE.unpack_from(blob, COUNT.size + PLACE.size * index) for index in range(count)], blob[at : at + length]


def aligned(size: int) -> int:
    """*size* rounded up, so that every buffer in a slot starts on a cache line."""
    return -(-size // ALIGNMENT) * ALIGNMENT
