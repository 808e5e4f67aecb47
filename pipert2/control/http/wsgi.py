"""The Flask app as an ASGI app: a worker carries a request out, and is free again when the answer is made."""

from __future__ import annotations

import asyncio
import io
import sys
from typing import Any

from a2wsgi.wsgi import build_environ
from flask import Flask

from pipert2.control.http.answers import Answer, Message, Receive, error_answer
from pipert2.control.http.workers import Workers
from pipert2.errors import ControlError

MOST_AT_WORK = 100


class FlaskAnswers:
    """Asks the Flask app, in workers.

    a2wsgi's own middleware passes each part of an answer on while its worker waits, so that clients who read slowly,
    or a server that closes meanwhile, would hold workers. Answers here are small and whole.

    Args:
        app: the app.
        workers: carry requests out.
    """

    def __init__(self, app: Flask, workers: Workers) -> None:
        self._app = app
        self._workers = workers
        self._at_work = 0

    async def answer(self, scope: Message, receive: Receive) -> Answer:
        """The answer to a request whose body is there already."""
        if self._at_work >= MOST_AT_WORK:
            busy = ControlError("no_room", f"{self._at_work} requests are being worked on: ask again later")
            return error_answer(503, busy, [(b"retry-after", b"1")])
        body = await _whole_body(receive)
        self._at_work += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._workers, run, self._app, scope, body)
        finally:
            self._at_work -= 1


def run(app: Flask, scope: Message, body: bytes) -> Answer:
    """What a WSGI app answers."""
    stream: Any = io.BytesIO(body)
    head: Any = scope
    environ: Any = build_environ(head, stream)
    environ["CONTENT_LENGTH"] = str(len(body))
    environ["wsgi.errors"] = sys.stderr
    environ["wsgi.multiprocess"] = False
    begun: list[tuple[str, list[tuple[str, str]]]] = []
    parts: list[bytes] = []

    def start_response(status: str, headers: list[tuple[str, str]], _error: Any = None) -> Any:
        begun[:] = [(status, headers)]
        return parts.append

    answered: Any = app(environ, start_response)
    try:
        parts.extend(answered)
    finally:
        if hasattr(answered, "close"):
            answered.close()
    (status, headers) = begun[0]
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return Answer(int(status.split(" ", 1)[0]), encoded, b"".join(parts))


async def _whole_body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while (message := await receive())["type"] == "http.request":
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            break
    return b"".join(parts)
