"""Logging: the level of pipert2's own doings, and the way of a flow's records to the main process."""

from __future__ import annotations

import copy
import logging
import logging.handlers
import sys
import threading
from collections import deque
from typing import Any

from pipert2.errors import UnsendableDataError
from pipert2.transport.codec import dumps_plain

PIPE_INFRASTRUCTURE_LOG_LEVEL = 5
PIPE_INFRASTRUCTURE_LOG_LEVEL_NAME = "PIPE_INFRASTRUCTURE"

FLOW_ATTRIBUTE = "pipert2_flow"
FORWARDED_ATTRIBUTE = "pipert2_forwarded"


class Origin(logging.Filter):
    """Notes in each record which flow it comes from."""

    def __init__(self, flow: str) -> None:
        super().__init__()
        self._flow = flow

    def filter(self, record: logging.LogRecord) -> bool:
        setattr(record, FLOW_ATTRIBUTE, self._flow)
        return True


def add_pipe_log_level() -> None:
    """Add the level ``PIPE_INFRASTRUCTURE`` (5, below DEBUG) to the logging module, and ``plog`` for it to all loggers.

    >>> add_pipe_log_level()
    >>> logging.getLevelName(PIPE_INFRASTRUCTURE_LOG_LEVEL)
    'PIPE_INFRASTRUCTURE'
    """
    logging.addLevelName(PIPE_INFRASTRUCTURE_LOG_LEVEL, PIPE_INFRASTRUCTURE_LOG_LEVEL_NAME)

    def plog(self: logging.Logger, message: object, *args: Any, **kwargs: Any) -> None:
        if self.isEnabledFor(PIPE_INFRASTRUCTURE_LOG_LEVEL):
            kwargs.setdefault("stacklevel", 2)
            self.log(PIPE_INFRASTRUCTURE_LOG_LEVEL, message, *args, **kwargs)

    logging.Logger.plog = plog  # type: ignore[attr-defined]


def get_default_print_logger(name: str) -> logging.Logger:
    """A logger that prints INFO and above to standard output, as PipeRT's pipes do where no logger is given."""
    logger = logging.getLogger(name)
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(
            logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
        )
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    return logger


MOST_WAITING = 10_000
_formatter = logging.Formatter()


class ForwardingHandler(logging.handlers.QueueHandler):
    """Keeps records until they are fetched; drops the oldest, and counts them, when too many wait.

    A routine that logs faster than the main process reads is never held up.
    """

    def __init__(self, wake: threading.Event) -> None:
        super().__init__(deque())  # type: ignore[arg-type]
        self._wake = wake
        self._dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """The record with its message made, and what cannot travel of its ``extra`` as text."""
        prepared = copy.copy(record)
        try:
            prepared.msg = prepared.message = record.getMessage()
        except Exception:  # a format that does not fit its arguments
            prepared.msg = prepared.message = str(record.msg)
        prepared.args = None
        if record.exc_info and record.exc_info[0] is not None:
            prepared.exc_text = record.exc_text or _formatter.formatException(record.exc_info)
        prepared.exc_info = None
        try:
            dumps_plain(prepared)
        except UnsendableDataError:
            for name, value in vars(prepared).items():
                if not isinstance(value, str | int | float | bool | None):
                    setattr(prepared, name, repr(value))
        return prepared

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
