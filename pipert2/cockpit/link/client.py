"""One connection from a pipe to the cockpit."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import engineio
import socketio
import websocket

from pipert2.cockpit.link.tls import tls_problem
from pipert2.cockpit.packets import LogsAreText
from pipert2.errors import ControlError

NAMESPACE = "/pipe"
_DIAL_SECONDS = 3.0
_END_SECONDS = 0.5

# It is not known to the logging module: nothing that it says can become a record that it would have to send.
_silent = logging.Logger("pipert2.cockpit.socketio", logging.CRITICAL + 1)


class _Engine(engineio.Client):  # type: ignore[misc]
    """Names the threads that it starts."""

    def start_background_task(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> threading.Thread:
        thread = threading.Thread(target=target, args=args, kwargs=kwargs, name="pipert2-cockpit-io", daemon=True)
        thread.start()
        return thread


class _Client(socketio.Client):  # type: ignore[misc]
    """Keeps the parts of a message together when several threads send."""

    def __init__(self, **options: Any) -> None:
        self._sending = threading.Lock()
        super().__init__(**options)

    def _engineio_client_class(self) -> type[engineio.Client]:
        return _Engine

    def _send_packet(self, pkt: Any) -> None:
        with self._sending:
            super()._send_packet(pkt)


class LinkClient:
    """A connection to the cockpit. Closes twice without complaint.

    Args:
        on_command: called, in a thread for each call, with what the cockpit wants; returns the answer.
        on_lost: called when the connection has ended, whoever ended it.
        trust: which certificates are trusted, where the address wants TLS.
    """

    def __init__(
        self, on_command: Callable[[Any], Any], on_lost: Callable[[], None], trust: ssl.SSLContext | None = None
    ) -> None:
        self._refusal: str | None = None
        self.lost = threading.Event()
        self._on_lost = on_lost
        self._sockets: list[websocket.WebSocket] = []
        self._client = _Client(
            reconnection=False,
            handle_sigint=False,
            logger=_silent,
            engineio_logger=_silent,
            serializer=LogsAreText,
            request_timeout=_DIAL_SECONDS,
            websocket_extra_options={
                "suppress_origin": True,
                "class_": self._make_socket,
                **({"sslopt": {"context": trust}} if trust is not None else {}),
            },
        )
        self._client.on("command", on_command, namespace=NAMESPACE)
        self._client.on("connect_error", self._refused, namespace=NAMESPACE)
        self._client.on("disconnect", self._disconnected, namespace=NAMESPACE)

    def dial(self, url: str, auth: dict[str, Any]) -> None:
        """Connect.

        Raises:
            ControlError: ``unreachable``: nobody is there; ``unauthorized``: the cockpit does not want this pipe.
        """
        try:
            self._client.connect(
                url, auth=auth, transports=["websocket"], namespaces=[NAMESPACE], wait_timeout=_DIAL_SECONDS
            )
        except (socketio.exceptions.SocketIOError, OSError, ValueError) as error:
            self.close()
            if self._refusal is not None:
                raise ControlError("unauthorized", self._refusal) from None
            problem = tls_problem(error, url)
            raise ControlError("unreachable", problem or str(error), field="tls" if problem else None) from None

    def emit(self, event: str, data: Any, done: Callable[..., None]) -> None:
        """Send; *done* is called with the answer, in another thread.

        Raises:
            ControlError: the connection is lost.
        """
        try:
            self._client.emit(event, data, namespace=NAMESPACE, callback=done)
        except socketio.exceptions.SocketIOError:
            self._disconnected()
            raise ControlError("unreachable", "the connection is lost") from None

    def _make_socket(self, **options: Any) -> websocket.WebSocket:
        """The client forgets one whose server goes away at once; so it is noted here."""
        self._sockets.append(websocket.WebSocket(**options))
        return self._sockets[-1]

    @property
    def idle(self) -> bool:
        """Whether all that was given to it is on its way."""
        return bool(self._client.eio.queue.unfinished_tasks == 0)

    def _refused(self, data: object = None) -> None:
        message = data.get("message") if isinstance(data, dict) else data
        if self._client.eio.state == "connected":  # else it is the transport that failed
            self._refusal = str(message)[:500]

    def _disconnected(self, *_: object) -> None:
        self.lost.set()
        self._on_lost()

    def close(self) -> None:
        """End it at once, without asking the other side, which may not be there any more."""
        reader = self._client.eio.read_loop_task
        for one in self._sockets:
            connection = one.sock
            if connection is not None:
                try:
                    connection.shutdown(socket.SHUT_RDWR)  # wakes the threads that wait for it, which closing does not
                except OSError:
                    pass
        if reader is not None and reader is not threading.current_thread():
            reader.join(_END_SECONDS)
        for one in self._sockets:
            one.shutdown()  # type: ignore[no-untyped-call]


def cockpit_url(text: str) -> str:
    """The address of a cockpit without what PipeRT's cockpit had behind it.

    Raises:
        ControlError: it is none.

    >>> cockpit_url("http://localhost:3000/api/socketio"), cockpit_url("robot.local:8321")
    ('http://localhost:3000', 'http://robot.local:8321')
    """
    full = text.strip() if "://" in text else f"http://{text.strip()}"
    try:
        parts = urlsplit(full)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https", "ws", "wss") or not parts.hostname or port == 0:
        reason = f"{text!r:.200} is not the address of a cockpit, such as http://127.0.0.1:8321"
        raise ControlError("bad_argument", reason, field="url")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
