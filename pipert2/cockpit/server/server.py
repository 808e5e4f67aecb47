"""The cockpit's server: one port, one thread for the network, one that writes, and some that read."""

from __future__ import annotations

import asyncio
import logging
import threading
from types import TracebackType

import socketio

from pipert2.cockpit.server.export import Export
from pipert2.cockpit.server.hub import Hub
from pipert2.cockpit.server.rules import CockpitRules
from pipert2.cockpit.server.sockets import Sockets
from pipert2.cockpit.server.web import create_app
from pipert2.cockpit.server.web_server import CockpitHttpServer
from pipert2.cockpit.settings import CockpitSettings
from pipert2.cockpit.store.store import Store
from pipert2.control.http.answers import Message, Receive, Send, send_answer
from pipert2.control.http.guard import Guard
from pipert2.control.http.listener import Listener
from pipert2.control.http.server import tls_context as tls_context
from pipert2.control.http.tokens import Tokens
from pipert2.control.http.uvicorn_server import make_thread_nicer
from pipert2.control.http.workers import Workers
from pipert2.control.http.wsgi import FlaskAnswers
from pipert2.control.verbs import Scope
from pipert2.errors import ControlError

logger = logging.getLogger(__name__)

_START_SECONDS = 60.0
_CLOSE_SECONDS = 10.0
_WORKERS_SECONDS = 1.0
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class CockpitServer:
    """Serves the cockpit. A context manager; closes twice without complaint.

    Args:
        settings: how it is run; see :class:`CockpitSettings`.
        yielding: it is in a pipe's process, whose own threads come first.

    Raises:
        ControlError: on start: the address or the database is not to be had, or other machines could reach the server
            and there is no account or no token.
    """

    def __init__(self, settings: CockpitSettings | None = None, *, yielding: bool = False) -> None:
        self._yielding = yielding
        self.settings = settings if settings is not None else CockpitSettings()
        self._server: CockpitHttpServer | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._port = 0

    @property
    def port(self) -> int:
        """The port that it listens on; 0 before it was started, if any is as good."""
        return self._port or self.settings.port

    @property
    def url(self) -> str:
        """Where to reach it from this machine."""
        host = _EVERY_ADDRESS.get(self.settings.host, self.settings.host).strip("[]")
        scheme = "http" if self.settings.certificate is None else "https"
        return f"{scheme}://[{host}]:{self.port}" if ":" in host else f"{scheme}://{host}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether it serves."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> CockpitServer:
        """Begin to serve, in threads of its own; returns when it does."""
        with self._lock:
            if not self.running:
                self._start()
            return self

    def _start(self) -> None:
        settings = self.settings
        tokens = Tokens([(settings.token, Scope.CONTROL)] if settings.token else [])
        own = [] if settings.host in _EVERY_ADDRESS else [settings.host]
        rules = CockpitRules(Tokens.none(), hosts=[*settings.allowed_hosts, *own])
        tls = tls_context(settings.certificate, settings.key)
        listener = Listener(settings.host, settings.port)
        try:
            workers = Workers("pipert2-cockpit", make_thread_nicer if self._yielding else None)
            store = Store(settings, workers)
        except BaseException:
            listener.close()
            workers.close(_WORKERS_SECONDS)
            raise
        try:
            if not listener.on_loopback:
                _check_safe(bool(store.accounts), bool(tokens), settings.host)
            self._port = listener.port
            self._serve(listener, rules, tls, store, tokens, workers)
        except BaseException:
            listener.close()
            store.close()
            workers.close(_WORKERS_SECONDS)
            raise

    def _serve(
        self,
        listener: Listener,
        rules: CockpitRules,
        tls: object,
        store: Store,
        tokens: Tokens,
        workers: Workers,
    ) -> None:
        hub = Hub(store)
        sockets = Sockets(hub, store, tokens)
        flask_app = create_app(store, hub, secure=tls is not None)
        app = _App(FlaskAnswers(flask_app, workers), Export(store, hub), socketio.ASGIApp(sockets.server))

        def started() -> None:
            loop = asyncio.get_running_loop()
            store.on_removed = lambda number: _call_soon(loop, hub.forget, number)
            sockets.start()

        server = CockpitHttpServer(
            Guard(app, rules),
            listener,
            tls=tls,  # type: ignore[arg-type]
            on_started=started,
            on_closing=sockets.close,
        )

        def serve() -> None:
            if self._yielding:
                make_thread_nicer()
            try:
                server.run()
            except Exception:
                logger.exception("the cockpit's server failed")
            finally:
                server.up.set()
                listener.close()
                store.close()
                workers.close(_WORKERS_SECONDS)

        self._server = server
        self._thread = threading.Thread(target=serve, name="pipert2-cockpit-server", daemon=True)
        self._thread.start()
        if not server.up.wait(_START_SECONDS) or not server.started:
            server.should_exit = True
            raise ControlError("failed", f"the cockpit did not come up within {_START_SECONDS:g} s; see the log")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; False: the time was over first."""
        if self._thread is not None:
            self._thread.join(timeout)
        return not self.running

    def close(self) -> None:
        """End it: what it took from pipes is written, the port is free afterwards."""
        if self._server is not None:
            self._server.should_exit = True
        self.wait(_CLOSE_SECONDS)

    def __enter__(self) -> CockpitServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _App:
    """Sends each request where it belongs."""

    def __init__(self, flask: FlaskAnswers, export: Export, sockets: socketio.ASGIApp) -> None:
        self._flask = flask
        self._export = export
        self._sockets = sockets

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"].startswith("/socket.io"):
            await self._sockets(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        elif self._export.is_meant(scope):
            await self._export(scope, receive, send)
        else:
            await send_answer(send, await self._flask.answer(scope, receive))


def _call_soon(loop: asyncio.AbstractEventLoop, function: object, *arguments: object) -> None:
    try:
        loop.call_soon_threadsafe(function, *arguments)  # type: ignore[arg-type]
    except RuntimeError:  # the loop has ended
        return


def _check_safe(accounts: bool, tokens: bool, host: str) -> None:
    missing = []
    if not accounts:
        missing.append("an account (pipert2 cockpit user add NAME)")
    if not tokens:
        missing.append("a token for pipes (--token or PIPERT2_COCKPIT_TOKEN)")
    if missing:
        text = f"other machines can reach {host!r}, so the cockpit needs {' and '.join(missing)}"
        raise ControlError("bad_argument", f"{text}; or listen on 127.0.0.1", field="host")
