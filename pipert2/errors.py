"""Every error a user can meet, in one hierarchy.

Each error keeps what it knows in fields (its constructor's positional arguments, so that it can be pickled) and says in
its message what is wrong, where, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any


def nearest(name: str, known: Sequence[str]) -> str | None:
    """The known name that looks most like *name*, or None if none looks like it at all."""
    lowered = {candidate.lower(): candidate for candidate in reversed(known)}
    found = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    return lowered[found[0]] if found else None


def readable_size(size: float) -> str:
    """*size* in bytes as people write it, ``"5.9 MiB"``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024 or unit == "GiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError("unreachable")


class PipertError(Exception):
    """The root of all errors that pipert2 raises."""


class PipeBuildError(PipertError):
    """The pipe cannot be built; *problems* lists everything that is wrong with it, not just the first."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return f"the pipe cannot be built: {self.problems[0]}"
        lines = "".join(f"\n  {number}. {problem}" for number, problem in enumerate(self.problems, 1))
        return f"the pipe cannot be built, {len(self.problems)} problems:{lines}"


class PipeStateError(PipertError):
    """What was asked for is not possible in the state that the pipe is in."""


class UnknownNameError(PipertError):
    """A name that the pipe does not have; *nearest* is the known one that looks most like it."""

    kind = "name"

    def __init__(self, name: str, known: Sequence[str], where: str = "this pipe") -> None:
        self.name = name
        self.known = tuple(known)
        self.where = where
        self.nearest = nearest(name, self.known)

    def __str__(self) -> str:
        if self.nearest is not None:
            hint = f"did you mean {self.nearest!r}?"
        elif self.known:
            hint = "known are " + ", ".join(repr(name) for name in self.known[:20])
        else:
            hint = "there is none"
        return f"{self.where} has no {self.kind} {self.name!r}: {hint}"


class UnknownFlowError(UnknownNameError):
    """No flow of this name."""

    kind = "flow"


class UnknownRoutineError(UnknownNameError):
    """No routine of this name."""

    kind = "routine"


class UnknownWireError(UnknownRoutineError):
    """No wire between these two routines."""

    kind = "wire"


class UnknownEventError(UnknownNameError):
    """None of the routines that an event was sent to handles it."""

    kind = "handler for the event"


class UnknownParameterError(UnknownNameError):
    """No parameter of this name."""

    kind = "parameter"


class UnknownDeadLetterError(UnknownNameError):
    """No dead letter of this number."""

    kind = "dead letter"


class ParameterError(PipertError, ValueError):
    """A value that a parameter does not take; nothing was changed."""

    def __init__(self, routine: str, parameter: str, value: object, reason: str) -> None:
        self.routine = routine
        self.parameter = parameter
        self.value = value
        self.reason = reason

    def __str__(self) -> str:
        return f"parameter {self.parameter!r} of {self.routine!r} {self.reason}, not {self.value!r:.200}"


class FlowStartError(PipertError):
    """The process of a flow did not come up."""

    def __init__(self, flow: str, reason: str) -> None:
        self.flow = flow
        self.reason = reason

    def __str__(self) -> str:
        return f"flow {self.flow!r} did not start: {self.reason}"


class EventHandlerError(PipertError):
    """An event's handler raised; *traceback* is its text from the process where it happened."""

    def __init__(self, routine: str, event: str, reason: str, traceback: str = "") -> None:
        self.routine = routine
        self.event = event
        self.reason = reason
        self.traceback = traceback

    def __str__(self) -> str:
        return f"routine {self.routine!r} failed on event {self.event!r}: {self.reason}"


class EventTimeoutError(EventHandlerError):
    """An event was not answered within the time given; it may still be carried out."""


class CallError(PipertError):
    """A routine that was called did not return a result; *traceback* is its text from where that happened."""

    def __init__(self, routine: str, reason: str, traceback: str = "") -> None:
        self.routine = routine
        self.reason = reason
        self.traceback = traceback

    def __str__(self) -> str:
        return f"the call of routine {self.routine!r} failed: {self.reason}"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.routine, self.reason, self.traceback)  # TimeoutError has a way of its own


class CallTimeoutError(CallError, TimeoutError):
    """A routine that was called did not answer within the time given; it may still do what was asked."""


class SharedMemoryFullError(PipertError):
    """There is not enough shared memory for a message. *needed* and *free* are in bytes."""

    def __init__(self, needed: int, free: int, limit: str = "/dev/shm") -> None:
        self.needed = needed
        self.free = free
        self.limit = limit

    def __str__(self) -> str:
        found = (
            f"not enough shared memory: {readable_size(self.needed)} needed, {readable_size(self.free)} free in "
            f"{self.limit}. "
        )
        if self.limit != "/dev/shm":
            return found + "Let go of arrays that this routine has loaned, or hold fewer in the receiving routines"
        return found + (
            "Make it larger (mount -o remount,size=..., docker --shm-size=...), send smaller data, or hold fewer "
            "arrays in the receiving routines"
        )


class UnsendableDataError(PipertError):
    """Something, *kind*, cannot be sent to another process."""

    def __init__(self, kind: str, reason: str) -> None:
        self.kind = kind
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.kind} cannot be sent to another process: {self.reason}"


class UnreadableDataError(PipertError):
    """A message arrived that cannot be turned back into data in the receiving flow."""

    def __init__(self, source: str, reason: str) -> None:
        self.source = source
        self.reason = reason

    def __str__(self) -> str:
        return f"a message from {self.source!r} cannot be read here: {self.reason}"


class ControlError(PipertError):
    """What was asked of a running pipe from outside was not done.

    *code* is one of ``unknown_name``, ``bad_argument``, ``bad_state``, ``no_room``, ``handler_failed``, ``timeout``,
    ``failed``, ``unauthorized``, ``forbidden``, ``too_large``, ``unreachable``, ``internal``; *field* the argument that
    is wrong, *nearest* the known name that looks most like an unknown one, *traceback* where a routine's code failed.
    """

    def __init__(
        self,
        code: str,
        message: str,
        field: str | None = None,
        nearest: str | None = None,
        traceback: str | None = None,
    ) -> None:
        self.code = code
        self.message = message
        self.field = field
        self.nearest = nearest
        self.traceback = traceback

    def __str__(self) -> str:
        return self.message


class ConfigError(PipertError, ValueError):
    """A setting that cannot be used. *where* is the file, variable or call that it stands in, *key* its name (None if
    the whole is wrong), *accepted* what it could be, *nearest* what may have been meant.
    """

    def __init__(self, where: str, key: str | None, value: object, accepted: str, nearest: str | None = None) -> None:
        self.where = where
        self.key = key
        self.value = value
        self.accepted = accepted
        self.nearest = nearest

    def __str__(self) -> str:
        what = f"{self.value}" if self.key is None else f"{self.key!r} is {self.value!r:.200}"
        meant = f"did you mean {self.nearest!r}? " if self.nearest is not None else ""
        return f"{self.where}: {what}; {meant}accepted: {self.accepted}"


class LinkError(PipertError):
    """A link to other hosts cannot be opened; *where* are the endpoints that it was to use."""

    def __init__(self, where: str, reason: str) -> None:
        self.where = where
        self.reason = reason

    def __str__(self) -> str:
        return f"the link over {self.where} cannot be opened: {self.reason}"


class StoreError(PipertError):
    """The store cannot do what it was asked to; what it acknowledged before is kept."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"the store {self.path!r}: {self.reason}"


class CaptureError(PipertError):
    """A capture cannot be read, or written. *offset* is the byte of the file where it is damaged (None if it is not),
    *messages* how many can be read before that.
    """

    def __init__(self, path: str, reason: str, offset: int | None = None, messages: int | None = None) -> None:
        self.path = path
        self.reason = reason
        self.offset = offset
        self.messages = messages

    def __str__(self) -> str:
        where = f", at byte {self.offset}" if self.offset is not None else ""
        before = f"; messages that can be read before it: {self.messages}" if self.messages is not None else ""
        return f"the capture {self.path!r}: {self.reason}{where}{before}"
