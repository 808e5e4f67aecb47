"""A pipe's zerorpc server, as documented: ``RPCPipeWrapper(pipe).run_rpc_server(endpoint=...)``."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from pipert2.control.rpc.endpoint import usable_endpoint
from pipert2.control.rpc.keys import CurveKeys
from pipert2.control.service import ControlService
from pipert2.errors import ControlError
from pipert2.pipe import Pipe

logger = logging.getLogger(__name__)

DEFAULT_ENDPOINT = "tcp://127.0.0.1:1234"
MISSING = 'zerorpc is not installed: pip install "pipert2[rpc]"'

_STARTING = 30.0
_STOPPING = 10.0


class RPCPipeWrapper:
    """Lets zerorpc's clients drive a pipe: ``start``, ``pause``, ``kill``, ``execute``, ``status``, ``structure``,
    ``events``, ``log``, ``dead_letters`` and what is done with them, ``call`` for any other verb.

    The server works in a thread of its own; gevent and zerorpc are imported when one starts, and nothing is patched.
    A context manager; closes twice without complaint, and can serve again after that.

    Args:
        pipe: the pipe.
        service: its control service, if it has one already.
        keys: with them the server asks clients for theirs. Needed for endpoints that other machines can reach.
        heartbeat: seconds between two heartbeats; zerorpc's clients expect 5.

    >>> from pipert2 import Pipe
    >>> wrapper = RPCPipeWrapper(Pipe())
    >>> wrapper.start_rpc_server(endpoint="tcp://127.0.0.1:*")
    >>> wrapper.endpoint.startswith("tcp://127.0.0.1:")
    True
    >>> wrapper.close()
    """

    def __init__(
        self,
        pipe: Pipe,
        *,
        service: ControlService | None = None,
        keys: CurveKeys | None = None,
        heartbeat: float = 5.0,
    ) -> None:
        if not isinstance(pipe, Pipe):
            raise TypeError(f"RPCPipeWrapper takes a Pipe, not {pipe!r}")
        if keys is not None and not isinstance(keys, CurveKeys):
            raise TypeError(f"RPCPipeWrapper(keys=...) takes CurveKeys(...), not {type(keys).__name__}")
        if isinstance(heartbeat, bool) or not isinstance(heartbeat, int | float) or not 0.1 <= heartbeat <= 3600:
            raise ValueError(f"RPCPipeWrapper(heartbeat=...) is a time from 0.1 to 3600 seconds, not {heartbeat!r}")
        self.pipe = pipe
        self._given_service = service
        self._keys = keys
        self._heartbeat = float(heartbeat)
        self._server: _ServerThread | None = None
        self._lock = threading.Lock()

    @property
    def endpoint(self) -> str | None:
        """Where the server listens, with the port that was found for ``*``; None while there is none."""
        server = self._server
        return server.endpoint if server is not None and server.is_alive() else None

    @property
    def calls(self) -> int:
        """How many calls and streams are in progress."""
        server = self._server
        return server.calls if server is not None and server.is_alive() else 0

    def start_rpc_server(self, endpoint: str = DEFAULT_ENDPOINT) -> None:
        """Serve in the background.

        Args:
            endpoint: ``"tcp://ADDRESS:PORT"`` (``*`` is any free port), or ``"ipc:///a/path"``, where only programs of
                the same user may connect.

        Raises:
            ControlError: the endpoint cannot be used, is taken, or other machines could reach it and there are no keys.
            ImportError: zerorpc is not installed.
        """
        with self._lock:
            if self._server is not None and self._server.is_alive():
                message = f"an RPC server of pipe {self.pipe.name!r} listens at {self._server.endpoint} already"
                raise ControlError("bad_state", message)
            where = usable_endpoint(endpoint, safe=self._keys is not None)
            try:
                import gevent  # noqa: F401
                import msgpack  # noqa: F401
                import zerorpc  # noqa: F401
                import zmq  # noqa: F401
            except ImportError as error:
                raise ImportError(f"{MISSING} ({error})") from error
            server = _ServerThread(self.pipe, self._given_service, where, self._keys, self._heartbeat)
            try:
                server.open()
            except BaseException:
                server.close()
                raise
            self._server = server
        logger.info("pipe %r listens to zerorpc at %s", self.pipe.name, server.endpoint)

    def run_rpc_server(self, endpoint: str = DEFAULT_ENDPOINT) -> None:
        """Serve until Ctrl-C, or until :meth:`close` is called from elsewhere. Arguments and errors: as above."""
        try:
            self.start_rpc_server(endpoint)
            server = self._server
            while server is not None and server.is_alive():
                server.join(3600.0)
        except KeyboardInterrupt:
            logger.info("the RPC server of pipe %r was interrupted", self.pipe.name)
        finally:
            self.close()

    def close(self) -> None:
        """Stop serving; the pipe goes on."""
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            server.close()

    def __enter__(self) -> RPCPipeWrapper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _ServerThread(threading.Thread):
    """Makes the server and everything that belongs to it, serves, and takes it all away."""

    def __init__(
        self, pipe: Pipe, service: ControlService | None, endpoint: str, keys: CurveKeys | None, heartbeat: float
    ) -> None:
        super().__init__(name=f"pipert2-rpc-{pipe.name}", daemon=True)
        self.endpoint = endpoint
        self._pipe = pipe
        self._service = service
        self._keys = keys
        self._heartbeat = heartbeat
        self._ready = threading.Event()
        self._problem: BaseException | None = None
        self._given_up = False
        self._threads: Any = None
        self._zerorpc: Any = None

    @property
    def calls(self) -> int:
        """How many calls are in progress."""
        return self._zerorpc.calls if self._zerorpc is not None else 0

    def open(self) -> None:
        """Start, and wait until the server listens."""
        self.start()
        if not self._ready.wait(_STARTING):
            raise ControlError("failed", f"the RPC server at {self.endpoint} did not come up within {_STARTING:g} s")
        if self._problem is not None:
            raise self._problem

    def close(self) -> None:
        """Stop, and wait until everything is away."""
        self._given_up = True
        if self._threads is not None:
            self._threads.stop()
        self.join(_STOPPING)
        if self.is_alive():
            logger.warning("the RPC server at %s has not ended within %g s", self.endpoint, _STOPPING)

    def run(self) -> None:
        service = self._service if self._service is not None else ControlService(self._pipe)
        try:
            self._serve(service)
        except BaseException as error:
            if self._ready.is_set():
                logger.exception("the RPC server at %s ended", self.endpoint)
            self._problem = error
        finally:
            if service is not self._service:
                service.close()
            self._ready.set()

    def _serve(self, service: ControlService) -> None:
        import gevent
        import zmq

        from pipert2.control.rpc.admission import Authenticator
        from pipert2.control.rpc.call_threads import CallThreads
        from pipert2.control.rpc.methods import PipeMethods, methods_of
        from pipert2.control.rpc.server import Server
        from pipert2.control.rpc.sockets import OwnContext

        keys = self._keys
        allowed = frozenset(key.encode() for key in keys.clients) if keys is not None else frozenset()
        with ExitStack() as opened:
            hub = gevent.get_hub()
            opened.callback(hub.destroy, destroy_loop=True)
            try:
                context = OwnContext()
                opened.callback(context.term)
                threads = CallThreads(hub)
                opened.callback(threads.close)
                authenticator = Authenticator(context, allowed)
                opened.callback(authenticator.close)
                methods = methods_of(PipeMethods(service, threads))
                server = Server(methods, self._pipe.name, context, self._heartbeat)
                opened.callback(server.close)
                self.endpoint = server.listen(self.endpoint, keys.secret if keys is not None else None)
            except zmq.ZMQError as error:
                raise ControlError(
                    "failed", f"cannot listen at {self.endpoint}: {zmq.strerror(error.errno or 0)}"
                ) from None
            if self.endpoint.startswith("ipc:///"):
                opened.callback(Path(self.endpoint.removeprefix("ipc://")).unlink, missing_ok=True)
            server.serve()
            self._threads, self._zerorpc = threads, server
            self._ready.set()
            if not self._given_up:
                threads.stopping.wait()
