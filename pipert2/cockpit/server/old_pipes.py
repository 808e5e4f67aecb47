"""PipeRT's own pipes, which send one log record after the other as text."""

from __future__ import annotations

import json
import time
from collections import deque
from typing import Any

import socketio

from pipert2.cockpit.link.records import MOST_RECORDS
from pipert2.cockpit.server.hub import Hub
from pipert2.cockpit.server.live_pipe import LivePipe
from pipert2.cockpit.server.messages import read_batch
from pipert2.cockpit.store.pipe_store import PipeRun
from pipert2.control.http.tokens import Tokens
from pipert2.errors import ControlError

_MOST = 50
_MOST_WAITING = 10_000
_LONGEST = 20_000
OLD = "PipeRT"
"""What stands in place of an old pipe's version of pipert2."""
KNOWN = "pipert2.known"
"""Set in the environment of connections that have said who they are."""


class OldPipes:
    """Takes ``log`` events on ``/``. Such pipes cannot show a token, so where one is wanted they are refused.

    Args:
        server: the socket.io server.
        hub: takes the records.
        tokens: what pipes have to show.
    """

    def __init__(self, server: socketio.AsyncServer, hub: Hub, tokens: Tokens) -> None:
        self._hub = hub
        self._tokens = tokens
        self._sending: dict[str, _OldPipe] = {}
        server.on("connect", self._connects, namespace="/")
        server.on("disconnect", self._leaves, namespace="/")
        server.on("log", self._log, namespace="/")

    async def _connects(self, sid: str, environ: dict[str, Any], auth: object = None) -> None:
        if self._tokens or len(self._sending) >= _MOST:
            raise socketio.exceptions.ConnectionRefusedError("unauthorized")
        environ[KNOWN] = True
        self._sending[sid] = _OldPipe()

    async def _leaves(self, sid: str, reason: object = None) -> None:
        old = self._sending.pop(sid, None)
        if old is not None and old.pipe is not None:
            self._hub.disconnect(old.pipe, sid)

    async def _log(self, sid: str, data: object = None) -> None:
        old = self._sending.get(sid)
        if old is None:
            return
        record = old.record(data)
        if len(old.waiting) == old.waiting.maxlen:
            old.dropped += 1
        old.waiting.append(record)
        if not old.busy:
            old.busy = True
            try:
                await self._store(sid, old)
            finally:
                old.busy = False

    async def _store(self, sid: str, old: _OldPipe) -> None:
        while old.waiting and sid in self._sending:
            try:
                if old.pipe is None:
                    name = old.waiting[0]["logger"].partition(".")[0] or "PipeRT"
                    run = PipeRun(f"old-{sid}", name, "", 0, time.time(), OLD)
                    old.pipe, _ = await self._hub.connect(run, sid)
                records = [old.waiting.popleft() for _ in range(min(len(old.waiting), MOST_RECORDS))]
                await self._hub.take_records(old.pipe, read_batch({"records": records, "dropped": old.dropped}))
                old.dropped = 0
            except ControlError:
                return


class _OldPipe:
    """One of them: its records that are not stored yet."""

    def __init__(self) -> None:
        self.pipe: LivePipe | None = None
        self.waiting: deque[dict[str, Any]] = deque(maxlen=_MOST_WAITING)
        self.dropped = 0
        self.busy = False
        self._number = 0

    def record(self, data: object) -> dict[str, Any]:
        """A record as today's pipes send it."""
        found = _fields(data)
        self._number += 1
        extra = {name: value for name, value in found.items() if name not in ("source", "level", "message")}
        return {
            "number": self._number,
            "time": time.time(),
            "level": str(found.get("level") or "INFO")[:80],
            "logger": str(found.get("source") or "PipeRT")[:200],
            "flow": None,
            "routine": None,
            "message": str(found.get("message", ""))[:_LONGEST],
            "traceback": None,
            "extra": extra if len(json.dumps(extra)) <= _LONGEST else {},
        }


def _fields(data: object) -> dict[str, Any]:
    """What the text of a record says; a text that is no JSON, as with quotation marks in it, is the message."""
    if isinstance(data, dict):
        return data
    text = data if isinstance(data, str) else json.dumps(data, default=repr)
    try:
        found = json.loads(text, strict=False)
    except ValueError:
        return {"message": text}
    return found if isinstance(found, dict) else {"message": text}
