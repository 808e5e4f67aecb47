"""Log records of a flow's process, on their way to the pipe's logger in the main process."""

from __future__ import annotations

import logging
import logging.handlers
import threading
from collections import deque

MOST_WAITING = 10_000


class ForwardingHandler(logging.handlers.QueueHandler):
    """Keeps records until they are fetched; drops the oldest, and counts them, when too many wait.

    A routine that logs faster than the main process reads is never held up.
    """

    def __init__(self, wake: threading.Event) -> None:
        super().__init__(deque())  # type: ignore[arg-type]
        self._wake = wake
        self._dropped = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        waiting = self._waiting
        if len(waiting) >= MOST_WAITING:
            waiting.popleft()
            self._dropped += 1
        waiting.append(record)
        self._wake.set()

    @property
    def _waiting(self) -> deque[logging.LogRecord]:
        return self.queue  # type: ignore[return-value]

    def fetch(self, most: int = 200) -> tuple[tuple[logging.LogRecord, ...], int]:
        """Up to *most* records, oldest first, and how many were dropped since the last fetch."""
        records: list[logging.LogRecord] = []
        while self._waiting and len(records) < most:
            records.append(self._waiting.popleft())
        dropped, self._dropped = self._dropped, 0
        return tuple(records), dropped
