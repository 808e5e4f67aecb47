"""Log records as a file, sent while they are read, however many there are."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

from pipert2.cockpit.server.hub import Hub
from pipert2.cockpit.server.queries import ExportQuery, read_query
from pipert2.cockpit.server.sockets import session_of
from pipert2.cockpit.store.store import Store
from pipert2.control.http.answers import Message, Receive, Send, error_answer, send_answer
from pipert2.control.http.errors import http_status
from pipert2.errors import ControlError

_PREFIX, _SUFFIX = "/api/pipes/", "/logs/export"
_COLUMNS = ("number", "time", "level", "logger", "flow", "routine", "message", "traceback", "extra")
_TYPES = {"jsonl": b"application/x-ndjson; charset=utf-8", "csv": b"text/csv; charset=utf-8"}
MOST_AT_ONCE = 4


class Export:
    """Answers ``GET /api/pipes/<id>/logs/export``.

    Args:
        store, hub: what it reads.
    """

    def __init__(self, store: Store, hub: Hub) -> None:
        self._store = store
        self._hub = hub
        self._running = 0

    @staticmethod
    def is_meant(scope: Message) -> bool:
        """Whether a request asks for this."""
        path: str = scope["path"]
        return bool(scope["method"] == "GET" and path.startswith(_PREFIX) and path.endswith(_SUFFIX))

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        try:
            cookies = "; ".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"cookie")
            workers = self._store.workers
            if await loop.run_in_executor(workers, self._store.accounts.person, session_of(cookies)) is None:
                raise ControlError("unauthorized", "log in first")
            pipe = self._hub.find(scope["path"][len(_PREFIX) : -len(_SUFFIX)])
            given = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
            query = read_query(ExportQuery, given, "export")
            if self._running >= MOST_AT_ONCE:
                raise ControlError("no_room", f"{self._running} exports are running already: try again later")
        except ControlError as error:
            await send_answer(send, error_answer(http_status(error), error))
            return
        pages = self._store.records.each(pipe.number, query.filter(), query.start, query.end)
        parts = _json_lines(pages) if query.format == "jsonl" else _csv(pages)
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        name = f"{''.join(c if c.isascii() and (c.isalnum() or c in '-_') else '_' for c in pipe.run.name)}-{stamp}"
        self._running += 1
        try:
            headers = [
                (b"content-type", _TYPES[query.format]),
                (b"content-disposition", f'attachment; filename="{name}.{query.format}"'.encode()),
            ]
            first = await loop.run_in_executor(workers, next, parts, b"")  # what fails here can still be answered
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            while first:
                await send({"type": "http.response.body", "body": first, "more_body": True})
                first = await loop.run_in_executor(workers, next, parts, b"")
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._running -= 1


def _json_lines(pages: Iterator[list[dict[str, Any]]]) -> Iterator[bytes]:
    for page in pages:
        yield "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in page).encode("utf-8", "replace")


def _csv(pages: Iterator[list[dict[str, Any]]]) -> Iterator[bytes]:
    """A header line, then a line for each record; spreadsheets shall not take a text for a formula."""
    yield _csv_lines([_COLUMNS])
    for page in pages:
        rows = ({**record, "extra": json.dumps(record["extra"]) if record["extra"] else ""} for record in page)
        yield _csv_lines([_harmless(row[name]) for name in _COLUMNS] for row in rows)


def _csv_lines(rows: Any) -> bytes:
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    return file.getvalue().encode("utf-8", "replace")


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
