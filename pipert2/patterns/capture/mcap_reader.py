"""Reads MCAP files, ours and others', whole and damaged ones; see :mod:`pipert2.patterns.capture.mcap_format`.

The package ``mcap`` reads whole files; it neither says where a file is damaged nor gives what a torn chunk still holds.
"""

from __future__ import annotations

import os
import struct
import weakref
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from pipert2.errors import CaptureError
from pipert2.patterns.capture.mcap_format import (
    CHUNK,
    CLASS_RECORD,
    HEAD,
    MAGIC,
    MESSAGE,
    PICKLED_RECORD,
    Channel,
    Op,
)

_LARGEST_CHUNK = 4 << 30
TORN = "the file ends in the middle of a record"


class McapMessage(NamedTuple):
    """A message as it lies in the file.

    Attributes:
        offset: the byte of the record, or of the chunk, that it is in.
        time, published: ns since the epoch, when it was recorded and when it was sent.
        picture: the message with its picture, if it has one in a channel of pictures.
    """

    offset: int
    channel: Channel
    sequence: int
    time: int
    published: int
    data: memoryview
    picture: memoryview | None


class _DamageError(Exception):
    def __init__(self, reason: str, offset: int = 0) -> None:
        super().__init__(reason)
        self.offset = offset


class _TornError(_DamageError):
    pass


class _Chunk(NamedTuple):
    last: int
    data: memoryview


@contextmanager
def _damage_at(offset: int) -> Iterator[None]:
    """What is wrong with the record there becomes an error that says where."""
    try:
        yield
    except _DamageError as error:
        raise type(error)(str(error), offset) from None
    except (struct.error, UnicodeDecodeError):
        raise _DamageError("a record is not what it should be", offset) from None


class McapReader:
    """Reads a file; iterate over it for its messages in the file's order. Each iteration begins anew.

    Attributes:
        classes: the classes that data is of; those met by the latest iteration so far.
        pickled: the classes of which data is pickled; likewise.
        closed: whether the writer came to its end; known after an iteration.

    Raises:
        CaptureError: the file cannot be read, or is none; while iterating: it is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = os.fspath(path)
        self.classes: dict[str, None] = {}
        self.pickled: dict[str, None] = {}
        self.closed = False
        try:
            self._handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise CaptureError(self.path, f"it cannot be read: {error.strerror or error}") from error
        self._close = weakref.finalize(self, os.close, self._handle)
        try:
            self.size = os.fstat(self._handle).st_size
            if bytes(self._read(0, len(MAGIC))) != MAGIC:
                what = "it is empty" if not self.size else "this is no MCAP file"
                raise CaptureError(self.path, what, 0, 0)
        except OSError as error:
            self.close()
            raise CaptureError(self.path, f"it cannot be read: {error.strerror or error}") from error
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[McapMessage]:
        return self.messages()

    def messages(self, since: int = 0) -> Iterator[McapMessage]:
        """The messages from chunks that go on until *since* (ns since the epoch) or later."""
        self.closed = False
        self.classes, self.pickled = {}, {}
        count = 0
        try:
            for message in self._messages(since):
                count += 1
                yield message
        except _TornError as error:
            raise CaptureError(self.path, TORN, error.offset, count) from None
        except _DamageError as error:
            raise CaptureError(self.path, str(error), error.offset, count) from None
        except OSError as error:
            raise CaptureError(self.path, f"it cannot be read: {error.strerror or error}", None, count) from None

    def _messages(self, since: int) -> Iterator[McapMessage]:
        schemas: dict[int, str] = {}
        channels: dict[int, Channel] = {}
        pictures: dict[str, tuple[int, memoryview]] = {}
        for op, offset, body in self._records(since):
            with _damage_at(offset):
                if op == Op.SCHEMA:
                    number, name = _schema(body)
                    schemas[number] = name
                elif op == Op.CHANNEL:
                    channel = _channel(body, schemas)
                    channels[channel.number] = channel
                elif op == Op.METADATA:
                    self._note(body)
                if op != Op.MESSAGE:
                    continue
                number, sequence, time, published = MESSAGE.unpack_from(body)
                if number not in channels:
                    raise _DamageError(f"a message is in channel {number}, which there is not", offset)
            channel, data = channels[number], body[MESSAGE.size :]
            if channel.pictures_of is not None:
                pictures[channel.pictures_of] = (sequence, data)
                continue
            order, picture = pictures.pop(channel.topic, (None, None))
            yield McapMessage(offset, channel, sequence, time, published, data, picture if order == sequence else None)

    def _note(self, body: memoryview) -> None:
        name, at = _text(body, 0)
        if name in (CLASS_RECORD, PICKLED_RECORD):
            known = self.pickled if name == PICKLED_RECORD else self.classes
            known[_texts(body, at).get("class", "")] = None

    def _records(self, since: int) -> Iterator[tuple[int, int, memoryview]]:
        """Kind, offset and body of all records, and of those in chunks instead of the chunks."""
        at = len(MAGIC)
        while at < self.size:
            head = self._read(at, HEAD.size)
            if len(head) < HEAD.size:
                raise _TornError("", at)
            op, length = HEAD.unpack(head)
            body, end = at + HEAD.size, at + HEAD.size + length
            if op == 0:
                raise _DamageError("here is no record", at)
            if op == Op.CHUNK:
                with _damage_at(at):
                    chunk = self._chunk(body, min(end, self.size), end > self.size)
                yield from _records_in(chunk, at, since, torn=end > self.size)
            if end > self.size:
                raise _TornError("", at)
            if op in (Op.DATA_END, Op.FOOTER):
                self.closed = True
                return
            if op in (Op.SCHEMA, Op.CHANNEL, Op.MESSAGE, Op.METADATA):
                yield op, at, self._read(body, length)
            at = end

    def _chunk(self, at: int, end: int, torn: bool) -> _Chunk:
        """The chunk whose body is from *at* to *end*; of a torn one what there is, unchecked."""
        try:
            _, last, size, checksum, named = CHUNK.unpack(self._read(at, min(CHUNK.size, end - at)))
            names = self._read(at + CHUNK.size, min(named + 8, end - at - CHUNK.size))
            packing, (inside,) = str(names[:named], "utf-8"), struct.unpack("<Q", names[named:])
        except struct.error:
            if torn:
                return _Chunk(0, memoryview(b""))
            raise
        start = at + CHUNK.size + named + 8
        if torn:
            return _Chunk(last, memoryview(b"") if packing else self._read(start, end - start))
        if inside != end - start:
            raise _DamageError("a chunk's length is not that of what is in it")
        data = self._read(start, inside)
        if packing:
            data = _unpack(packing, data, size)
        if len(data) != size:
            raise _DamageError(f"a chunk unpacks to {len(data)} bytes instead of {size}")
        if checksum and zlib.crc32(data) != checksum:
            raise _DamageError("a chunk's checksum is not that of what is in it")
        return _Chunk(last, data)

    def _read(self, at: int, size: int) -> memoryview:
        """The bytes from *at* on, fewer only if the file ends there."""
        data = memoryview(bytearray(max(0, min(size, self.size - at)))) if hasattr(self, "size") else memoryview(b"")
        filled = 0
        while filled < len(data):
            more = os.preadv(self._handle, [data[filled:]], at + filled)
            if not more:
                break  # somebody has made it shorter meanwhile
            filled += more
        return data[:filled]

    def close(self) -> None:
        """Close the file. Closes twice without complaint."""
        self._close()

    def __enter__(self) -> McapReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _records_in(chunk: _Chunk, offset: int, since: int, *, torn: bool) -> Iterator[tuple[int, int, memoryview]]:
    """The records in a chunk, without messages if all are from before *since*; of a torn one those that are whole."""
    skip = 0 < chunk.last < since and not torn
    data, place, end = chunk.data, 0, len(chunk.data)
    while place < end:
        start = place + HEAD.size
        op, size = HEAD.unpack_from(data, place) if start <= end else (0, 0)
        place = start + size
        if place > end or op == 0:
            if torn:
                return
            raise _DamageError("a chunk ends in the middle of a record", offset)
        if op in (Op.SCHEMA, Op.CHANNEL) or (op == Op.MESSAGE and not skip):
            yield op, offset, data[start:place]


def _unpack(packing: str, data: memoryview, size: int) -> memoryview:
    if size > _LARGEST_CHUNK:
        raise _DamageError(f"a chunk says that it unpacks to {size} bytes")
    try:
        if packing == "zstd":
            import zstandard

            packed = zstandard.ZstdDecompressor().decompressobj()
            found = packed.decompress(data)
        elif packing == "lz4":
            import lz4.frame

            found = lz4.frame.LZ4FrameDecompressor().decompress(data, max_length=size + 1)
        else:
            raise _DamageError(f"a chunk is packed with {packing!r:.40}, which is not known here")
    except ModuleNotFoundError:
        raise _DamageError(f'to unpack {packing}: pip install "pipert2[capture]"') from None
    except (_DamageError, MemoryError):
        raise
    except Exception as error:  # each library has its own
        raise _DamageError(f"a chunk cannot be unpacked: {error}") from None
    return memoryview(bytearray(found))


def _text(body: memoryview, at: int) -> tuple[str, int]:
    (size,) = struct.unpack_from("<I", body, at)
    start = at + 4
    if size > len(body) - start:
        raise _DamageError("a text is longer than its record")
    return str(body[start : start + size], "utf-8"), start + size


def _texts(body: memoryview, at: int) -> dict[str, str]:
    (size,) = struct.unpack_from("<I", body, at)
    at += 4
    end = at + size
    if end > len(body):
        raise _DamageError("a map is longer than its record")
    found = {}
    while at < end:
        key, at = _text(body, at)
        found[key], at = _text(body, at)
    return found


def _schema(body: memoryview) -> tuple[int, str]:
    (number,) = struct.unpack_from("<H", body)
    return number, _text(body, 2)[0]


def _channel(body: memoryview, schemas: dict[int, str]) -> Channel:
    number, schema = struct.unpack_from("<HH", body)
    topic, at = _text(body, 4)
    encoding, at = _text(body, at)
    return Channel(number, topic, encoding, schemas.get(schema, ""), _texts(body, at))
