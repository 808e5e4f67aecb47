"""APIWrapper: a pipe driven over HTTP, as PipeRT2 documents it."""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Iterable
from types import TracebackType

from pipert2.control.http.listener import only_loopback
from pipert2.control.http.server import DEFAULT_PORT, ControlServer, Path
from pipert2.control.http.tokens import TOKEN_NAME, Tokens, generate_token
from pipert2.control.service import ControlService
from pipert2.control.verbs import Scope
from pipert2.errors import ControlError
from pipert2.pipe import Pipe
from pipert2.runtime.supervision.ending import signals_noted

_running: set[ControlServer] = set()
_registered = False


class APIWrapper:
    """Serves the control API of a pipe. A context manager; closes twice without complaint.

    A program whose main part has come to its end goes on until the API is shut down: by ``GET /kill``, ``close()``,
    Ctrl-C or SIGTERM.

    Args:
        pipe: the pipe; it need not be built or started.
        host: the address to listen on. Beyond loopback callers must show a token; if there is none, one is made and
            printed once.
        port: 0 picks a free one.
        tokens: who may do what; left out: those of the environment or ``.env`` (``PIPERT2_TOKEN``,
            ``PIPERT2_READ_TOKEN``).
        certificate, key: PEM files; with them the API is served over TLS.
        allowed_hosts: further names that the server is called by.
        allowed_origins: web pages of other origins that may call it.
        announce: let this user's other programs on this machine find it.

    >>> from pipert2 import Pipe
    >>> from pipert2.testing import CollectingDestination, ListSource
    >>> pipe = Pipe("numbers", inline=True)
    >>> pipe.create_flow("all", True, ListSource([1, 2]), CollectingDestination())
    >>> api_wrapper = APIWrapper(host="127.0.0.1", port=0, pipe=pipe)
    >>> api_wrapper.run()
    >>> api_wrapper.url.startswith("http://127.0.0.1:")
    True
    >>> api_wrapper.close()
    """

    def __init__(
        self,
        pipe: Pipe,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        *,
        tokens: Tokens | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
        allowed_hosts: Iterable[str] = (),
        allowed_origins: Iterable[str] = (),
        announce: bool = True,
    ) -> None:
        if not isinstance(pipe, Pipe):
            raise ControlError("bad_argument", f"APIWrapper(pipe=...): {pipe!r:.100} is not a pipe", field="pipe")
        self._service: ControlService | None = None
        self._server: ControlServer | None = None
        self._pipe = pipe
        self._host = host
        self._port = port
        self._tokens = tokens
        self._certificate = certificate
        self._key = key
        self._allowed_hosts = allowed_hosts
        self._allowed_origins = allowed_origins
        self._announce = announce

    @property
    def url(self) -> str:
        """Where to reach it from this machine.

        Raises:
            ControlError: it was not started.
        """
        if self._server is None:
            raise ControlError("bad_state", "the API has no address yet: call run() first")
        return self._server.url

    def run(self) -> None:
        """Begin to serve, and return. A second call while it serves changes nothing.

        Raises:
            ControlError: the address is not to be had, or a file cannot be read.
        """
        if self._server is not None and self._server.running:
            return
        self.close()
        tokens, made = self._tokens if self._tokens is not None else Tokens.from_environment(), None
        if not tokens and not only_loopback(self._host):
            made = generate_token()
            tokens = Tokens([(made, Scope.CONTROL)])
        service = ControlService(self._pipe)
        server = ControlServer(
            service,
            host=self._host,
            port=self._port,
            tokens=tokens,
            certificate=self._certificate,
            key=self._key,
            allowed_hosts=self._allowed_hosts,
            allowed_origins=self._allowed_origins,
            announce=self._announce,
        )
        try:
            server.start()
        except BaseException:
            service.close()
            raise
        self._service, self._server = service, server
        if made is not None:
            advice = f"set {TOKEN_NAME} for one of your own"
            print(f"{server.url} wants this token, made now and shown once ({advice}): {made}", file=sys.stderr)
        _stay_for(server)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the API was shut down, as by ``GET /kill``; False: the time was over first."""
        return self._server is None or self._server.wait(timeout)

    def close(self) -> None:
        """Shut the API down; the pipe goes on as it is."""
        if self._server is not None:
            self._server.close()
            _running.discard(self._server)
        if self._service is not None:
            self._service.close()

    def __enter__(self) -> APIWrapper:
        self.run()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _stay_for(server: ControlServer) -> None:
    _running.difference_update([one for one in _running if not one.running])
    _running.add(server)
    global _registered
    if not _registered:
        _registered = True
        # What concurrent.futures uses. It comes before the interpreter waits for threads, where Ctrl-C would show a
        # traceback, and before atexit, where pipes are ended and no thread can be started any more.
        getattr(threading, "_register_atexit", atexit.register)(_stay)


def _stay() -> None:
    """Keep the program alive for those that drive its pipes."""
    if getattr(sys, "last_value", None) is not None:  # its main part failed
        for server in _running:
            server.close()
    for server in list(_running):
        with signals_noted(server.stop_soon):
            server.wait()
