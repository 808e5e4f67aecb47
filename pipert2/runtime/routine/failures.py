"""What becomes of an exception in a routine: counted, shown in its status, logged once a second at most."""

from __future__ import annotations

import logging
import threading
import traceback
from time import monotonic

from pipert2.errors import PipertError
from pipert2.transport import board as b
from pipert2.transport.board import Board

LOG_INTERVAL = 1.0
"""Seconds in which failures of one kind are logged once; all are counted."""
LONGEST_PAUSE = 1.0
"""Seconds between two attempts, at most."""

Failure = tuple[str, str]
"""The reason and the traceback."""


class Failures:
    """The failures of one routine. Safe to use from any of its threads."""

    def __init__(self, board: Board, routine: int, name: str, logger: logging.Logger) -> None:
        self._board = board
        self._routine = routine
        self._errors = board.routine(routine) + b.ERRORS
        self._name = name
        self._logger = logger
        self._lock = threading.Lock()
        self._last: tuple[tuple[str, type] | None, float, int] = (None, 0.0, 0)

    def note(self, what: str, error: BaseException) -> Failure:
        """Note that *what* has raised *error*."""
        ours = isinstance(error, PipertError)
        exc_info: BaseException | None
        try:
            reason = str(error) if ours else f"{type(error).__name__}: {error}"
            trace = "".join(traceback.format_exception(error))
            exc_info = None if ours else error
        except Exception:  # an exception whose own __str__ raises
            reason, trace, exc_info = f"{type(error).__name__} (which cannot be shown)", "", None
        with self._lock:
            self._board.words[self._errors] += 1
            self._board.write_error(self._routine, f"{what}: {reason}")
            now = monotonic()
            kind, logged, muted = self._last
            if kind == (what, type(error)) and now - logged < LOG_INTERVAL:
                self._last = (kind, logged, muted + 1)
                return reason, trace
            self._last = ((what, type(error)), now, 0)
        more = f" ({muted} more like the one before)" if muted else ""
        self._logger.error("%s of %s failed: %s%s", what, self._name, reason, more, exc_info=exc_info)
        return reason, trace


def pause_before(attempt: int) -> float:
    """Seconds to wait before the next attempt at a message that has failed *attempt* times."""
    return min(LONGEST_PAUSE, 0.01 * 2.0 ** min(attempt, 10))
