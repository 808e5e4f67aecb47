"""Recorder: a destination that writes what it gets into a capture."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from time import time_ns
from typing import Any

from pipert2.errors import CaptureError, readable_size
from pipert2.graph.routine import DestinationRoutine
from pipert2.patterns.capture import cbors, mcap_format
from pipert2.patterns.capture.cbors_writer import CborsWriter
from pipert2.patterns.capture.mcap_writer import Compression, McapWriter
from pipert2.patterns.streams.stream_data import EventData, StreamFrame


def check_format(path: Path, compression: Compression | None) -> None:
    """Find out whether there is a format for a file of this name.

    Raises:
        ValueError: there is none, or it cannot be packed like that.
    """
    if suffix_of(path) is None:
        raise ValueError(f"Recorder({str(path)!r}): its name ends in {', '.join(_SUFFIXES)}, which says the format")
    if compression not in (None, "lz4", "zstd"):
        raise ValueError(f"Recorder(compression=...) is None, 'lz4' or 'zstd', not {compression!r}")
    if compression is not None and suffix_of(path) != mcap_format.SUFFIX:
        raise ValueError("Recorder(compression=...) is for .mcap; call the file .cbors.gz to have it packed")


class Recorder(DestinationRoutine):
    """Writes what it gets into a capture: link it to the source of the wire that is to be recorded.

    Its own wire's rule is that of any wire: real-time, and what the recorder is too slow for is dropped and counted, or
    ``lossless=True``, and the source waits. Recorders of one flow that name the same file share it.

    A file that is there is never overwritten: a number is put behind its name, and the log says so; the same when
    the recorder is started again. What has been written stays readable whatever happens, also to the process.

    Args:
        path: ``.mcap`` for any data; ``.cbors`` or ``.cbors.gz`` for what dranspose replays: events, or lists of bytes.
        topic: the channel's name in the file; the recorder's if left out.
        compression: ``"lz4"`` or ``"zstd"``; none if left out, which is quickest.
        flush_every: seconds after which at the latest what was written outlives the process.

    Raises:
        ValueError: an argument is not what it should be.

    >>> from pipert2 import Pipe, Recorder, Replay, destination, source
    >>> @source
    ... def numbers():
    ...     yield from range(3)
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> pipe = Pipe(inline=True, lossless=True)
    >>> pipe.create_flow("all", True, numbers, Recorder(f"{folder.name}/numbers.mcap"))
    >>> pipe.run().ok
    True
    >>> again = Pipe(inline=True, lossless=True)
    >>> again.create_flow("all", True, Replay(f"{folder.name}/numbers.mcap", speed="max"), destination(print))
    >>> again.run().ok
    0
    1
    2
    True
    >>> folder.cleanup()
    """

    def __init__(
        self,
        path: str | Path,
        *,
        topic: str | None = None,
        compression: Compression | None = None,
        flush_every: float = 0.5,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.path = Path(path)
        check_format(self.path, compression)
        if not flush_every > 0:
            raise ValueError(f"Recorder(flush_every=...) is a time in seconds above 0, not {flush_every!r}")
        if topic is not None and not topic:
            raise ValueError("Recorder(topic=...) is not empty")
        self._topic = topic
        self._compression: Compression | None = compression
        self._flush_every = flush_every
        self._recording: _Recording | None = None
        self._messages = 0
        self._was_set_up = False
        _Recording.expect(self)

    @property
    def topic(self) -> str:
        """The channel's name in the file."""
        return self._topic or self.name

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        _Recording.expect(self)

    def setup(self) -> None:
        self._messages = 0
        self._recording = _Recording.joined(self)
        if self._recording.path != self.path.absolute():
            self.logger.warning("%s is there already: recording into %s", self.path, self._recording.path.name)

    def main_logic(self, data: Any) -> None:
        recording = self._recording
        assert recording is not None
        about = self.message
        made = round(about.made * 1e9) if about is not None else None
        recording.write(self.topic, data, made, about.sequence if about is not None else None)
        self._messages += 1

    def cleanup(self) -> None:
        recording, self._recording = self._recording, None
        if recording is None:
            return
        try:
            size = recording.leave(self.flow_name)
        finally:
            self.logger.info("recorded %d messages into %s", self._messages, recording.path)
        if size is not None:
            self.logger.info("closed %s: %s", recording.path, readable_size(size))


_SUFFIXES = (mcap_format.SUFFIX, *cbors.SUFFIXES[:2])


def suffix_of(path: Path) -> str | None:
    """The part of a file's name that says its format; None if it says none that is known."""
    return next((suffix for suffix in _SUFFIXES if path.name.endswith(suffix) and path.name != suffix), None)


class _Recording:
    """A file that is being written, and the thread that flushes it; shared by the recorders in this process.

    It is not closed while a recorder of the same flow has yet to begin: one that ends early must not end it.
    """

    _open: dict[Path, _Recording] = {}
    _recorders: weakref.WeakSet[Recorder] = weakref.WeakSet()
    _lock = threading.Lock()

    @classmethod
    def expect(cls, recorder: Recorder) -> None:
        """There is a recorder in this process that will join."""
        with cls._lock:
            cls._recorders.add(recorder)

    @classmethod
    def joined(cls, recorder: Recorder) -> _Recording:
        """The recording of a recorder's file, begun if need be; :meth:`leave` it at the end."""
        path = recorder.path.absolute()
        with cls._lock:
            recorder._was_set_up = True
            recording = cls._open.get(path)
            if recording is None:
                recording = cls._open[path] = cls(path, recorder._compression, recorder._flush_every)
            recording._members += 1
            return recording

    def __init__(self, path: Path, compression: Compression | None, flush_every: float) -> None:
        self._asked = path
        self._members = 0
        self._failure: CaptureError | None = None
        self._stream = ""
        self._writer: McapWriter | CborsWriter = _new_file(path, compression)
        self.path = Path(self._writer.path)
        self._flush_every = flush_every
        self._written = threading.Event()
        self._closing = threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._flush, name="pipert2-capture", daemon=True)
        self._thread.start()

    def write(self, topic: str, data: Any, made: int | None, sequence: int | None) -> None:
        """Add a message, made at a time (ns) and with a number if they are known.

        Raises:
            CaptureError: it cannot be written, nor will be what follows.
        """
        if self._failure is not None:
            raise self._failure
        try:
            if isinstance(self._writer, McapWriter):
                self._writer.write(topic, data, time=made, sequence=sequence)
            else:
                with self._writing:
                    for record in self._records(data, made):
                        self._writer.write(record)
        except CaptureError as error:
            self._failure = error
            raise
        self._written.set()

    def _records(self, data: Any, made: int | None) -> Iterable[EventData | Sequence[bytes | memoryview]]:
        """What a message has for a ``.cbors``: events, or the messages of one stream, one or a list of them."""
        several = data if isinstance(data, list) and data and isinstance(data[0], EventData | StreamFrame) else [data]
        for one in several:
            if isinstance(one, StreamFrame):
                self._stream = self._stream or one.stream
                if one.stream != self._stream:
                    raise TypeError(
                        f"{self.path.name} has the messages of stream {self._stream!r}: those of {one.stream!r} need a "
                        "recorder of their own, or an .mcap"
                    )
                yield one.data.frames  # type: ignore[misc]
            else:
                yield _with_time(one, made)

    def _flush(self) -> None:
        while not self._closing.is_set():
            self._written.wait()
            self._written.clear()
            if self._closing.wait(self._flush_every):
                return
            try:
                with self._writing:
                    self._writer.flush()
            except CaptureError as error:
                self._failure = error
                return

    def leave(self, flow: str | None) -> int | None:
        """The last one, of all in that flow, closes the file; its size then.

        Raises:
            CaptureError: not everything could be written.
        """
        with self._lock:
            self._members -= 1
            coming = [
                one
                for one in self._recorders
                if not one._was_set_up and one.flow_name == flow and one.path.absolute() == self._asked
            ]
            if self._members or coming:
                return None
            del self._open[self._asked]
        self._closing.set()
        self._written.set()
        self._thread.join()
        self._writer.close()
        if self._failure is not None:
            raise self._failure
        return self.path.stat().st_size


def _with_time(data: Any, made: int | None) -> Any:
    if isinstance(data, EventData) and data.created_at is None:
        moment = datetime.fromtimestamp((made if made is not None else time_ns()) / 1e9, timezone.utc)
        return EventData(data.event_number, data.streams, moment)
    return data


def _new_file(path: Path, compression: Compression | None) -> McapWriter | CborsWriter:
    """A file of this name that was not there before, with a number behind the name if need be."""
    suffix = suffix_of(path) or path.suffix
    stem = path.name[: -len(suffix)]
    for number in itertools.count(1):
        candidate = path if number == 1 else path.with_name(f"{stem}-{number}{suffix}")
        if candidate.exists():
            continue
        try:
            if suffix == mcap_format.SUFFIX:
                return McapWriter(candidate, compression=compression)
            return CborsWriter(candidate)
        except CaptureError as error:
            if not isinstance(error.__cause__, FileExistsError):  # made by another process just now
                raise
    raise AssertionError("unreachable")
