"""Small answers over ASGI, and the headers that every answer carries."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

from pipert2.control.http.errors import error_body
from pipert2.errors import ControlError

Message = MutableMapping[str, Any]
Headers = list[tuple[bytes, bytes]]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_SECURITY: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
]


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    headers: Headers
    body: bytes


def error_answer(status: int, error: ControlError, headers: Iterable[tuple[bytes, bytes]] = ()) -> Answer:
    """An error as all faces show it: ``{"error": {"code", "message", "field", "nearest"}}``."""
    return json_answer(status, json.dumps(error_body(error)).encode(), headers)


def json_answer(status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> Answer:
    """An answer whose body is JSON."""
    plain: Headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    return Answer(status, [*plain, *headers], body)


async def send_answer(send: Send, answer: Answer) -> None:
    """Send a whole answer."""
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


def server_sent_event(name: str, data: bytes, number: int | None = None) -> bytes:
    """A server-sent event of one line of data, as JSON is."""
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {name}\ndata: ".encode() + data + b"\n\n"


def with_security(headers: Iterable[tuple[bytes, bytes]], more: Iterable[tuple[bytes, bytes]] = ()) -> Headers:
    """Headers of an answer, and those of the security headers that are not among them."""
    found = [*headers, *more]
    present = {name.lower() for name, _ in found}
    return found + [(name, value) for name, value in _SECURITY if name not in present]
