"""Live status and logs as server-sent events, without a thread for each who looks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import Any
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipert2.control.http.answers import Headers, Message, Receive, Send, error_answer, send_answer, server_sent_event
from pipert2.control.http.errors import http_status
from pipert2.control.http.snapshots import Snapshots
from pipert2.control.problems import control_error
from pipert2.control.service import VERBS, ControlService
from pipert2.control.verbs import bad_argument, plain
from pipert2.errors import ControlError, UnknownNameError
from pipert2.observe.recent_logs import LogRecord

STATUS_STREAM_PATH = "/api/v1/status/stream"
LOGS_STREAM_PATH = "/api/v1/logs/stream"

MOST_VIEWERS = 100
PING_SECONDS = 5.0
PAGE = 500
_PULSE = 0.1
_MOST_KEPT = 2_000
_HEADERS: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class StatusStreamRequest(BaseModel):
    """What a status stream takes from its query."""

    model_config = ConfigDict(extra="forbid")

    interval: float = Field(1.0, ge=0.1, le=3600.0, description="Seconds between two snapshots.")


class Streams:
    """The two streams, for one event loop.

    A viewer who reads slowly gets what is new when it reads again, and of logs the number of those it missed; nothing
    is queued for it.

    Args:
        service: whose logs.
        snapshots: of its status.
    """

    def __init__(self, service: ControlService, snapshots: Snapshots) -> None:
        self._service = service
        self._snapshots = snapshots
        self._logs = service.recent_logs
        self._encoded: dict[int, bytes] = {}
        self._viewers = 0
        self._closing = asyncio.Event()
        self._pulse: asyncio.Future[None] | None = None
        self._beating: asyncio.Task[None] | None = None

    def close(self) -> None:
        """End all streams."""
        self._closing.set()
        if self._beating is not None:
            self._beating.cancel()

    async def status(self, scope: Message, receive: Receive, send: Send) -> None:
        """``event: status`` with a snapshot every *interval* seconds."""
        try:
            wanted = StatusStreamRequest.model_validate(_query(scope))
        except ValidationError as error:
            await send_answer(send, error_answer(422, bad_argument(error, "status stream")))
            return
        await self._stream(_Viewer(receive, send), lambda viewer: self._statuses(viewer, wanted.interval))

    async def logs(self, scope: Message, receive: Receive, send: Send) -> None:
        """``event: log`` with each record that fits, ``event: missed`` with the number of those that are gone."""
        arguments: dict[str, Any] = _query(scope)
        begin = arguments.pop("after", None)
        seen = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"last-event-id"), None)
        try:
            if "limit" in arguments:
                raise ControlError("bad_argument", "log stream: limit: a stream has no end", field="limit")
            after = seen if seen else begin
            checked = VERBS["logs"].check(arguments if after is None else {**arguments, "after": after})
            self._service.check_origin(checked["flow"], checked["routine"])
        except (ControlError, UnknownNameError) as found:
            error = control_error(found)
            await send_answer(send, error_answer(http_status(error), error))
            return
        checked.pop("limit")
        if after is None or checked["after"] > self._logs.last:  # the latter: a number of an earlier run
            checked["after"] = self._logs.last if after is None else 0
        await self._stream(_Viewer(receive, send), lambda viewer: self._records(viewer, **checked))

    async def _stream(self, viewer: _Viewer, chunks: Callable[[_Viewer], AsyncIterator[bytes]]) -> None:
        if self._closing.is_set() or self._viewers >= MOST_VIEWERS:
            error = ControlError("no_room", f"{self._viewers} viewers have a stream already: close one of them")
            await send_answer(viewer.send, error_answer(503, error, [(b"retry-after", b"5")]))
            return
        self._viewers += 1
        closing = asyncio.ensure_future(self._closing.wait())
        gone = asyncio.ensure_future(viewer.gone())
        viewer.over = (gone, closing)
        try:
            await viewer.send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await viewer.write(b"retry: 1000\n\n")
            async for chunk in chunks(viewer):
                await viewer.write(chunk)
            await viewer.send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            closing.cancel()
            gone.cancel()
            self._viewers -= 1

    # --- status

    async def _statuses(self, viewer: _Viewer, interval: float) -> AsyncIterator[bytes]:
        due = monotonic()
        while not viewer.ended:
            yield await self._snapshots.event()
            due = max(due + interval, monotonic())  # a viewer who was held up does not catch up
            while not viewer.ended and (left := due - monotonic()) > 0:
                await viewer.wait(min(left, PING_SECONDS))
                if due - monotonic() > 0:
                    yield b": \n\n"

    # --- logs

    async def _records(self, viewer: _Viewer, after: int, **wanted: Any) -> AsyncIterator[bytes]:
        quiet_since = monotonic()
        while not viewer.ended:
            if self._logs.last > after or after == 0:
                page = self._logs.page(after, PAGE, **wanted)
                after = page.last
                parts = [server_sent_event("missed", b'{"missed": %d}' % page.missed)] if page.missed else []
                parts += [self._encode(record) for record in page.records]
                if parts:
                    yield b"".join(parts)
                    quiet_since = monotonic()
            if self._logs.last <= after:
                await viewer.wait(max(0.0, quiet_since + PING_SECONDS - monotonic()), self._next_pulse())
            if monotonic() - quiet_since >= PING_SECONDS:
                yield b": \n\n"
                quiet_since = monotonic()

    def _encode(self, record: LogRecord) -> bytes:
        """A record's event; made once for all viewers."""
        found = self._encoded.get(record.number)
        if found is None:
            try:
                data = plain(record)
            except Exception as error:  # a user's object that cannot be shown
                data = {"number": record.number, "message": record.message, "extra": {"unreadable": str(error)}}
            found = server_sent_event("log", json.dumps(data).encode(), record.number)
            self._encoded[record.number] = found
            while len(self._encoded) > _MOST_KEPT:
                del self._encoded[next(iter(self._encoded))]
        return found

    def _next_pulse(self) -> asyncio.Future[None]:
        """Done when there are new records; looked for ten times a second for all viewers together."""
        if self._pulse is None or self._pulse.done():
            self._pulse = asyncio.get_running_loop().create_future()
        if self._beating is None or self._beating.done():
            self._beating = asyncio.ensure_future(self._beat(self._logs.last))
        return self._pulse

    async def _beat(self, seen: int) -> None:
        while self._viewers:
            await asyncio.sleep(_PULSE)
            last, seen = seen, self._logs.last
            if seen > last and self._pulse is not None and not self._pulse.done():
                self._pulse.set_result(None)


class _Viewer:
    """Who looks at a stream: sends to it, and knows when it has gone."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self.send = send
        self.over: tuple[asyncio.Future[Any], ...] = ()

    @property
    def ended(self) -> bool:
        """Whether the viewer has gone, or the server is closing."""
        return any(future.done() for future in self.over)

    async def gone(self) -> None:
        """Wait until the viewer has gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def write(self, chunk: bytes) -> None:
        """Send a part of the stream."""
        if not self.ended:
            await self.send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def wait(self, seconds: float, *others: asyncio.Future[Any]) -> None:
        """Wait so long, or until it is over, or one of *others* is done."""
        await asyncio.wait((*self.over, *others), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)


def _query(scope: Message) -> dict[str, str]:
    return dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
