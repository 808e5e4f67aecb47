"""Writes captures as MCAP files; see :mod:`pipert2.patterns.capture.mcap_format`."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns, time_ns
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from pipert2.errors import CaptureError
from pipert2.patterns.capture import mcap_format, pictures
from pipert2.patterns.capture.values import ValueEncoder
from pipert2.runtime.routine.preview import frame_of

if TYPE_CHECKING:
    from mcap.writer import Writer

Compression = Literal["lz4", "zstd"]

CHUNK = 1 << 20
"""Bytes of a chunk, which is what is checked and packed together; larger messages make larger ones."""


class McapWriter:
    """Writes one file, from any thread. What has been written stays readable whatever happens afterwards.

    Args:
        path: the file; it must not be there yet.
        compression: how chunks are packed; not at all if left out, which is quickest.

    Attributes:
        clock: the time of messages that bring none, ns since the epoch; goes on evenly when somebody sets the clock.

    Raises:
        CaptureError: the file is there, or cannot be written, or the package ``mcap`` is not installed.
    """

    def __init__(self, path: str | Path, *, compression: Compression | None = None) -> None:
        self.path = os.fspath(path)
        self._lock = threading.Lock()
        self._topics: dict[str, _Topic] = {}
        self._waiting = 0  # messages that are not in the file yet
        self._failed: str | None = None
        offset = time_ns() - monotonic_ns()
        self.clock: Callable[[], int] = lambda: offset + monotonic_ns()
        made = _writer_of(compression, self.path)
        self._file = _WholeWrites(self.path)
        try:
            self._writer = made(self._file)
            self._guarded(lambda: self._writer.start(library="pipert2"))
        except BaseException:
            self._file.close()
            os.unlink(self.path)
            raise

    def write(self, topic: str, data: Any, *, time: int | None = None, sequence: int | None = None) -> int:
        """Add a message.

        Args:
            topic: the channel's name.
            data: any picklable object.
            time: when it was made, ns since the epoch; now if left out.
            sequence: its number; counted if left out.

        Returns:
            How many bytes it has.

        Raises:
            CaptureError: it cannot be written; what was written before stays readable.
            UnsendableDataError: it cannot be pickled, and not be written otherwise.
        """
        with self._lock:
            if self._failed is not None:
                raise CaptureError(self.path, f"it was given up: {self._failed}")
            channel = self._topics.get(topic)
            if channel is None:
                channel = self._topics[topic] = _Topic(self._guarded, self._writer, topic)
            picture, kind = _picture_in(data)
            parts, found = channel.encode(data, picture)
            moment = time if time is not None else self.clock()
            channel.count += 1
            number = (sequence if sequence is not None else channel.count) & 0xFFFFFFFF
            about = {"log_time": moment, "publish_time": moment, "sequence": number}
            size, before = 0, self._file.tell()
            self._waiting += 1
            if found and picture is not None:
                image = pictures.message_of(picture, kind, moment, topic)
                size += len(image)
                self._guarded(lambda: self._writer.add_message(channel.pictures(), data=image, **about))
            message = b"".join(parts)
            self._guarded(lambda: self._writer.add_message(channel.number, data=message, **about))
            if self._file.tell() != before:
                self._waiting = 0
            return size + len(message)

    def flush(self) -> None:
        """Hand what was written to the operating system: it then outlives this process."""
        with self._lock:
            if self._waiting and self._failed is None:
                self._guarded(self._writer.flush)
                self._waiting = 0

    @property
    def size(self) -> int:
        """How many bytes the file has."""
        return self._file.tell()

    def _guarded(self, write: Any) -> Any:
        try:
            return write()
        except OSError as error:
            self._failed = error.strerror or str(error)
            lost = f"; messages lost with it: {self._waiting}" if self._waiting else ""
            raise CaptureError(self.path, f"it cannot be written: {self._failed}{lost}") from error

    def close(self) -> None:
        """Write the index and close the file. Closes twice without complaint.

        Raises:
            CaptureError: what was still to be written cannot be.
        """
        with self._lock, contextlib.ExitStack() as stack:
            if self._file.closed:
                return
            stack.callback(self._file.close)
            if self._failed is None:
                self._guarded(self._writer.finish)

    def __enter__(self) -> McapWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _picture_in(data: Any) -> tuple[Any, str]:
    """The array in a message that viewers can show, and what they call its kind of pixels; None if there is none."""
    try:
        picture = frame_of(data)
    except Exception:  # a get_frame() of the user's that fails; the message itself is recorded all the same
        return None, ""
    kind = pictures.encoding_of(picture) if picture is not None else None
    return (picture, kind) if kind is not None else (None, "")


class _Topic:
    """A wire's channel, and that of its pictures once there is one."""

    def __init__(self, guarded: Any, writer: Writer, topic: str) -> None:
        self.count = 0
        self.encode = ValueEncoder(self._met)
        self._guarded = guarded
        self._writer = writer
        self._topic = topic
        self._pictures: int | None = None
        self.number = writer.register_channel(
            topic, mcap_format.ENCODING, 0, {mcap_format.FORMAT_KEY: mcap_format.FORMAT}
        )

    def pictures(self) -> int:
        """The number of the channel of pictures."""
        if self._pictures is None:
            schema = self._writer.register_schema(pictures.SCHEMA_NAME, pictures.SCHEMA_ENCODING, pictures.SCHEMA)
            self._pictures = self._writer.register_channel(
                self._topic + mcap_format.PICTURES_SUFFIX,
                pictures.MESSAGE_ENCODING,
                schema,
                {mcap_format.PICTURES_OF_KEY: self._topic},
            )
        return self._pictures

    def _met(self, name: str, pickled: bool) -> None:
        record = mcap_format.PICKLED_RECORD if pickled else mcap_format.CLASS_RECORD
        self._guarded(lambda: self._writer.add_metadata(record, {"topic": self._topic, "class": name}))


class _WholeWrites:
    """A file that only ever grows by whole pieces: on an error, what was written of one is taken back."""

    def __init__(self, path: str) -> None:
        try:
            self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise CaptureError(path, f"it cannot be made: {error.strerror or error}") from error
        self.closed = False
        self._size = 0

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        try:
            while len(view):
                view = view[os.write(self._handle, view) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, self._size)
            raise
        self._size += len(data)
        return len(data)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        """All is with the operating system already."""

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            os.close(self._handle)


def _writer_of(compression: Compression | None, path: str) -> Callable[[_WholeWrites], Writer]:
    """What makes a writer of a file."""
    try:
        from mcap.writer import CompressionType, Writer
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("mcap", "lz4", "zstandard"):
            raise
        raise CaptureError(path, 'captures need the package mcap: pip install "pipert2[capture]"') from None
    kinds = {None: CompressionType.NONE, "lz4": CompressionType.LZ4, "zstd": CompressionType.ZSTD}
    if compression not in kinds:
        raise ValueError(f"compression is None, 'lz4' or 'zstd', not {compression!r}")
    return lambda file: Writer(file, chunk_size=CHUNK, compression=kinds[compression])  # type: ignore[arg-type]
