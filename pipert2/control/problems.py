"""From any error to the one error model of all faces."""

from __future__ import annotations

import logging

from pipert2.errors import (
    CallError,
    CallTimeoutError,
    ControlError,
    EventHandlerError,
    ParameterError,
    PipeBuildError,
    PipertError,
    PipeStateError,
    SharedMemoryFullError,
    UnknownNameError,
    UnsendableDataError,
)

logger = logging.getLogger(__name__)

LONGEST_TRACEBACK = 20_000
"""Characters of a traceback that an error carries, at most: its end says most."""


def control_error(error: Exception) -> ControlError:
    """The :class:`ControlError` that says what *error* says. What nobody foresaw is ``internal``, and logged."""
    if isinstance(error, ControlError):
        return error
    message = str(error)
    if isinstance(error, UnknownNameError):
        return ControlError("unknown_name", message, nearest=error.nearest)
    if isinstance(error, ParameterError):
        return ControlError("bad_argument", message, field=error.parameter)
    if isinstance(error, PipeStateError):
        return ControlError("bad_state", message)
    if isinstance(error, PipeBuildError | UnsendableDataError | ValueError):
        return ControlError("bad_argument", message)
    if isinstance(error, SharedMemoryFullError):
        return ControlError("no_room", message)
    if isinstance(error, CallTimeoutError):
        return ControlError("timeout", message)
    if isinstance(error, CallError):
        return ControlError("handler_failed", message, traceback=error.traceback[-LONGEST_TRACEBACK:] or None)
    if isinstance(error, EventHandlerError):
        return ControlError("handler_failed", message)
    if isinstance(error, PipertError):
        return ControlError("failed", message)
    logger.error("a control verb failed in a way nobody foresaw", exc_info=error)
    return ControlError("internal", "something went wrong here; the pipe's log tells what")
