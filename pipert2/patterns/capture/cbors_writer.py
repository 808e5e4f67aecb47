"""Writes captures that dranspose replays; see :mod:`pipert2.patterns.capture.cbors` for the format."""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from datetime import timezone
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from pipert2.errors import CaptureError
from pipert2.patterns.capture.cbor import Tagged, put
from pipert2.patterns.capture.cbors import PREFIX, STREAM, TIME, Layout
from pipert2.patterns.streams.stream_data import EventData


class CborsWriter:
    """Writes a file that dranspose replays. Each record goes to the operating system as a whole, or not at all.

    Args:
        path: the file; it must not be there yet. What ends in ``.gz`` is packed.

    Raises:
        CaptureError: the file is there, or cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = os.fspath(path)
        self._failed: str | None = None
        self._layout: Layout | None = None
        self._packer: gzip.GzipFile | None = None
        try:
            self._file: IO[bytes] = open(self.path, "xb", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise CaptureError(self.path, f"it cannot be made: {error.strerror or error}") from error
        if self.path.endswith(".gz"):
            self._packer = gzip.GzipFile(fileobj=self._file, mode="wb", mtime=0)

    def write(self, value: EventData | Sequence[bytes | memoryview]) -> None:
        """Add an event, or the frames of one message; a file has records of one of the two.

        Raises:
            CaptureError: it cannot be written; what was written before stays readable.
            TypeError: it is neither.
        """
        parts = event_parts(value) if isinstance(value, EventData) else frames_parts(value)
        layout = Layout.EVENTS if isinstance(value, EventData) else Layout.FRAMES
        if self._layout not in (None, layout):
            raise TypeError(f"{self.path} has {self._layout and self._layout.value}: {layout.value} cannot be added")
        self._layout = layout
        if self._failed is not None:
            raise CaptureError(self.path, f"it was given up: {self._failed}")
        record = b"".join(parts)
        try:
            if self._packer is not None:
                self._packer.write(record)
            else:
                self._write_whole(record)
        except OSError as error:
            self._failed = error.strerror or str(error)
            raise CaptureError(self.path, f"it cannot be written: {self._failed}") from error

    def _write_whole(self, record: bytes) -> None:
        before = self._file.tell()
        view = memoryview(record)
        try:
            while len(view):
                view = view[self._file.write(view) :]
        except OSError:
            self._file.truncate(before)
            raise

    def flush(self) -> None:
        """Hand what is packed to the operating system."""
        if self._packer is None or self._failed is not None:
            return
        try:
            self._packer.flush()
        except OSError as error:
            self._failed = error.strerror or str(error)
            raise CaptureError(self.path, f"it cannot be written: {self._failed}") from error

    def close(self) -> None:
        """Close the file. Closes twice without complaint.

        Raises:
            CaptureError: what was still to be written cannot be.
        """
        if self._file.closed:
            return
        try:
            if self._packer is not None:
                self._packer.close()
        except OSError as error:
            raise CaptureError(self.path, f"it cannot be written: {error.strerror or error}") from error
        finally:
            self._file.close()

    def __enter__(self) -> CborsWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def event_parts(event: EventData) -> list[Any]:
    """The bytes of an event's record, in parts."""
    streams: dict[Any, Any] = {}
    for name, stream in event.streams.items():
        streams[name] = Tagged(STREAM, [stream.typ, [_frame(frame) for frame in stream.frames]])
    items: list[Any] = [event.event_number, streams]
    if event.created_at is not None:
        moment = event.created_at.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
        items.append(Tagged(TIME, moment))
    parts: list[Any] = [PREFIX]
    put(items, parts, _no_other)
    return parts


def frames_parts(frames: Sequence[bytes | memoryview]) -> list[Any]:
    """The bytes of a message's frames, in parts."""
    if not isinstance(frames, list | tuple):
        raise TypeError(f"a .cbors capture takes EventData or lists of bytes, not {type(frames).__name__}")
    parts: list[Any] = []
    put([_frame(frame) for frame in frames], parts, _no_other)
    return parts


def _frame(frame: Any) -> bytes | memoryview:
    if type(frame) is bytes:
        return frame
    try:
        view = memoryview(frame)
        return view.cast("B") if view.contiguous and view.nbytes else view.tobytes()
    except TypeError:
        raise TypeError(f"a frame in a .cbors capture is bytes, not {type(frame).__name__}") from None


def _no_other(value: Any) -> Any:
    raise TypeError(f"a .cbors capture has numbers, texts and bytes, not {type(value).__name__}")
