"""uvicorn's server, made to live in a thread of somebody else's program."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import sys
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import uvicorn

from pipert2.control.http.answers import App
from pipert2.control.http.connection import Connection
from pipert2.control.http.guard import escaped
from pipert2.control.http.listener import BACKLOG, Listener

logger = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 20
GRACE_SECONDS = 1.5
HANDSHAKE_SECONDS = 5.0
NICER = 5
_STEP = 0.02


class HttpServer(uvicorn.Server):
    """Serves an app until ``should_exit`` is true, then ends within a second or two, whatever its clients do.

    Args:
        app: the app.
        listener: takes the connections; is closed at the end.
        tls: the certificate to show; None: no TLS.
        on_closing: called in the event loop when it begins to end: streams shall end now.
    """

    def __init__(
        self, app: App, listener: Listener, *, tls: ssl.SSLContext | None, on_closing: Callable[[], None]
    ) -> None:
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http=Connection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        super().__init__(config)
        self._listener = listener
        self._tls = tls
        self._on_closing = on_closing
        self.up = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        """Begin to listen."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_note)
        self._listener.make_room = self._make_room
        options: dict[str, Any] = {"ssl_handshake_timeout": HANDSHAKE_SECONDS} if self._tls is not None else {}
        server = await loop.create_server(
            self._connection, sock=self._listener, ssl=self._tls, backlog=BACKLOG, **options
        )
        self.servers = [server]
        self.started = True
        self.up.set()

    async def shutdown(self, sockets: Any = None) -> None:
        """Take no more connections, let requests be answered for a moment, cut what is left."""
        for server in self.servers:
            server.close()
        self._on_closing()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._quiet(GRACE_SECONDS)
        for task in list(self.server_state.tasks):
            task.cancel()  # the guard answers that the server shuts down
        await self._quiet(_STEP * 5)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        self._listener.cut_off()
        await self._quiet(_STEP * 5)

    async def _quiet(self, seconds: float) -> None:
        """Wait until nothing is connected and nothing is worked on, but not for longer than this."""
        deadline = monotonic() + seconds
        while (self.server_state.connections or self.server_state.tasks) and monotonic() < deadline:
            await asyncio.sleep(_STEP)
        await asyncio.sleep(0)

    def _connection(self) -> Connection:
        return Connection(config=self.config, server_state=self.server_state, app_state={})

    def _make_room(self) -> bool:
        """Cut the connection that has been without a request in progress for longest."""
        idle = [
            one
            for one in self.server_state.connections
            if isinstance(one, Connection) and one.idle and not one.transport.is_closing()
        ]
        if not idle:
            return False
        min(idle, key=lambda one: one.number).transport.abort()
        return True


def make_thread_nicer() -> None:
    """Let this thread wait when others want the processor: flows come before whoever looks at them."""
    if sys.platform == "linux":  # where a thread's number stands for the thread alone
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICER)
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))  # it interrupts nobody when it wakes up
        except OSError as error:
            logger.debug("the server's thread keeps its priority: %s", error)


def _note(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What asyncio says of connections: they are the clients' doing."""
    error = context.get("exception")
    text = f"{context.get('message', '')} {type(error).__name__ if error is not None else ''}"
    logger.warning("a connection ended badly: %s", escaped(text, 200))
