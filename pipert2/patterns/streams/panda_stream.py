"""What a PandABox captures, over TCP from the box itself."""

from __future__ import annotations

import socket
from time import monotonic

from pipert2.graph.routine import SourceRoutine
from pipert2.patterns.streams.panda_tcp import PROTOCOL
from pipert2.patterns.streams.stream_data import StreamData, StreamFrame

_PATIENCE = 0.2  # seconds that a wait takes at most, before events are handled
_ANSWER_SECONDS = 2.0
_AGAIN_SECONDS = 1.0
_LONGEST = 1 << 20


class PandaLines:
    """Takes what comes over the connection, in pieces of any size; gives messages.

    >>> lines = PandaLines()
    >>> lines.take(b"arm_time: now\\nfields:\\n X uint32 Value\\n\\n 1\\n 2"), lines.take(b"3\\nEND 2 Ok\\n")
    ([b'arm_time: now\\nfields:\\n X uint32 Value\\n\\n', b' 1\\n'], [b' 23\\n', b'END 2 Ok\\n'])
    """

    def __init__(self) -> None:
        self._rest = b""
        self._header: list[bytes] = []
        self.frames: int | None = None
        """How many there were since the header; None outside of a capture."""

    def take(self, data: bytes) -> list[bytes]:
        """What came; returns the messages that are complete with it. What belongs to no capture is dropped."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-_LONGEST:]
        found = []
        for line in lines:
            line += b"\n"
            if line.startswith(b"arm_time:"):
                self._header, self.frames = [line], None
            elif self._header:
                self._header.append(line)
                if not line.strip():
                    found.append(b"".join(self._header))
                    self._header, self.frames = [], 0
            elif self.frames is not None:
                found.append(line)
                self.frames = None if line.startswith(b"END ") else self.frames + 1
        return found

    def lose(self) -> list[bytes]:
        """The connection is gone: the end of a capture that it was in the middle of."""
        frames, self.frames = self.frames, None
        self._rest, self._header = b"", []
        return [] if frames is None else [b"END %d Connection lost\n" % frames]


class PandaStream(SourceRoutine):
    """Connects to the data port of a PandABox, and sends on what it captures; see
    :mod:`pipert2.patterns.streams.panda_tcp`.

    A box that is not there yet, or goes away, is asked again every second.

    Args:
        stream: its name.
        host: the box's.
        port: the data port.
        name: the routine's name.
    """

    def __init__(self, stream: str, host: str, port: int = 8889, *, name: str | None = None) -> None:
        super().__init__(name if name is not None else stream)
        if not 0 < port < 65536:
            raise ValueError(f"PandaStream(port=...) is a port, not {port!r}")
        self.stream, self.host, self.port = stream, host, port

    def setup(self) -> None:
        self._lines = PandaLines()
        self._socket: socket.socket | None = None
        self._told = False

    def main_logic(self) -> list[StreamFrame] | None:
        if self._socket is None:
            self._connect()
            if self._socket is None:
                self.wait(_AGAIN_SECONDS)
            return None
        try:
            data = self._socket.recv(1 << 16)
        except TimeoutError:
            return None
        except OSError as error:
            self.logger.warning("stream %s: %s", self.stream, error)
            data = b""
        if not data:
            self._disconnect()
            self.logger.warning("stream %s: the connection to %s:%d is gone", self.stream, self.host, self.port)
        messages = self._lines.take(data) if data else self._lines.lose()
        return [StreamFrame(self.stream, StreamData(PROTOCOL, [message])) for message in messages] or None

    def cleanup(self) -> None:
        self._disconnect()

    def _connect(self) -> None:
        try:
            self._socket = socket.create_connection((self.host, self.port), timeout=_PATIENCE)
            self._socket.sendall(b"\n")
            answer = self._answer(self._socket)
        except OSError as error:
            answer = str(error).encode()
        if answer == b"OK":
            self._told = False
            return
        self._disconnect()
        if not self._told:
            self._told = True
            self.logger.warning(
                "stream %s: no PandABox answers at %s:%d (%s); it is asked again every %g s",
                *(self.stream, self.host, self.port, answer.decode("ascii", "replace"), _AGAIN_SECONDS),
            )

    def _answer(self, connected: socket.socket) -> bytes:
        """The first line that the box sends; what follows is the capture."""
        until = monotonic() + _ANSWER_SECONDS
        answer = b""
        while b"\n" not in answer:
            try:
                data = connected.recv(1)  # not one byte of the capture
            except TimeoutError:
                data = None
            if data == b"" or monotonic() > until or len(answer) > 200:
                return answer or b"it says nothing"
            answer += data or b""
        return answer.strip()

    def _disconnect(self) -> None:
        opened = vars(self).pop("_socket", None)
        self._socket = None
        if opened is not None:
            opened.close()
