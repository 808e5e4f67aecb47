"""Messages on their way through a connection, sent by a thread so that nobody waits for a slow reader."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from pipert2.errors import UnsendableDataError
from pipert2.runtime.flow.logs import ForwardingHandler
from pipert2.runtime.messages import EventAnswer, EventRequest, LogRecords, Packed
from pipert2.transport.codec import dumps_plain


class Outbox:
    """Sends messages in order; log records, if there is a handler for them, whenever nothing else waits."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._messages: deque[bytes] = deque()
        self.wake = threading.Event()
        self.logs: ForwardingHandler | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, message: Any) -> None:
        """Send *message* as soon as may be.

        Raises:
            UnsendableDataError: parameters in it cannot be pickled. An answer that cannot be becomes one that says so.
        """
        if isinstance(message, EventAnswer) and message.error is None and message.value is not None:
            try:
                message = replace(message, value=Packed(dumps_plain(message.value)))
            except UnsendableDataError as error:
                failure = f"what its handler returned ({type(message.value).__name__}) cannot be sent: {error.reason}"
                message = replace(message, value=None, error=(failure, ""))
        elif isinstance(message, EventRequest):
            message = replace(message, params=Packed.parameters(message.name, message.params))
        data = dumps_plain(message)
        self._messages.append(data)
        self.wake.set()

    def _run(self) -> None:
        while True:
            self.wake.wait()
            self.wake.clear()
            try:
                while self._messages or self._has_logs():
                    while self._messages:
                        self._connection.send_bytes(self._messages[0])
                        self._messages.popleft()
                    self._send_logs()
            except (OSError, ValueError):
                return  # the other side is gone, and whoever watches it knows
            if self._closing:
                return

    def _has_logs(self) -> bool:
        return self.logs is not None and bool(self.logs.queue)

    def _send_logs(self) -> None:
        if self.logs is not None:
            records, dropped = self.logs.fetch()
            if records:
                self._connection.send_bytes(dumps_plain(LogRecords(records, dropped)))

    def close(self, timeout: float) -> bool:
        """Send what waits, but for no longer than *timeout* seconds; whether the sender has ended."""
        self._closing = True
        self.wake.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()
