"""The control API's HTTP server, with websockets."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from pipert2.cockpit.server.messages import LARGEST_MESSAGE
from pipert2.control.http.answers import App
from pipert2.control.http.connection import Connection
from pipert2.control.http.listener import Listener
from pipert2.control.http.uvicorn_server import HttpServer

_silent = logging.Logger("pipert2.cockpit.websockets", logging.CRITICAL + 1)


class CockpitConnection(Connection):
    """An HTTP connection that may become a websocket; then the bounds on HTTP's times do not hold for it any more."""

    _upgraded = False

    def handle_websocket_upgrade(self) -> None:
        self._upgraded = True
        self._drop_deadline()
        super().handle_websocket_upgrade()

    def _set_deadline(self) -> None:
        if not self._upgraded:
            super()._set_deadline()


class CockpitWebSocket(WebSocketsSansIOProtocol):
    """A websocket that says nothing in the log of what clients do wrong."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _silent
        self.conn.logger = _silent


class CockpitHttpServer(HttpServer):
    """As :class:`HttpServer`; *on_started* is called in the event loop when it takes connections."""

    def __init__(
        self,
        app: App,
        listener: Listener,
        *,
        tls: ssl.SSLContext | None,
        on_started: Callable[[], None],
        on_closing: Callable[[], None],
    ) -> None:
        super().__init__(app, listener, tls=tls, on_closing=on_closing)
        self._on_started = on_started
        self.config.http = CockpitConnection
        self.config.ws = CockpitWebSocket
        self.config.ws_max_size = LARGEST_MESSAGE
        self.config.ws_ping_interval = None  # socket.io has its own
        self.config.ws_per_message_deflate = False  # mostly loopback, where it only costs

    async def startup(self, sockets: Any = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self._on_started()

    def _connection(self) -> Connection:
        return CockpitConnection(config=self.config, server_state=self.server_state, app_state={})
