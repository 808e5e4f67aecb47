"""Events of a ``.cbors`` capture as they lie in the file, several at a time: told apart, but not read yet.

Whoever works on them reads them, which spreads that over processes, and sends them as one piece of memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pipert2.patterns.capture.cbor import ARRAY, BYTES, TAG, TEXT, head
from pipert2.patterns.capture.cbors import PREFIX, TIME, CborsReader, EventParser
from pipert2.patterns.streams.stream_data import Buffer, EventData

_ARRAY, _BYTES = ARRAY << 5, BYTES << 5
_TIME, _SHORT_TEXT, _TEXT = head(TAG, TIME)[0], TEXT << 5, (TEXT << 5) + 24
_PREFIX_SIZE = len(PREFIX)


class EventBlock(NamedTuple):
    """Events with consecutive numbers.

    Attributes:
        first: the first one's number.
        ends: where each ends in *data*.
        data: their bytes, one after the other.
    """

    first: int
    ends: tuple[int, ...]
    data: Buffer

    def part(self, begin: int, end: int) -> EventBlock:
        """Those from *begin* on, up to *end*: counted from 0, *end* not among them."""
        start = self.ends[begin - 1] if begin else 0
        ends = tuple([one - start for one in self.ends[begin:end]])
        return EventBlock(self.first + begin, ends, memoryview(self.data)[start : start + ends[-1]])

    def read(self, least: int) -> Iterator[EventData]:
        """Read them; frames of *least* bytes and more are views of the block, others bytes of their own.

        Raises:
            CborError: they cannot be read.
        """
        parse, buffer, at = EventParser(), memoryview(self.data), 0
        for end in self.ends:
            event, _ = parse(buffer[:end], at, least)
            yield event
            at = end


def in_blocks(reader: CborsReader, buffer: memoryview, most: int, largest: int) -> Iterator[EventBlock | EventData]:
    """The events of a file, those with frames of several parts as blocks where they follow one another.

    Args:
        reader: of the file.
        buffer: all of its bytes.
        most: events of a block.
        largest: bytes after which a block takes no further event.

    Raises:
        CaptureError: the file is damaged.
    """
    skim = Skimmer()
    at = begin = count = expected = 0
    ends: list[int] = []
    while at < len(buffer):
        end = skim(buffer, at, expected)
        if ends and (end is None or len(ends) >= most or ends[-1] > largest):
            yield EventBlock(expected - len(ends), tuple(ends), buffer[begin:at])
            ends = []
        if end is None:
            event, at = reader.event_at(at, skim.parse, count)
            yield event
            expected = event.event_number + 1
        else:
            if not ends:
                begin = at
            at = end
            ends.append(at - begin)
            expected += 1
        count += 1
    if ends:
        yield EventBlock(expected - len(ends), tuple(ends), buffer[begin:at])


class Skimmer:
    """Tells where events end that are like one that was read: of one and the same stream, of two frames or more."""

    def __init__(self) -> None:
        self.parse = EventParser()

    def __call__(self, buffer: memoryview, at: int, expected: int) -> int | None:
        """Where the event at *at* ends, if it has the *expected* number and is like the last one that was read.

        Everything that is not simple is None: it has to be read.
        """
        alike = self.parse.alike
        after = at + _PREFIX_SIZE
        if not alike or after + 16 + len(alike) > len(buffer) or buffer[at:after] != PREFIX:
            return None
        length, first = buffer[after], buffer[after + 1]
        if first == 25:
            number, after = buffer[after + 2] << 8 | buffer[after + 3], after + 4
        elif first < 24:
            number, after = first, after + 2
        elif first == 24:
            number, after = buffer[after + 2], after + 3
        elif first == 26:
            number, after = int.from_bytes(buffer[after + 2 : after + 6], "big"), after + 6
        else:
            return None
        begin, after = after, after + len(alike)
        if number != expected or buffer[begin:after] != alike:
            return None
        count = buffer[after] - _ARRAY
        if not 2 <= count < 24:
            return None
        end = _after_frames(buffer, after + 1, count)
        if length == _ARRAY + 3 and end is not None:
            end = _after_time(buffer, end)
        elif length != _ARRAY + 2:
            return None
        return end if end is not None and end <= len(buffer) else None


def _after_frames(buffer: memoryview, at: int, count: int) -> int | None:
    last = len(buffer) - 5
    for _ in range(count):
        if at > last:
            return None
        size = buffer[at] - _BYTES
        if size < 24:
            at += 1 + size
        elif size == 24:
            at += 2 + buffer[at + 1]
        elif size == 25:
            at += 3 + (buffer[at + 1] << 8 | buffer[at + 2])
        elif size == 26:
            at += 5 + int.from_bytes(buffer[at + 1 : at + 5], "big")
        else:
            return None
        if size < 0:
            return None
    return at


def _after_time(buffer: memoryview, at: int) -> int | None:
    if at + 3 > len(buffer) or buffer[at] != _TIME:
        return None
    kind = buffer[at + 1]
    if kind == _TEXT:
        return at + 3 + buffer[at + 2]
    return at + 2 + kind - _SHORT_TEXT if _SHORT_TEXT <= kind < _TEXT else None
