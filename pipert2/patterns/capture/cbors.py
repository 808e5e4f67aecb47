"""Captures of dranspose (``.cbors``, ``.cbors.gz``): what its replay reads, and what its test sources send.

A file is a sequence of CBOR items without header or index (RFC 8742), in one of two layouts: *events*, each the frames
of the streams that belong together, or *frames*, each the parts of one message of a stream's protocol. The first byte
tells them apart. See :class:`dranspose.event.InternalWorkerMessage` of https://github.com/felix-engelmann/dranspose.
"""

from __future__ import annotations

import gzip
import mmap
import os
import sys
import zlib
from collections.abc import Iterator
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from pipert2.errors import CaptureError
from pipert2.patterns.capture.cbor import (
    ARRAY,
    BYTES,
    MAP,
    TAG,
    TEXT,
    UNSIGNED,
    CborEndError,
    CborError,
    head,
    take,
    take_head,
    text_of,
)
from pipert2.patterns.streams.stream_data import EventData, StreamData

SUFFIXES = (".cbors", ".cbors.gz", ".cbor.gz")

SELF_DESCRIBED, EVENT, STREAM, TIME, EPOCH = 55799, 42877, 42878, 0, 1
PREFIX = head(TAG, SELF_DESCRIBED) + head(TAG, EVENT)
_BLOCK = 1 << 20
_PIECE = 1 << 14  # so much is unpacked at once, and lost where that meets damage
_BYTES, _ARRAY = BYTES << 5, ARRAY << 5
_MAJORS = ("a number", "a negative number", "bytes", "a text", "an array", "a map", "a tag", "a constant")


class Layout(Enum):
    """What the items of a file are."""

    EVENTS = "events"
    FRAMES = "frames"


class Record(NamedTuple):
    """An item of a file: an :class:`EventData` or the frames of one message, and the byte at which it begins."""

    offset: int
    value: EventData | list[bytes | memoryview]


class ScanCounter:
    """Tells the scans in a file apart: event numbers begin anew with each."""

    def __init__(self) -> None:
        self.scan = 0
        self._before: int | None = None

    def see(self, value: EventData | list[bytes | memoryview]) -> int:
        """Which scan a record belongs to, from 1; frames have no numbers, and are one."""
        number = value.event_number if isinstance(value, EventData) else None
        if not self.scan or (number is not None and (number == 0 or number < (self._before or 0))):
            self.scan += 1
        self._before = number
        return self.scan


class CborsReader:
    """Reads a file from its beginning; iterate over it for its records. Each iteration begins anew.

    Args:
        path: the file; what ends in ``.gz`` is unpacked, and offsets are those of the unpacked bytes.
        views: give frames as views of the file's memory instead of as bytes of their own: nothing is copied.

    Raises:
        CaptureError: the file cannot be read, or is something else; while iterating: it is damaged.
    """

    def __init__(self, path: str | Path, *, views: bool = False) -> None:
        self.path = os.fspath(path)
        self._views = views
        self._window = _Window(self.path)
        try:
            first = self._window.first_byte()
            if first is None or first >> 5 == TAG:
                self.layout = Layout.EVENTS
            elif first >> 5 == ARRAY:
                self.layout = Layout.FRAMES
            else:
                raise CaptureError(self.path, "this is no .cbors capture: it does not begin with an event or frames", 0)
        except BaseException:
            self._window.close()
            raise

    def __iter__(self) -> Iterator[Record]:
        window = self._window
        least = 0 if self._views else sys.maxsize
        parse: Any = EventParser() if self.layout is Layout.EVENTS else _frames_at
        window.rewind()
        count = at = 0
        while True:
            try:
                if at >= len(window.buffer):
                    at = window.more(at)
                    if at >= len(window.buffer):
                        return
                try:
                    value, end = parse(window.buffer, at, least)
                except CborEndError as error:
                    left = len(window.buffer) - at
                    at = window.more(at)
                    if len(window.buffer) - at > left:
                        continue
                    raise CaptureError(self.path, error.reason, window.base + at, count) from None
            except CborError as error:
                raise CaptureError(self.path, error.reason, window.base + error.offset, count) from None
            except _UnpackError as error:
                raise CaptureError(self.path, str(error), window.base + len(window.buffer), count) from None
            yield Record(window.base + at, value)
            at = end
            count += 1

    @property
    def buffer(self) -> memoryview | None:
        """All bytes of the file; None if they have to be unpacked."""
        return None if self._window.is_packed else self._window.buffer

    def event_at(self, at: int, parse: EventParser, count: int) -> tuple[EventData, int]:
        """The event at a byte, the *count*-th of the file, with frames as views; and where the next one begins.

        Raises:
            CaptureError: there is none.
        """
        try:
            return parse(self._window.buffer, at, 0)
        except CborEndError as error:
            raise CaptureError(self.path, error.reason, at, count) from None
        except CborError as error:
            raise CaptureError(self.path, error.reason, error.offset, count) from None

    def close(self) -> None:
        """Close the file; views of it stay valid. Closes twice without complaint."""
        self._window.close()

    def __enter__(self) -> CborsReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _UnpackError(Exception):
    pass


class _Window:
    """The bytes that can be looked at: all of a file, or what was unpacked of one; *base* is where they begin."""

    def __init__(self, path: str) -> None:
        self.buffer = memoryview(b"")
        self.base = 0
        self._packed: gzip.GzipFile | None = None
        try:
            with open(path, "rb") as file:
                if path.endswith(".gz"):
                    self._packed = gzip.GzipFile(path, "rb")
                elif os.fstat(file.fileno()).st_size:
                    self.buffer = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError) as error:
            raise CaptureError(path, f"it cannot be read: {getattr(error, 'strerror', None) or error}") from error
        self._path = path

    @property
    def is_packed(self) -> bool:
        """Whether it is unpacked bit by bit."""
        return self._packed is not None

    def first_byte(self) -> int | None:
        """The file's first byte; None if it is empty."""
        try:
            self.more(0)
        except _UnpackError as error:
            raise CaptureError(self._path, str(error), 0) from None
        return self.buffer[0] if len(self.buffer) else None

    def rewind(self) -> None:
        """Go back to the file's beginning."""
        if self._packed is not None and self.base + len(self.buffer):
            self._packed.seek(0)
            self.buffer, self.base = memoryview(b""), 0

    def more(self, at: int) -> int:
        """Forget what is before *at* and unpack more; where *at* is now."""
        if self._packed is None:
            return at
        pieces: list[bytes] = []
        left = max(_BLOCK, len(self.buffer) - at)
        try:
            while left > 0 and (piece := self._packed.read1(_PIECE)):
                pieces.append(piece)
                left -= len(piece)
        except (OSError, EOFError, zlib.error) as error:
            if not pieces:  # else it is met again when what is before it has been read
                raise _UnpackError(f"it cannot be unpacked: {error}") from None
        if not pieces:
            return at
        self.buffer = memoryview(b"".join((self.buffer[at:], *pieces)))
        self.base += at
        return 0

    def close(self) -> None:
        self.buffer = memoryview(b"")  # the memory goes when the last view of it does
        if self._packed is not None:
            self._packed.close()


def _expect(buffer: memoryview, at: int, major: int, what: str) -> tuple[int, int]:
    found, number, after = take_head(buffer, at)
    if found != major:
        raise CborError(at, f"{what} is {_MAJORS[found]}, not {_MAJORS[major]}")
    return number, after


def _expect_array(buffer: memoryview, at: int, what: str) -> tuple[int, int]:
    if at < len(buffer):
        length = buffer[at] - _ARRAY
        if 0 <= length < 24:  # as nearly all have, in a third of the time
            return length, at + 1
    return _expect(buffer, at, ARRAY, what)


class EventParser:
    """Reads events; what is between the number and the frames, mostly the same from event to event, only once.

    Attributes:
        alike: these bytes, of the last event that had one stream.
    """

    def __init__(self) -> None:
        self.alike = b""
        self._name = self._typ = ""

    def __call__(self, buffer: memoryview, at: int, least: int) -> tuple[EventData, int]:
        """The event at *at*, whose frames of *least* bytes and more are views, and where the next one begins."""
        length, number, after = _event_head(buffer, at)
        streams = {}
        if self.alike and buffer[after : after + len(self.alike)] == self.alike:
            frames, after = _frames_at(buffer, after + len(self.alike), least)
            streams[self._name] = StreamData(self._typ, frames)
        else:
            before = after
            count, after = _expect(buffer, after, MAP, "an event's streams")
            for _ in range(count):
                name, typ, start = _stream_head(buffer, after)
                frames, after = _frames_at(buffer, start, least)
                streams[name] = StreamData(typ, frames)
                if count == 1:
                    self.alike, self._name, self._typ = bytes(buffer[before:start]), name, typ
        created = None
        for position in range(2, length):
            item, after = take(buffer, after, _time_or_ignored)
            if position == 2 and isinstance(item, datetime):
                created = item
        return EventData(number, streams, created), after


def _event_head(buffer: memoryview, at: int) -> tuple[int, int, int]:
    """The number of an event's elements, the event's number, and where its streams begin."""
    after = at + len(PREFIX)
    if buffer[at:after] != PREFIX:
        tag, after = _expect(buffer, at, TAG, "an event")
        if tag == SELF_DESCRIBED:
            tag, after = _expect(buffer, after, TAG, "an event")
        if tag != EVENT:
            raise CborError(at, f"tag {tag} is not that of an event")
    length, after = _expect_array(buffer, after, "an event")
    if length < 2:
        raise CborError(at, f"an event has {length} elements instead of 2 or 3")
    if after + 3 <= len(buffer) and buffer[after] == 25:  # a number of two bytes, as most are: without a call
        return length, buffer[after + 1] << 8 | buffer[after + 2], after + 3
    number, after = _expect(buffer, after, UNSIGNED, "an event's number")
    return length, number, after


def _stream_head(buffer: memoryview, at: int) -> tuple[str, str, int]:
    """A stream's name and protocol, and where its frames begin."""
    size, start = _expect(buffer, at, TEXT, "a stream's name")
    name, after = _text(buffer, at, start, size)
    tag, start = _expect(buffer, after, TAG, "a stream")
    if tag != STREAM:
        raise CborError(after, f"tag {tag} is not that of a stream")
    size, start = _expect(buffer, start, ARRAY, "a stream")
    if size != 2:
        raise CborError(after, f"a stream has {size} elements instead of 2")
    size, after = _expect(buffer, start, TEXT, "a stream's protocol")
    typ, after = _text(buffer, start, after, size)
    return name, typ, after


def _text(buffer: memoryview, at: int, start: int, size: int) -> tuple[str, int]:
    if size > len(buffer) - start:
        raise CborEndError(at)
    return text_of(buffer[start : start + size], at), start + size


def _frames_at(buffer: memoryview, at: int, least: int) -> tuple[list[bytes | memoryview], int]:
    count, after = _expect_array(buffer, at, "a message's frames")
    if count > len(buffer) - after:
        raise CborEndError(at)
    frames: list[bytes | memoryview] = []
    whole = len(buffer)
    for _ in range(count):
        # Heads of up to three bytes are read here: a call for each is a third of what reading small events takes.
        first = buffer[after] if after + 3 <= whole else 0
        if _BYTES <= first < _BYTES + 24:
            start = after + 1
            after = start + first - _BYTES
        elif first == _BYTES + 24:
            start = after + 2
            after = start + buffer[after + 1]
        elif first == _BYTES + 25:
            start = after + 3
            after = start + (buffer[after + 1] << 8 | buffer[after + 2])
        else:
            size, start = _expect(buffer, after, BYTES, "a frame")
            after = start + size
        if after > whole:
            raise CborEndError(start)
        view = buffer[start:after]
        frames.append(view if after - start >= least else bytes(view))
    return frames, after


def _time_or_ignored(tag: int, value: Any, at: int) -> Any:
    """The time at which an event was made; others' tags are of no concern."""
    try:
        if tag == TIME:
            return datetime.fromisoformat(value.replace("Z", "+00:00"))
        if tag == EPOCH:
            return datetime.fromtimestamp(value, timezone.utc)
    except (AttributeError, TypeError, ValueError, OverflowError, OSError):
        raise CborError(at, f"{value!r:.50} is no time") from None
    return None
