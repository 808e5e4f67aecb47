"""Keeps the previews on in pipes that somebody watches, and no others."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import Any

import socketio

from pipert2.cockpit.server.hub import Hub
from pipert2.cockpit.server.live_pipe import LivePipe

logger = logging.getLogger(__name__)

RATE = 5.0
SIZE = 480
LINGER_SECONDS = 3.0
"""A preview goes on for so long after the last who looked; who comes back sees it at once."""
_AGAIN_SECONDS = 15.0
_ANSWER_SECONDS = 10.0

_Key = tuple[str, str]


class Previews:
    """Begins and ends previews as browsers begin and end to watch.

    Args:
        server: the socket.io server.
        hub: knows what is watched.
    """

    def __init__(self, server: socketio.AsyncServer, hub: Hub) -> None:
        self._server = server
        self._hub = hub
        self._unwatched: dict[tuple[str, _Key], float] = {}
        self._asked: dict[tuple[str, _Key], float] = {}
        self._asking: set[asyncio.Task[None]] = set()

    def changed(self) -> None:
        """What browsers watch has changed."""
        self.tick()

    def tick(self) -> None:
        """Begin what is missing, end what nobody has watched for a while."""
        now = monotonic()
        for pipe in list(self._hub.pipes.values()):
            if pipe.sid is None:
                continue
            wanted = self._hub.wanted_frames(pipe)
            for key in wanted - pipe.shown:
                if now >= self._asked.get((pipe.sid, key), 0.0):
                    self._asked[pipe.sid, key] = now + _AGAIN_SECONDS
                    self._ask(pipe, key, on=True)
            for key in pipe.shown & wanted:
                self._unwatched.pop((pipe.sid, key), None)
            for key in pipe.shown - wanted:
                if now - self._unwatched.setdefault((pipe.sid, key), now) >= LINGER_SECONDS:
                    del self._unwatched[pipe.sid, key]
                    self._asked.pop((pipe.sid, key), None)
                    pipe.shown.discard(key)
                    pipe.frames.pop(key, None)
                    self._ask(pipe, key, on=False)
        if len(self._asked) + len(self._unwatched) > 10_000:  # of connections that are gone
            self._asked.clear()
            self._unwatched.clear()

    def _ask(self, pipe: LivePipe, key: _Key, *, on: bool) -> None:
        task = asyncio.ensure_future(self._send(pipe, pipe.sid, key, on))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _send(self, pipe: LivePipe, sid: str | None, key: _Key, on: bool) -> None:
        arguments: dict[str, Any] = {"routine": key[0], "side": key[1], "on": on, "rate": RATE, "size": SIZE}
        message = {"verb": "preview", "arguments": arguments}
        try:
            answer = await self._server.call("command", message, to=sid, namespace="/pipe", timeout=_ANSWER_SECONDS)
        except socketio.exceptions.TimeoutError:
            return
        if on and pipe.sid == sid and isinstance(answer, dict) and "reply" in answer:
            pipe.shown.add(key)
        elif not isinstance(answer, dict) or "reply" not in answer:
            logger.debug("pipe %s does not show %s: %s", pipe.run.name, key, answer)
