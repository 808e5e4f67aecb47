"""What the control service's verbs reply: plain frozen records, fit for JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipert2.observe.snapshot import ParameterStatus


@dataclass(frozen=True, slots=True)
class HandlerReply:
    """What one routine made of an event: *value*, or *error* (and its *traceback*) if its handler raised."""

    value: Any = None
    error: str | None = None
    traceback: str | None = None


@dataclass(frozen=True, slots=True)
class EventReply:
    """An event was sent.

    Attributes:
        event: its name.
        routines: the routines it went to.
        results: by routine what its handler made of it; None if they were not waited for.
        ok: False if a handler that was waited for raised or did not answer in time.
    """

    event: str
    routines: tuple[str, ...]
    results: dict[str, HandlerReply] | None = None
    ok: bool = True


@dataclass(frozen=True, slots=True)
class JoinReply:
    """Whether the pipe has *ended*; False: the time was over first."""

    ended: bool


@dataclass(frozen=True, slots=True)
class WireReply:
    """A wire that is there now, or is not any more; *changed* is False if that was so before."""

    source: str
    destination: str
    linked: bool
    changed: bool


@dataclass(frozen=True, slots=True)
class ParametersReply:
    """The parameters of routines that have any, by routine; *shared*: those of the pipe, if all were asked for."""

    routines: dict[str, tuple[ParameterStatus, ...]]
    shared: SharedParametersReply | None = None


@dataclass(frozen=True, slots=True)
class SharedParametersReply:
    """The parameters of the pipe as a whole.

    Attributes:
        values: those that were given, by name.
        missing: the names of those that the pipe requires and was not given yet: no routine starts before.
    """

    values: dict[str, Any]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CallReply:
    """What a routine that was called returned.

    Attributes:
        routine: which.
        value: in JSON's types.
        lost: where JSON cannot say what it returned, and what stands in its place; empty if nothing was lost.
    """

    routine: str
    value: Any
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplicasReply:
    """A flow has so many *replicas* from now on; those that go end the message in hand."""

    flow: str
    replicas: int


@dataclass(frozen=True, slots=True)
class LevelReply:
    """From which level on a routine's log records are kept, such as ``"INFO"``."""

    routine: str
    level: str


@dataclass(frozen=True, slots=True)
class PreviewReply:
    """Whether frames of a routine's *side* (``"input"`` or ``"output"``) are kept for looking at."""

    routine: str
    side: str
    on: bool


@dataclass(frozen=True, slots=True)
class FlowReply:
    """A flow is being restarted; *restarts* is how often it was before."""

    flow: str
    restarts: int


@dataclass(frozen=True, slots=True)
class DeadLetterReply:
    """A message that was given up.

    Attributes:
        number: names it.
        routine: which could not do it. reason, traceback: why. attempts: how often it was tried.
        time: when it was given up (seconds since the epoch).
        earlier: an earlier run of the pipe left it in the pipe's store.
        data: a sketch of the message's data, of limited size: what is large or no JSON is described in ``<...>``.
    """

    number: int
    routine: str
    reason: str
    traceback: str
    attempts: int
    time: float
    earlier: bool
    data: Any


@dataclass(frozen=True, slots=True)
class DeadLettersReply:
    """A page of dead letters, oldest first; *total* is how many there are of the routine, or of all."""

    total: int
    letters: tuple[DeadLetterReply, ...]


@dataclass(frozen=True, slots=True)
class DeadLetterFailure:
    """Why a dead letter could not be done this time either; it is kept."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class RequeueReply:
    """Dead letters were given to their routines again.

    Attributes:
        requeued: how many were worked on, and are dead letters no more.
        failed: those that could not be done this time either.
        left: how many were not tried: the time was over, or too many failed.
        ok: whether all were worked on.
    """

    requeued: int
    failed: tuple[DeadLetterFailure, ...] = ()
    left: int = 0
    ok: bool = True


@dataclass(frozen=True, slots=True)
class DropReply:
    """How many dead letters were forgotten."""

    dropped: int


@dataclass(frozen=True, slots=True)
class ArgumentStructure:
    """An argument of an event's handler. *type* is its hint as it is written, None without one."""

    name: str
    type: str | None
    required: bool
    default: Any = None


@dataclass(frozen=True, slots=True)
class EventStructure:
    """An event that a routine handles."""

    name: str
    help: str
    arguments: tuple[ArgumentStructure, ...]


@dataclass(frozen=True, slots=True)
class RoutineStructure:
    """A routine: *kind* is ``"source"``, ``"middle"``, ``"destination"`` or ``"any"``, *type* its class.

    *service*: it is there to be called, and needs no wires.
    """

    name: str
    flow: str
    kind: str
    type: str
    help: str
    events: tuple[EventStructure, ...]
    parameters: tuple[ParameterStatus, ...]
    log_level: str
    service: bool = False


@dataclass(frozen=True, slots=True)
class WireStructure:
    """One source to one destination; *where* names what chooses what travels on it, *feedback*: it leads back."""

    source: str
    destination: str
    lossless: bool
    capacity: int | None
    transmitter: str | None
    where: str | None = None
    feedback: bool = False


@dataclass(frozen=True, slots=True)
class Structure:
    """What a pipe is made of; *version* grows with each change of its wires.

    Attributes:
        replicas: of flows that were made with replicas, how many they have now.
        depends_on: of flows that wait for others, which.
        requires: parameters of the pipe as a whole without which no routine starts.
    """

    name: str
    version: int
    flows: tuple[str, ...]
    routines: tuple[RoutineStructure, ...]
    wires: tuple[WireStructure, ...]
    events: tuple[str, ...]
    replicas: dict[str, int] = field(default_factory=dict)
    depends_on: dict[str, tuple[str, ...]] = field(default_factory=dict)
    requires: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Health:
    """Whether all is well, and if not, each problem in a sentence.

    Attributes:
        ok: no problem.
        ready: the pipe is built and its flows are up.
        state: the pipe's state.
        problems: what needs somebody now: failed routines, flows that restart, ...
    """

    ok: bool
    ready: bool
    state: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Version:
    """Who is speaking: *api* is the version of the control API, *pid* the pipe's main process."""

    pipert2: str
    api: int
    python: str
    pipe: str
    pid: int
    host: str
    started: float
