"""The control API's server: one pipe, one port, one thread."""

from __future__ import annotations

import logging
import os
import ssl
import threading
from collections.abc import Iterable
from time import monotonic
from types import TracebackType

from flask import Flask

from pipert2.control.client.discovery import Announced, announce
from pipert2.control.http.answers import Message, Receive, Send, send_answer
from pipert2.control.http.face import create_app
from pipert2.control.http.guard import BODY_SECONDS, Guard
from pipert2.control.http.listener import Listener
from pipert2.control.http.routes import scope_of_request
from pipert2.control.http.rules import HttpRules
from pipert2.control.http.snapshots import STATUS_PATH, Snapshots
from pipert2.control.http.streams import LOGS_STREAM_PATH, STATUS_STREAM_PATH, Streams
from pipert2.control.http.tokens import Tokens
from pipert2.control.http.uvicorn_server import HttpServer, make_thread_nicer
from pipert2.control.http.workers import Workers
from pipert2.control.http.wsgi import FlaskAnswers
from pipert2.control.service import ControlService
from pipert2.control.verbs import Scope
from pipert2.errors import ControlError

logger = logging.getLogger(__name__)

DEFAULT_PORT = 8320
_START_SECONDS = 60.0
_CLOSE_SECONDS = 10.0
_WORKERS_SECONDS = 0.5
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}

_OF_A_BODY = (b"content-length", b"transfer-encoding")

Path = str | os.PathLike[str]


class ControlServer:
    """Serves the control API of one pipe over HTTP. A context manager; closes twice without complaint.

    Args:
        service: the pipe's control service.
        host: the address to listen on; a name that has several stands for its first IPv4 address.
        port: 0 picks a free one.
        tokens: who may do what; left out: those of ``PIPERT2_TOKEN`` and ``PIPERT2_READ_TOKEN`` in the environment or
            in ``.env``.
        certificate: a PEM file with the server's certificate: the API is served over TLS then.
        key: a PEM file with its key, if that is not in the same file.
        allowed_hosts: further names that the server is called by, such as ``"robot.local"``.
        allowed_origins: web pages of other origins that may call it, such as ``"https://panel.example"``.
        announce: let this user's other programs on this machine find it.

    Raises:
        ControlError: on start: the address is not to be had, a file cannot be read, or other machines could reach the
            server and there are no tokens.
    """

    def __init__(
        self,
        service: ControlService,
        *,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        tokens: Tokens | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
        allowed_hosts: Iterable[str] = (),
        allowed_origins: Iterable[str] = (),
        announce: bool = True,
    ) -> None:
        self.service = service
        self.host = host
        self._wanted_port = port
        self._given_tokens = tokens
        self._certificate = certificate
        self._key = key
        self._allowed_hosts = (allowed_hosts,) if isinstance(allowed_hosts, str) else tuple(allowed_hosts)
        self._allowed_origins = (allowed_origins,) if isinstance(allowed_origins, str) else tuple(allowed_origins)
        self._announce = announce
        self._lock = threading.Lock()
        self._port = 0
        self._server: HttpServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port that it listens on; the one that was asked for before it was started."""
        return self._port or self._wanted_port

    @property
    def url(self) -> str:
        """Where to reach it from this machine."""
        host = _EVERY_ADDRESS.get(self.host, self.host).strip("[]")
        scheme = "http" if self._certificate is None else "https"
        return f"{scheme}://[{host}]:{self.port}" if ":" in host else f"{scheme}://{host}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether it serves."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> ControlServer:
        """Begin to serve, in a thread of its own; returns when it does."""
        with self._lock:
            if self.running:
                return self
            tokens = self._given_tokens if self._given_tokens is not None else Tokens.from_environment()
            rules = HttpRules(tokens, hosts=self._own_hosts(), origins=self._allowed_origins)
            tls = tls_context(self._certificate, self._key)
            listener = Listener(self.host, self._wanted_port)
            if not tokens and not listener.on_loopback:
                listener.close()
                raise ControlError("bad_argument", _no_tokens(self.host), field="tokens")
            self._port = listener.port
            try:
                self._run(listener, rules, tls)
            except BaseException:
                listener.close()
                raise
        return self

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended, as by the document's ``/kill``; False: the time was over first."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)
        return not self.running

    def stop_soon(self) -> None:
        """Have it end once the requests in progress are answered. Does not wait, so that a request may ask for it."""
        server = self._server
        if server is not None:
            server.should_exit = True

    def close(self) -> None:
        """End it: what is in progress is answered for a moment, then cut. The port is free afterwards."""
        self.stop_soon()
        if self._thread is not threading.current_thread():
            self.wait(_CLOSE_SECONDS)

    def __enter__(self) -> ControlServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _own_hosts(self) -> list[str]:
        return [*self._allowed_hosts, *([] if self.host in _EVERY_ADDRESS else [self.host])]

    def _run(self, listener: Listener, rules: HttpRules, tls: ssl.SSLContext | None) -> None:
        flask = create_app(self.service, on_kill=self.stop_soon)
        # Who only looks waits for flows. What changes the pipe does not: processes that it starts get its priority.
        workers, readers = Workers("pipert2-http"), Workers("pipert2-http-reader", make_thread_nicer)
        app = _Router(flask, self.service, readers=readers, workers=workers)
        server = HttpServer(Guard(app, rules, body_seconds=BODY_SECONDS), listener, tls=tls, on_closing=app.close)

        def serve() -> None:
            make_thread_nicer()
            announced = self._announced()
            try:
                server.run()
            except Exception:
                logger.exception("the control API's server failed")
            finally:
                server.up.set()
                if announced is not None:
                    announced.close()
                listener.close()
                deadline = monotonic() + _WORKERS_SECONDS
                closed = [one.close(max(0.0, deadline - monotonic())) for one in (readers, workers)]
                if not all(closed):
                    logger.warning("the control API closed while requests still wait for the pipe")

        self._server = server
        self._thread = threading.Thread(target=serve, name="pipert2-http-server", daemon=True)
        self._thread.start()
        if not server.up.wait(_START_SECONDS) or not server.started:
            server.should_exit = True
            raise ControlError("failed", f"the control API did not come up within {_START_SECONDS:g} s; see the log")

    def _announced(self) -> Announced | None:
        if not self._announce:
            return None
        try:
            return announce(self.service.pipe.name, self.url)
        except ControlError as error:
            logger.warning("%s; use its address %s to reach it", error, self.url)
            return None


class _Router:
    """The status and streams by themselves, everything else by Flask.

    Args:
        readers: for what only looks. workers: for what may change something.
    """

    def __init__(self, flask: Flask, service: ControlService, *, readers: Workers, workers: Workers) -> None:
        self._looking = FlaskAnswers(flask, readers)
        self._changing = FlaskAnswers(flask, workers)
        self._service = service
        self._snapshots = Snapshots(service, readers)
        self._streams: Streams | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if self._streams is None:  # not before: it belongs to the event loop
            self._streams = Streams(self._service, self._snapshots)
        path, method = scope["path"], scope["method"]
        if method == "GET" and path == STATUS_STREAM_PATH:
            await self._streams.status(scope, receive, send)
        elif method == "GET" and path == LOGS_STREAM_PATH:
            await self._streams.logs(scope, receive, send)
        elif method == "GET" and path == STATUS_PATH and not _has_arguments(scope):
            await send_answer(send, await self._snapshots.answer())
        elif scope_of_request(method, path) is Scope.READ:
            await send_answer(send, await self._looking.answer(scope, receive))
        else:
            try:
                answer = await self._changing.answer(scope, receive)
            finally:
                self._snapshots.forget()
            await send_answer(send, answer)

    def close(self) -> None:
        """End the streams."""
        if self._streams is not None:
            self._streams.close()


def _has_arguments(scope: Message) -> bool:
    """Whether a request brings any, in its query or body; Flask says what is wrong with them."""
    return bool(scope["query_string"]) or any(name in _OF_A_BODY for name, _ in scope["headers"])


def tls_context(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        if key is not None:
            raise ControlError("bad_argument", "a key without a certificate: give both", field="certificate")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2

    def no_password() -> str:
        raise ValueError("it is locked with a password, which this server cannot ask for")

    try:
        context.load_cert_chain(certificate, key, no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        files = f"{os.fspath(certificate)!r}" + (f" and key {os.fspath(key)!r}" if key is not None else "")
        reason = getattr(error, "strerror", None) or error
        raise ControlError("bad_argument", f"certificate {files}: {reason}", field="certificate") from None
    return context


def _no_tokens(host: str) -> str:
    return (
        f"other machines can reach {host!r}, so whoever calls must show a token: set PIPERT2_TOKEN in the environment "
        "or in .env, or give tokens=..., or listen on 127.0.0.1"
    )
