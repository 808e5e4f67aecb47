"""What the main process and a flow say to each other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipert2.errors import PipertError, SharedMemoryFullError, UnsendableDataError
from pipert2.events.bus import EventResult
from pipert2.graph.routine import Routine
from pipert2.graph.spec import PipeSpec
from pipert2.runtime.clock import Clock, SystemClock
from pipert2.runtime.configuration.routines import Configured
from pipert2.store import Store
from pipert2.transport.board import RoutineState
from pipert2.transport.codec import dumps_plain, loads


@dataclass(frozen=True, slots=True)
class Packed:
    """A user's value as a pickle of its own, opened only where it is needed and can be complained about."""

    data: bytes

    @staticmethod
    def parameters(event: str, params: Any) -> Packed:
        """The parameters of an event; UnsendableDataError names the event."""
        try:
            return Packed(dumps_plain(params))
        except UnsendableDataError as error:
            raise UnsendableDataError(f"a parameter of event {event!r}", error.reason) from error

    def open(self) -> Any:
        """The value; raises whatever unpickling it raises."""
        return loads(self.data)


@dataclass(frozen=True, slots=True)
class Launch:
    """All that a flow's process needs: the pipe's description, its own routines, where the shared memory is."""

    spec: PipeSpec
    flow: str
    prefix: str
    routines: tuple[Routine, ...]
    segments: tuple[int, ...]
    logger: str
    level: int
    main_classes: dict[str, type]
    store: Store | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    configured: tuple[Configured, ...] = ()
    clock: Clock = field(default_factory=SystemClock)


# --- from the main process to a flow; EventCall too


@dataclass(frozen=True, slots=True)
class EventReply:
    """The results of an event that a routine of the flow waits for."""

    request: int
    answer: dict[str, EventResult]


@dataclass(frozen=True, slots=True)
class SegmentReply:
    """The segment a pool asked for, or why there is none."""

    request: int
    answer: int | SharedMemoryFullError


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What came of a call: a *value*, or an *error*."""

    value: Packed | None
    error: PipertError | None = None

    def unwrap(self) -> Any:
        """The value.

        Raises:
            PipertError: there is none.
        """
        if self.error is not None:
            raise self.error
        return None if self.value is None else self.value.open()


@dataclass(frozen=True, slots=True)
class CallReply:
    """What came of a call that a routine of the flow has made."""

    request: int
    answer: CallOutcome


@dataclass(frozen=True, slots=True)
class OutwardReply:
    """What came of an :class:`OutwardRequest`."""

    request: int
    answer: CallOutcome


@dataclass(frozen=True, slots=True)
class Receipt:
    """The main process has kept what it was given."""

    request: int
    answer: bool = True


@dataclass(frozen=True, slots=True)
class Shared:
    """The parameters of the pipe as a whole are these from now on."""

    values: Packed


@dataclass(frozen=True, slots=True)
class Exit:
    """End: stop all routines, clean up within *grace* seconds, leave; *again*: another process goes on with them."""

    grace: float
    again: bool = False


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was given up.

    Attributes:
        routine: the index of the routine that could not do it.
        data: what the routine got, as it can be sent there again; None: it could not be read.
        reason, traceback: why the last attempt failed.
        attempts: how many there were.
        origin: source and sequence, see :func:`pipert2.transport.envelope.origin_of`.
    """

    routine: int
    data: Packed | None
    reason: str
    traceback: str
    attempts: int
    origin: int


# --- from a flow to the main process


@dataclass(frozen=True, slots=True)
class Ready:
    """The flow is up; its routines are idle."""


@dataclass(frozen=True, slots=True)
class Died:
    """The flow could not come up."""

    reason: str
    traceback: str


@dataclass(frozen=True, slots=True)
class EventRequest:
    """A routine sends an event; *request* is 0 if it does not wait for the results."""

    request: int
    name: str
    routines: tuple[int, ...]
    params: Any
    wait: float


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A routine calls another, by the index of its first replica."""

    request: int
    routine: int
    data: Packed
    timeout: float


@dataclass(frozen=True, slots=True)
class OutwardRequest:
    """A routine wants something of a pipe of which only a part is here; *request* is 0 if it does not wait for it.

    Attributes:
        verb: ``"event"``, ``"call"``, ``"store"`` or ``"letter"``.
        arguments: the verb's, a tuple.
    """

    request: int
    verb: str
    arguments: Packed


@dataclass(frozen=True, slots=True)
class EventAnswer:
    """What a routine's handler returned, or the reason and traceback of its failure."""

    number: int
    routine: int
    value: Any = None
    error: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class DeadLetterRequest:
    """A message is given up; it is over when the main process has kept it."""

    request: int
    letter: DeadLetter


@dataclass(frozen=True, slots=True)
class SegmentRequest:
    """A pool needs *slots* more slots of *slot_size* bytes."""

    request: int
    owner: int
    slot_size: int
    slots: int


@dataclass(frozen=True, slots=True)
class StateChange:
    """A routine is in another state; *reason* says why it failed."""

    routine: int
    state: RoutineState
    finished: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Announcement:
    """Something has happened that everybody may want to hear of; *values* are plain data."""

    name: str
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ParameterSet:
    """A parameter of a routine has another value."""

    routine: int
    name: str
    value: Any


@dataclass(frozen=True, slots=True)
class ConfigurationChanged:
    """Settings of a routine have other values."""

    routine: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LogRecords:
    """Log records of the flow, and how many were dropped before them."""

    records: tuple[logging.LogRecord, ...]
    dropped: int = 0


Send = Callable[[Any], None]
