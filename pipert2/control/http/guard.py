"""The guard around all of the control API: asks the rules, reads the body, and bounds what a client can hold up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic

from pipert2.control.http.answers import (
    Answer,
    App,
    Headers,
    Message,
    Receive,
    Send,
    error_answer,
    send_answer,
    with_security,
)
from pipert2.control.http.rules import Caller, HttpRules, caller_of
from pipert2.errors import ControlError

logger = logging.getLogger(__name__)

LARGEST_BODY = 1024 * 1024
BODY_SECONDS = 10.0
READ_SECONDS = 30.0
_DRAIN_SECONDS = 2.0
_DRAIN_BYTES = 16 * 1024 * 1024
_LOG_EVERY = 1.0

ABORT = "pipert2.abort"
"""In ``scope["state"]``: a function that cuts the connection, whatever still waits to be sent."""


class Guard:
    """An ASGI app around another one, which sees only requests that the rules let pass, with their whole body.

    Args:
        app: the app behind it.
        rules: who may call.
        largest_body: bytes.
        body_seconds: a body must have arrived within these.
        read_seconds: a client must make room for what it is sent within these.
    """

    def __init__(
        self,
        app: App,
        rules: HttpRules,
        *,
        largest_body: int = LARGEST_BODY,
        body_seconds: float = BODY_SECONDS,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self._app = app
        self._rules = rules
        self._largest_body = largest_body
        self._body_seconds = body_seconds
        self._read_seconds = read_seconds
        self._refusals = _Refusals()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        caller = caller_of(scope["headers"])
        client = _Client(scope, send, self._rules.opened_for(caller), self._read_seconds)
        refusal = self._rules.judge(scope, caller)
        if refusal is None and not caller.has_body:
            await self._serve(scope, receive, client)
            return
        if refusal is None:
            body = await self._body(caller, receive)
            if body is None:  # the client has gone
                return
            if isinstance(body, bytes):
                await self._serve(scope, _Replay(body, receive), client)
                return
            refusal = body
        if refusal.status >= 400:
            self._refusals.note(refusal.status, scope)
        if caller.has_body:
            await _refuse_and_close(client, refusal, receive)
        else:
            await send_answer(client.send, refusal)

    async def _serve(self, scope: Message, receive: Receive, client: _Client) -> None:
        try:
            await self._app(scope, receive, client.send)
        except asyncio.CancelledError:  # the server is closing
            await client.give_up(503, ControlError("failed", "the server is shutting down"))
            raise
        except Exception:
            logger.exception("a request failed in a way nobody foresaw: %s", escaped(scope["path"]))
            await client.give_up(500, ControlError("internal", "something went wrong here; the log tells what"))

    async def _websocket(self, scope: Message, receive: Receive, send: Send) -> None:
        refusal = self._rules.judge(scope, caller_of(scope["headers"]))
        if refusal is None:
            await self._app(scope, receive, send)
            return
        self._refusals.note(refusal.status, scope)
        await receive()
        await send({"type": "websocket.close", "code": 1008})  # it was not accepted yet, so this answers 403

    async def _body(self, caller: Caller, receive: Receive) -> bytes | Answer | None:
        """The body; or an answer if it is too large or too slow; or None if the client has gone."""
        if caller.length is not None and caller.length > self._largest_body:
            return self._too_large()
        parts: list[bytes] = []
        size = 0
        deadline = monotonic() + self._body_seconds
        while True:
            try:
                message = await asyncio.wait_for(receive(), max(0.0, deadline - monotonic()))
            except asyncio.TimeoutError:
                text = f"the request's body did not arrive within {self._body_seconds:g} s"
                return error_answer(408, ControlError("failed", text))
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._largest_body:
                return self._too_large()
            if not message.get("more_body", False):
                return b"".join(parts)

    def _too_large(self) -> Answer:
        return error_answer(413, ControlError("too_large", f"the body has more than {self._largest_body} bytes"))


class _Client:
    """Sends to a client: adds the headers that every answer has, and cuts off one that does not read."""

    def __init__(self, scope: Message, send: Send, headers: Headers, seconds: float) -> None:
        self._send = send
        self._headers = headers
        self._seconds = seconds
        self._abort: Callable[[], None] = scope.get("state", {}).get(ABORT, lambda: None)
        self._started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": with_security(message["headers"], self._headers)}
            self._started = True
        # Not wait_for, which makes a task of each message; the server's send returns when the connection is cut.
        timer = asyncio.get_running_loop().call_later(self._seconds, self._abort)
        try:
            await self._send(message)
        finally:
            timer.cancel()

    async def give_up(self, status: int, error: ControlError) -> None:
        """Answer with an error, or cut off an answer that was begun."""
        if self._started:
            self._abort()
        else:
            await send_answer(self.send, error_answer(status, error))


class _Replay:
    """Hands the app the body that was read already, then what the client does next."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


class _Refusals:
    """Tells in the log what was refused, of each kind once a second at most."""

    def __init__(self) -> None:
        self._told: dict[int, float] = {}
        self._untold: dict[int, int] = {}

    def note(self, status: int, scope: Message) -> None:
        now = monotonic()
        if now - self._told.get(status, now - _LOG_EVERY) < _LOG_EVERY:
            self._untold[status] = self._untold.get(status, 0) + 1
            return
        self._told[status] = now
        untold = self._untold.pop(status, 0)
        method, path = escaped(scope.get("method", "websocket")), escaped(scope["path"])
        client = (scope.get("client") or ("somebody",))[0]
        more = f" (and {untold} more like it before)" if untold else ""
        logger.warning("refused with %d: %s %s, from %s%s", status, method, path, client, more)


async def _refuse_and_close(client: _Client, refusal: Answer, receive: Receive) -> None:
    """Refuse a request whose body was not read to its end.

    Closing while the client still sends would reset the connection, and it would never read why.
    """
    headers = [*refusal.headers, (b"connection", b"close")]
    await client.send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await client.send({"type": "http.response.body", "body": refusal.body, "more_body": True})
    if refusal.status != 408:
        try:
            await asyncio.wait_for(_drain(receive), _DRAIN_SECONDS)
        except asyncio.TimeoutError:
            pass
    await client.send({"type": "http.response.body", "body": b"", "more_body": False})


async def _drain(receive: Receive) -> None:
    """Read what the client still sends, and forget it."""
    size = 0
    while size < _DRAIN_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return
        size += len(message.get("body", b""))


def escaped(text: str, longest: int = 80) -> str:
    """What a client sent, fit for a line of a log: no line breaks, no control characters, not long."""
    return ascii(text[:longest])[1:-1] + ("..." if len(text) > longest else "")
