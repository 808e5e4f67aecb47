"""A detector's stream over ZeroMQ."""

from __future__ import annotations

import weakref
from collections import deque
from typing import Any

import numpy as np

from pipert2.errors import PipertError
from pipert2.graph.routine import SourceRoutine
from pipert2.patterns.events.batch import LARGE_FRAME, LARGEST_BYTES
from pipert2.patterns.streams.freed_memory import keep_freed_memory
from pipert2.patterns.streams.protocols import protocol_of
from pipert2.patterns.streams.stins import PROTOCOL
from pipert2.patterns.streams.stream_data import StreamData, StreamFrame

_PATIENCE = 200  # milliseconds that a wait for messages takes at most, before events are handled
_MOST = 64  # messages that are sent on at once where they come fast
_MOST_WAITING = 64 << 20  # bytes
_MOST_LENT = 32 << 20  # bytes that lie there and were not sent yet; what comes then is copied by who sends it


class ZmqStream(SourceRoutine):
    """Receives the messages of a stream, and sends them on, several at a time where they come fast.

    Args:
        stream: its name.
        url: where the detector sends, such as ``"tcp://127.0.0.1:9999"``.
        protocol: of its messages, see :mod:`pipert2.patterns.streams.protocols`.
        pattern: ``"pull"`` or ``"sub"``, as the detector pushes or publishes; if left out as its protocol says.
        waiting: messages that may wait to be received, fewer where they have more than 64 MB together; a detector that
            pushes waits then, of one that publishes further ones are dropped.
        name: the routine's name.

    Raises:
        PipertError: pyzmq is not installed.
        ValueError: an argument is not what it should be.
    """

    def __init__(
        self,
        stream: str,
        url: str,
        *,
        protocol: str = PROTOCOL,
        pattern: str | None = None,
        waiting: int = 1000,
        name: str | None = None,
    ) -> None:
        super().__init__(name if name is not None else stream)
        known = protocol_of(protocol)
        if pattern is None:
            pattern = known.pattern if known is not None else "pull"
        if pattern not in ("pull", "sub"):
            raise ValueError(f"ZmqStream(pattern=...) is 'pull' or 'sub', not {pattern!r}")
        if "://" not in url:
            raise ValueError(f"ZmqStream(url=...) is an address such as 'tcp://127.0.0.1:9999', not {url!r}")
        if waiting < 1:
            raise ValueError(f"ZmqStream(waiting=...) is a number of messages, 1 or more, not {waiting!r}")
        _zmq()
        self._most_waiting = waiting
        self.stream, self.url, self.pattern, self.protocol = stream, url, pattern, protocol

    def setup(self) -> None:
        zmq = _zmq()
        keep_freed_memory(2 * _MOST_WAITING)
        known = protocol_of(self.protocol)
        self._lent: deque[weakref.ref[Any]] = deque()
        self._assemble = known.assembler() if known is not None and known.assembler is not None else None
        self._zmq_context: Any = zmq.Context()
        self._socket: Any = self._zmq_context.socket(zmq.PULL if self.pattern == "pull" else zmq.SUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVHWM, self._most_waiting)
        self._waiting_now, self._hwm = self._most_waiting, zmq.RCVHWM
        if self.pattern == "sub":
            self._socket.setsockopt(zmq.SUBSCRIBE, b"")
        try:
            self._socket.connect(self.url)
        except zmq.ZMQError as error:
            raise PipertError(f"stream {self.stream!r} cannot connect to {self.url}: {error}") from None

    def main_logic(self) -> list[StreamFrame] | None:
        if not self._socket.poll(_PATIENCE):
            return None
        found: list[StreamFrame] = []
        size = bytes_of_one = 0
        while len(found) < _MOST and size + bytes_of_one <= LARGEST_BYTES and (not size or self._socket.poll(0)):
            parts = [self._taken(part) for part in self._socket.recv_multipart(copy=False)]
            bytes_of_one = sum(map(len, parts))
            if bytes_of_one * self._waiting_now > _MOST_WAITING:
                self._let_fewer_wait(bytes_of_one)
            size += 1 + bytes_of_one
            messages = [parts] if self._assemble is None else self._assemble(parts)
            found += [StreamFrame(self.stream, StreamData(self.protocol, one)) for one in messages]
        return found or None

    def _taken(self, part: Any) -> Any:
        """A part's bytes; of a large one where workers will find them, if there is room, copied while others work."""
        if len(part) < LARGE_FRAME:
            return part.bytes
        while self._lent and self._lent[0]() is None:
            self._lent.popleft()
        if len(self._lent) * len(part) >= _MOST_LENT:
            return part.buffer
        place = self.loan(len(part), wait=False)
        place[:] = np.frombuffer(part.buffer, np.uint8)
        self._lent.append(weakref.ref(place))
        return place.data

    def _let_fewer_wait(self, size: int) -> None:
        """Messages of this size may wait: as many as have little enough memory together, and two at least."""
        fewer = max(2, _MOST_WAITING // size)
        if fewer < self._waiting_now:
            self._waiting_now = fewer
            self._socket.setsockopt(self._hwm, fewer)

    def cleanup(self) -> None:
        for one in ("_socket", "_zmq_context"):
            opened = vars(self).pop(one, None)
            if opened is not None:
                opened.close() if one == "_socket" else opened.term()


def _zmq() -> Any:
    try:
        import zmq
    except ImportError:
        raise PipertError('streams over ZeroMQ need pyzmq: pip install "pipert2[zmq]"') from None
    return zmq
