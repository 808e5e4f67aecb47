"""The cockpit's socket.io side: ``/pipe`` for pipes, ``/ui`` for browsers, ``/`` for PipeRT's old pipes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from time import monotonic
from typing import Any

import socketio

import pipert2
from pipert2.cockpit.packets import LogsAreText
from pipert2.cockpit.server.commands import Commands
from pipert2.cockpit.server.hub import Hub
from pipert2.cockpit.server.live_pipe import LivePipe
from pipert2.cockpit.server.messages import LARGEST_MESSAGE, read_batch, read_dict, read_frame, read_hello, read_watch
from pipert2.cockpit.server.old_pipes import KNOWN, OldPipes
from pipert2.cockpit.server.previews import Previews
from pipert2.cockpit.server.viewer import Viewer
from pipert2.cockpit.store.accounts import Person
from pipert2.cockpit.store.store import Store
from pipert2.control.http.errors import error_body
from pipert2.control.http.guard import ABORT
from pipert2.control.http.tokens import Tokens
from pipert2.errors import ControlError

logger = logging.getLogger(__name__)

COOKIE = "pipert2_session"
PING_INTERVAL = 10.0
PING_TIMEOUT = 10.0
TICK = 0.1
_SESSION_CHECK = 5.0
_STRANGER_SECONDS = 10.0
_MOST_VIEWERS = 100
_MOST_PIPES = 200

_silent = logging.Logger("pipert2.cockpit.socketio", logging.CRITICAL + 1)


class Sockets:
    """Speaks socket.io with pipes and browsers. For one event loop.

    Args:
        hub: takes what they send.
        store: knows who may log in.
        tokens: what pipes have to show, if there are any.
    """

    def __init__(self, hub: Hub, store: Store, tokens: Tokens) -> None:
        self._hub = hub
        self._store = store
        self._tokens = tokens
        self._pipes: dict[str, LivePipe] = {}
        self._emitting: set[asyncio.Task[None]] = set()
        self._ticking: asyncio.Task[None] | None = None
        self._first_seen: dict[str, float] = {}
        self._last_session_check = 0.0
        self._cuts: dict[str, Callable[[], None]] = {}
        self.server = socketio.AsyncServer(
            async_mode="asgi",
            # Old pipes begin by polling. An empty list of origins would switch the check off, and the library's own
            # takes every server for one without TLS; the guard checks anyhow.
            transports=["polling", "websocket"],
            cors_allowed_origins=is_own_origin,
            ping_interval=PING_INTERVAL,
            ping_timeout=PING_TIMEOUT,
            max_http_buffer_size=LARGEST_MESSAGE,
            http_compression=False,
            serializer=LogsAreText,
            logger=_silent,
            engineio_logger=_silent,
        )
        self._previews = Previews(self.server, hub)
        self._commands = Commands(self.server, hub, store)
        self._old_pipes = OldPipes(self.server, hub, tokens)
        for name, handler in {
            "connect": self._pipe_connects,
            "disconnect": self._pipe_leaves,
            "structure": self._structure,
            "status": self._status,
            "logs": self._logs,
            "frame": self._frame,
        }.items():
            self.server.on(name, handler, namespace="/pipe")
        for name, handler in {
            "connect": self._browser_connects,
            "disconnect": self._browser_leaves,
            "watch": self._watch,
            "command": self._command,
        }.items():
            self.server.on(name, handler, namespace="/ui")

    def start(self) -> None:
        """Begin to send to browsers; to be called in the event loop."""
        self._ticking = asyncio.ensure_future(self._tick())

    def close(self) -> None:
        """Stop sending."""
        if self._ticking is not None:
            self._ticking.cancel()

    # --- pipes

    async def _pipe_connects(self, sid: str, environ: dict[str, Any], auth: object = None) -> None:
        self._must_be_websocket(sid, "/pipe")
        try:
            run, token = read_hello(auth)
            if self._tokens and (token is None or self._tokens.scope_of(token) is None):
                text = "this cockpit wants a token from pipes: set PIPERT2_COCKPIT_TOKEN to the one that it was given"
                raise ControlError("unauthorized", text)
            if len(self._pipes) >= _MOST_PIPES:
                raise ControlError("no_room", f"{len(self._pipes)} pipes are connected already")
            pipe, before = await self._hub.connect(run, sid)
        except ControlError as error:
            raise socketio.exceptions.ConnectionRefusedError(str(error)) from None
        environ[KNOWN] = True
        self._pipes[sid] = pipe
        self._cuts[sid] = cut_of(environ)
        if before is not None:
            self._pipes.pop(before, None)
            self._cut(before)

    async def _pipe_leaves(self, sid: str, reason: object = None) -> None:
        self._left(sid, reason)
        pipe = self._pipes.pop(sid, None)
        if pipe is not None:
            self._hub.disconnect(pipe, sid)

    async def _logs(self, sid: str, data: object = None) -> dict[str, Any]:
        pipe = self._pipes.get(sid)
        try:
            if pipe is None:
                raise ControlError("bad_state", "logs: not connected")
            return {"last": await self._hub.take_records(pipe, read_batch(data))}
        except ControlError as error:
            return error_body(error)

    async def _status(self, sid: str, data: object = None) -> dict[str, Any] | None:
        return self._take(sid, lambda pipe: self._hub.take_status(pipe, read_dict(data, "status", "status", "health")))

    async def _structure(self, sid: str, data: object = None) -> dict[str, Any] | None:
        return self._take(sid, lambda pipe: self._hub.take_structure(pipe, read_dict(data, "structure")))

    async def _frame(self, sid: str, data: object = None) -> dict[str, Any] | None:
        return self._take(sid, lambda pipe: self._hub.take_frame(pipe, read_frame(data)))

    def _take(self, sid: str, take: Any) -> dict[str, Any] | None:
        pipe = self._pipes.get(sid)
        if pipe is None:
            return None
        try:
            take(pipe)
        except ControlError as error:
            return error_body(error)
        return None

    # --- browsers

    async def _browser_connects(self, sid: str, environ: dict[str, Any], auth: object = None) -> None:
        self._must_be_websocket(sid, "/ui")
        secret = session_of(environ.get("HTTP_COOKIE", ""))
        person = await self._person(secret)
        if person is None:
            raise socketio.exceptions.ConnectionRefusedError("unauthorized")
        if len(self._hub.viewers) >= _MOST_VIEWERS:
            raise socketio.exceptions.ConnectionRefusedError("no_room")
        environ[KNOWN] = True
        self._cuts[sid] = cut_of(environ)
        viewer = Viewer(sid, person, secret, address_of(environ), self._emit_soon)
        self._hub.viewers[sid] = viewer
        hello = {
            "user": person.user,
            "role": person.role.value,
            "pipes": self._hub.summaries(),
            "version": pipert2.__version__,
        }
        self._emit_soon(sid, "hello", hello, None)

    async def _browser_leaves(self, sid: str, reason: object = None) -> None:
        self._left(sid, reason)
        if self._hub.viewers.pop(sid, None) is not None:
            self._previews.changed()

    async def _watch(self, sid: str, data: object = None) -> dict[str, Any]:
        viewer = self._hub.viewers.get(sid)
        try:
            if viewer is None:
                raise ControlError("bad_state", "watch: not connected")
            identity, logs, frames = read_watch(data)
            pipe = self._hub.find(identity) if identity is not None else None
        except ControlError as error:
            return error_body(error)
        viewer.watch(pipe, logs, frames)
        self._previews.changed()
        if pipe is None:
            return {"structure": None, "status": None, "after": 0}
        for key in frames & pipe.frames.keys():
            viewer.offer_frame(dict(pipe.frames[key]))
        if not pipe.last:
            loop = asyncio.get_running_loop()
            last = self._store.records.last_number
            pipe.last = max(pipe.last, await loop.run_in_executor(self._store.workers, last, pipe.number))
        return {"structure": pipe.structure, "status": pipe.status, "after": pipe.last}

    async def _command(self, sid: str, data: object = None) -> dict[str, Any]:
        viewer = self._hub.viewers.get(sid)
        if viewer is None:
            return error_body(ControlError("bad_state", "command: not connected"))
        return await self._commands.carry_out(viewer, data)

    async def _person(self, secret: str | None) -> Person | None:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._store.workers, self._store.accounts.person, secret)

    def _must_be_websocket(self, sid: str, namespace: str) -> None:
        if self.server.transport(sid, namespace) != "websocket":
            raise socketio.exceptions.ConnectionRefusedError("websocket only")

    # --- ending connections

    def _cut(self, sid: str) -> None:
        """End a connection, whatever still waits to be sent on it: it may have been stalled for long."""
        self._cuts.pop(sid, _nothing)()

    def _left(self, sid: str, reason: object) -> None:
        # Given up because it fell silent: it may still be there, not read, and so never take leave. Which of its two
        # limits the library notices first is chance; "transport close" is also what it says of one that closed itself.
        if reason in (self.server.reason.PING_TIMEOUT, self.server.reason.TRANSPORT_CLOSE):
            self._cut(sid)
        self._cuts.pop(sid, None)

    def _is_there(self, sid: str, namespace: str) -> bool:
        return self.server.manager.eio_sid_from_sid(sid, namespace) in self.server.environ

    # --- sending

    def _emit_soon(self, sid: str, event: str, data: Any, done: Any) -> None:
        task = asyncio.ensure_future(self._emit(sid, event, data, done))
        self._emitting.add(task)
        task.add_done_callback(self._emitting.discard)

    async def _emit(self, sid: str, event: str, data: Any, done: Any) -> None:
        await self.server.emit(event, data, to=sid, namespace="/ui", callback=done)

    async def _tick(self) -> None:
        """Ten times a second: new records, now and then everything else that is due."""
        due = monotonic()
        checked = due
        while True:
            due = max(due + TICK, monotonic())
            await asyncio.sleep(due - monotonic())
            try:
                for viewer in list(self._hub.viewers.values()):
                    viewer.send_records()
                self._previews.tick()
                self._tell_pipes()
                if monotonic() - checked >= 1.0:
                    checked = monotonic()
                    await self._drop_strangers()
                    self._hub.forget_rings()
            except Exception:
                logger.exception("the cockpit failed to serve its browsers; it goes on")

    def _tell_pipes(self) -> None:
        waiting = [viewer for viewer in self._hub.viewers.values() if viewer.pipes_due and not viewer.stalled]
        if not waiting:
            return
        pipes = self._hub.summaries()
        for viewer in waiting:
            viewer.pipes_due = False
            self._emit_soon(viewer.sid, "pipes", pipes, None)

    async def _drop_strangers(self) -> None:
        """Cut off connections that never say who they are, and browsers whose session has ended."""
        now = monotonic()
        environs = dict(self.server.environ)
        self._first_seen = {sid: self._first_seen.get(sid, now) for sid in environs}
        for sid, environ in environs.items():
            if not environ.get(KNOWN) and now - self._first_seen[sid] > _STRANGER_SECONDS:
                cut_of(environ)()
        # Of one that was lost while it was being let in, nobody tells.
        for pipe_sid in [sid for sid in self._pipes if not self._is_there(sid, "/pipe")]:
            await self._pipe_leaves(pipe_sid)
        for viewer_sid in [sid for sid in self._hub.viewers if not self._is_there(sid, "/ui")]:
            await self._browser_leaves(viewer_sid)
        if now - self._last_session_check < _SESSION_CHECK:
            return
        self._last_session_check = now
        for viewer in list(self._hub.viewers.values()):
            person = await self._person(viewer.secret)
            if person is None:
                self._cut(viewer.sid)
            elif person != viewer.person:
                viewer.person = person


def is_own_origin(origin: str | None, environ: dict[str, Any]) -> bool:
    """Whether a page of this very server asks, by the scheme that the server speaks."""
    scope = environ.get("asgi.scope") or {}
    scheme = "https" if scope.get("scheme") in ("https", "wss") else "http"
    return origin is not None and origin.lower() == f"{scheme}://{environ.get('HTTP_HOST', '')}".lower()


def session_of(cookies: str) -> str | None:
    """The session's secret in a ``Cookie`` header."""
    try:
        found = SimpleCookie(cookies).get(COOKIE)
    except CookieError:
        return None
    return found.value if found is not None else None


def cut_of(environ: dict[str, Any]) -> Callable[[], None]:
    """What cuts a connection at once."""
    scope = environ.get("asgi.scope") or {}
    found: Callable[[], None] = (scope.get("state") or {}).get(ABORT, _nothing)
    return found


def _nothing() -> None:
    return None


def address_of(environ: dict[str, Any]) -> str:
    """Where a connection comes from."""
    scope = environ.get("asgi.scope") or {}
    return str((scope.get("client") or ("",))[0])
