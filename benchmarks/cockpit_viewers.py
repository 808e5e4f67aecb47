"""Viewers without a page in ``python -m benchmarks.cockpit``: one that keeps up, one that stalls."""

from __future__ import annotations

import json
import logging
import threading
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import socketio
import websocket


class Follower:
    """A viewer of one pipe's log that acknowledges each batch at once, and comes back when the server does."""

    def __init__(self, url: str, pipe: str) -> None:
        self.received = 0
        self.skipped = 0
        self.unexplained = 0
        """Records that are missing between two batches without being counted as skipped."""
        self._last: int | None = None
        self._pipe = pipe
        silent = logging.Logger("silent", logging.CRITICAL + 1)
        self._client = socketio.Client(
            reconnection_delay=0.5,
            reconnection_delay_max=1,
            logger=silent,
            engineio_logger=silent,
            handle_sigint=False,
            websocket_extra_options={"suppress_origin": True},
        )
        self._client.on("connect", self._watch, namespace="/ui")
        self._client.on("logs", self._logs, namespace="/ui")
        for other in ("hello", "pipes", "structure", "status"):
            self._client.on(other, lambda *_: None, namespace="/ui")
        self._client.connect(url, transports=["websocket"], namespaces=["/ui"])

    def _watch(self) -> None:
        self._last = None
        self._client.emit("watch", {"pipe": self._pipe, "logs": {}, "frames": []}, namespace="/ui")

    def _logs(self, message: dict[str, Any]) -> None:
        records, skipped = message["records"], message["skipped"]
        self.received += len(records)
        self.skipped += skipped
        if records:
            if self._last is not None:
                gap = records[0]["number"] - self._last - 1
                self.unexplained += max(0, gap - skipped)
            self._last = records[-1]["number"]

    def close(self) -> None:
        self._client.disconnect()


class Stalled:
    """A viewer that asks for everything and then reads nothing; it comes again whenever the server has cut it."""

    def __init__(self, url: str, pipe: str) -> None:
        place = urlsplit(url)
        self._address = f"ws://{place.netloc}/socket.io/?EIO=4&transport=websocket"
        self._watch = "42/ui," + json.dumps(["watch", {"pipe": pipe, "logs": {}, "frames": []}])
        self._closing = threading.Event()
        self.times = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._closing.is_set():
            with suppress(OSError, websocket.WebSocketException):
                self._stall()
            self._closing.wait(1.0)

    def _stall(self) -> None:
        connection = websocket.create_connection(self._address, timeout=5, suppress_origin=True)
        try:
            connection.recv()
            connection.send("40/ui,")
            connection.recv()
            connection.send(self._watch)
            self.times += 1
            while not self._closing.wait(1.0):
                connection.send("3")  # a pong, so that it looks alive, until its connection is cut
        finally:
            connection.shutdown()

    def close(self) -> None:
        self._closing.set()
        self._thread.join(5)
