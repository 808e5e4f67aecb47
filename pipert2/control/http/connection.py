"""One HTTP connection, with the bounds on time and size that uvicorn leaves open."""

from __future__ import annotations

import asyncio
import logging
from itertools import count
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from pipert2.control.http.answers import error_answer, with_security
from pipert2.control.http.guard import ABORT
from pipert2.errors import ControlError

HEAD_SECONDS = 10.0
LARGEST_HEAD = 64 * 1024

_MOST_JOINED = 64 * 1024
_numbers = count()
_silent = logging.Logger("pipert2.control.uvicorn", logging.CRITICAL + 1)


class Connection(HttpToolsProtocol):
    """Speaks HTTP with one client; gives up a client that takes too long, or too many bytes, to say what it wants.

    uvicorn's own timer runs between requests and is stopped by any byte, so that one byte now and then holds a
    connection for ever; and its parser keeps whatever comes before a request's head is whole.

    Attributes:
        head_seconds: a request's head must have arrived within these.
        number: counts connections in the order in which they came.
    """

    head_seconds = HEAD_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # What it would log is what clients send wrong, at their pace; the guard tells of what is worth telling.
        self.logger = _silent
        self.access_log = False
        self.number = next(_numbers)
        self._deadline: asyncio.TimerHandle | None = None
        self._head_is_whole = False
        self._without_head = 0  # bytes that came since a head was whole

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(_Joined(transport, self.loop))  # type: ignore[arg-type]
        self.app_state = {ABORT: transport.abort}
        self._set_deadline()

    def data_received(self, data: bytes) -> None:
        self._without_head += len(data)
        super().data_received(data)
        if self._head_is_whole:
            self._without_head = 0
        elif self._without_head > LARGEST_HEAD:
            self.send_400_response("")
        if not self.idle:
            self._drop_deadline()
        elif self._deadline is None and self.timeout_keep_alive_task is None:
            self._set_deadline()

    def on_message_begin(self) -> None:
        self._head_is_whole = False
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_is_whole:
            raise ValueError("a header behind the body, which nothing here reads")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._head_is_whole = True
        if not self.url.startswith(b"/"):
            raise ValueError("a target that names another host than the header does, or none")
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._drop_deadline()
        super().connection_lost(exc)

    @property
    def idle(self) -> bool:
        """Whether no request is being worked on."""
        return self.cycle is None or self.cycle.response_complete

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, or not what is spoken here, or has too long a head."""
        if not self.idle:  # an answer is under way already
            self.transport.abort()
            return
        answer = error_answer(400, ControlError("bad_argument", "this is not HTTP, or the request's head is too long"))
        headers = with_security(answer.headers, [(b"connection", b"close")])
        lines = [STATUS_LINE[400], *(b"%s: %s\r\n" % header for header in headers), b"\r\n", answer.body]
        self.transport.write(b"".join(lines))
        self.transport.close()

    def _set_deadline(self) -> None:
        self._deadline = self.loop.call_later(self.head_seconds, self._too_late)

    def _drop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        if self.idle:
            self.transport.abort()


class _Joined:
    """A transport that sends what is written in one go as one piece: half the system calls, and half the packets."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)
        self._size += len(data)
        if self._size > _MOST_JOINED:  # the transport must get to know, to ask for a pause
            self._flush()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._parts:
            data, self._parts, self._size = b"".join(self._parts), [], 0
            if data and not self._transport.is_closing():
                self._transport.write(data)
