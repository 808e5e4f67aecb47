"""One HTTP connection, with a bound on time that uvicorn leaves open."""

from __future__ import annotations

import asyncio
import logging
from itertools import count
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipert2.control.http.answers import error_answer, with_security
from pipert2.control.http.guard import ABORT
from pipert2.errors import ControlError

HEAD_SECONDS = 10.0

_MOST_JOINED = 64 * 1024
_numbers = count()
_silent = logging.Logger("pipert2.control.uvicorn", logging.CRITICAL + 1)


class Connection(H11Protocol):
    """Speaks HTTP with one client; gives up a client that takes too long to say what it wants.

    uvicorn's own timer runs between requests and is stopped by any byte, so that one byte now and then holds a
    connection for ever.

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

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(_Joined(transport, self.loop))  # type: ignore[arg-type]
        self.app_state = {ABORT: transport.abort}
        self._set_deadline()

    def data_received(self, data: bytes) -> None:
        try:
            super().data_received(data)
        except h11.ProtocolError:  # nonsense behind a request that is being answered
            self.transport.abort()
            return
        if not self.idle:
            self._drop_deadline()
        elif self._deadline is None and self.timeout_keep_alive_task is None:
            self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._drop_deadline()
        super().connection_lost(exc)

    @property
    def idle(self) -> bool:
        """Whether no request is being worked on."""
        return self.cycle is None or self.cycle.response_complete

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, or has too long a head."""
        answer = error_answer(400, ControlError("bad_argument", "this is not HTTP, or the request's head is too long"))
        headers = with_security(answer.headers, [(b"connection", b"close")])
        try:
            for event in (
                h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
                h11.Data(data=answer.body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        except h11.ProtocolError:  # an answer is under way already
            self.transport.abort()
        else:
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
