"""The control service: every verb once, typed. All faces of a pipe translate to and from this."""

from __future__ import annotations

import os
import platform
import socket
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

import pipert2
from pipert2.control.event_arguments import check_arguments
from pipert2.control.health import health_of
from pipert2.control.json_value import json_value
from pipert2.control.letters import letter_page, letter_reply, requeue_reply, total_of
from pipert2.control.records import (
    CallReply,
    DeadLetterReply,
    DeadLettersReply,
    DropReply,
    EventReply,
    EventStructure,
    FlowReply,
    HandlerReply,
    Health,
    JoinReply,
    LevelReply,
    ParametersReply,
    PreviewReply,
    ReplicasReply,
    RequeueReply,
    SharedParametersReply,
    Structure,
    Version,
    WireReply,
)
from pipert2.control.structure import event_structures, structure_of
from pipert2.control.verbs import Scope, verb, verbs_of
from pipert2.errors import (
    ControlError,
    UnknownDeadLetterError,
    UnknownFlowError,
    UnknownRoutineError,
    UnknownWireError,
)
from pipert2.events.notices import NoticePage
from pipert2.graph.handlers import KILL_EVENT_NAME, START_EVENT_NAME, STOP_EVENT_NAME
from pipert2.graph.routine import RoutineKind
from pipert2.graph.spec import MOST_REPLICAS
from pipert2.graph.transmitter import BasicTransmitter, SharedMemoryTransmitter
from pipert2.graph.wire import Wire
from pipert2.observe.recent_logs import LogPage, LogRecord, RecentLogs
from pipert2.observe.snapshot import PipeState, PipeStatus
from pipert2.pipe import Pipe
from pipert2.runtime.routine.preview import PreviewFrame
from pipert2.runtime.routine.shown import Sketches

API_VERSION = 1
LONGEST_WAIT = 3600.0

RoutineName = Annotated[str, Field(min_length=1, max_length=200, description="A routine's name.")]
FlowName = Annotated[str, Field(min_length=1, max_length=200, description="A flow's name.")]
Wait = Annotated[
    float | None,
    Field(ge=0, le=LONGEST_WAIT, description="Seconds to wait for what the handlers return; none: do not wait."),
]
LetterNumber = Annotated[int, Field(ge=1, lt=1 << 50, description="A dead letter's number.")]
LetterWait = Annotated[
    float, Field(ge=0, le=LONGEST_WAIT, description="Seconds that it may take, all of them together if there are more.")
]
Side = Annotated[Literal["input", "output"], Field(description="What the routine gets, or what it returns.")]
Level = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
    BeforeValidator(lambda level: level.upper() if isinstance(level, str) else level),
    Field(description="The least level that counts, in any case."),
]


class ControlService:
    """Drives one pipe for somebody outside. Safe to use from any thread. Closes twice without complaint.

    Args:
        pipe: the pipe, built or not.
    """

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe
        self.started = time.time()
        self._logs = RecentLogs(pipe.logger, pipe.log_listeners, lambda: pipe.flow_names)

    def close(self) -> None:
        """Stop listening to the pipe's log."""
        self._logs.close()

    def __enter__(self) -> ControlService:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- life

    @verb(Scope.CONTROL)
    def start(self, flow: FlowName | None = None, routine: RoutineName | None = None, wait: Wait = None) -> EventReply:
        """Start the pipe, a flow or a routine. What runs already goes on."""
        return self._event(START_EVENT_NAME, flow, routine, {}, wait)

    @verb(Scope.CONTROL)
    def stop(self, flow: FlowName | None = None, routine: RoutineName | None = None, wait: Wait = None) -> EventReply:
        """Stop (pause) the pipe, a flow or a routine after the message in hand; it can be started again."""
        return self._event(STOP_EVENT_NAME, flow, routine, {}, wait)

    @verb(Scope.CONTROL)
    def kill(self, flow: FlowName | None = None, routine: RoutineName | None = None, wait: Wait = None) -> EventReply:
        """End the pipe, a flow or a routine for good."""
        return self._event(KILL_EVENT_NAME, flow, routine, {}, wait)

    @verb(Scope.CONTROL)
    def join(
        self,
        to_kill: Annotated[bool, Field(description="Kill the pipe first.")] = False,
        timeout: Annotated[float | None, Field(ge=0, le=LONGEST_WAIT, description="Seconds to wait at most.")] = None,
    ) -> JoinReply:
        """Wait until the pipe has been killed, or all its streams have ended; then end its processes."""
        if not to_kill and self.pipe.status().state is PipeState.NEW:
            raise ControlError("bad_state", f"pipe {self.pipe.name!r} was not started yet: there is no end to wait for")
        return JoinReply(self.pipe.join(to_kill, timeout))

    @verb(Scope.CONTROL)
    def restart_flow(self, flow: FlowName) -> FlowReply:
        """End a flow's process and start it anew, with its routines in the state they were asked to be in."""
        return FlowReply(flow, self.pipe.restart_flow(flow))

    @verb(Scope.CONTROL)
    def set_replicas(
        self, flow: FlowName, replicas: Annotated[int, Field(ge=1, le=MOST_REPLICAS, description="How many.")]
    ) -> ReplicasReply:
        """Change how many processes of a flow compete for its input; those that go end the message in hand."""
        self.pipe.set_replicas(flow, replicas)
        return ReplicasReply(flow, replicas)

    # --- events

    @verb(Scope.CONTROL)
    def event(
        self,
        name: Annotated[str, Field(min_length=1, max_length=200, description="The event's name.")],
        flow: FlowName | None = None,
        routine: RoutineName | None = None,
        params: Annotated[dict[str, Any] | None, Field(description="The handlers' keyword arguments.")] = None,
        wait: Wait = None,
    ) -> EventReply:
        """Send an event to the pipe, a flow or a routine, and return what the handlers returned if *wait* is given."""
        return self._event(name, flow, routine, params or {}, wait)

    def _event(
        self, name: str, flow: str | None, routine: str | None, params: dict[str, Any], wait: float | None
    ) -> EventReply:
        targets = self._targets(flow, routine)
        if name in (STOP_EVENT_NAME, KILL_EVENT_NAME) and self.pipe.status().state is PipeState.NEW:
            return EventReply(name, ())  # nothing runs, and it need not be built to be ended
        routines = tuple(self.pipe.receivers_of(name, targets))
        check_arguments(name, params, [self.pipe.routine(receiver) for receiver in routines])
        results = self.pipe.notify_event(name, targets, wait=wait, **params)
        if results is None:
            return EventReply(name, routines)
        replies = {
            receiver: HandlerReply(result.value)
            if result.error is None
            else HandlerReply(None, result.error.reason, result.error.traceback or None)
            for receiver, result in results.items()
        }
        return EventReply(name, routines, replies, all(reply.error is None for reply in replies.values()))

    def _targets(self, flow: str | None, routine: str | None) -> dict[str, list[str]] | None:
        if routine is None:
            return None if flow is None else {flow: []}
        return {flow if flow is not None else self._flow_of(routine): [routine]}

    def _flow_of(self, routine: str) -> str:
        flows = self.pipe.flow_names
        if routine not in flows:
            raise UnknownRoutineError(routine, tuple(flows), f"pipe {self.pipe.name!r}")
        return flows[routine]

    # --- calls

    @verb(Scope.CONTROL)
    def call(
        self,
        routine: RoutineName,
        data: Annotated[Any, Field(description="What its main_logic gets; none: null.")] = None,
        timeout: Annotated[float, Field(gt=0, le=LONGEST_WAIT, description="Seconds to wait for the result.")] = 30.0,
    ) -> CallReply:
        """Let a routine work on data, and return what its main_logic returns. One of its replicas does it."""
        if self.pipe.routine(routine).kind is RoutineKind.SOURCE:
            raise ControlError("bad_argument", f"routine {routine!r} is a source, which is given nothing", "routine")
        value, lost = json_value(self.pipe.call(routine, data, timeout=timeout))
        return CallReply(routine, value, lost)

    # --- looking

    @verb(Scope.READ)
    def status(self) -> PipeStatus:
        """A snapshot: routines, wires and flows with states, rates, latencies, drops and errors."""
        return self.pipe.status()

    @verb(Scope.READ)
    def structure(self) -> Structure:
        """What the pipe is made of: flows, routines with their events and parameters, wires."""
        return structure_of(self.pipe)

    @verb(Scope.READ)
    def events(self, routine: RoutineName | None = None) -> dict[str, tuple[EventStructure, ...]]:
        """The events that each routine handles, with their arguments."""
        found = event_structures(self.pipe)
        if routine is None:
            return dict(found)
        self._flow_of(routine)
        return {routine: found[routine]}

    @verb(Scope.READ)
    def logs(
        self,
        after: Annotated[int, Field(ge=0, description="Only records with a higher number.")] = 0,
        limit: Annotated[int, Field(ge=1, le=10_000, description="How many at most.")] = 200,
        level: Level | None = None,
        flow: FlowName | None = None,
        routine: RoutineName | None = None,
        text: Annotated[str | None, Field(max_length=200, description="A part of the message, any case.")] = None,
    ) -> LogPage:
        """Recent log records, the newest *limit* of those that fit, or the first ones after *after*."""
        self.check_origin(flow, routine)
        return self._logs.page(after, limit, level, flow, routine, text)

    def follow_logs(
        self,
        after: int | None = None,
        level: str | None = None,
        flow: str | None = None,
        routine: str | None = None,
        text: str | None = None,
        patience: float = 1.0,
    ) -> Iterator[LogRecord | None]:
        """Log records as they come, None after each *patience* seconds without one; ends when the service is closed.

        Args:
            after: begin behind this record's number; None: with what comes from now on.
        """
        self.check_origin(flow, routine)
        return self._logs.follow(after, level, flow, routine, text, patience)

    def check_origin(self, flow: str | None, routine: str | None) -> None:
        """That records can come from this flow and this routine.

        Raises:
            UnknownFlowError, UnknownRoutineError: the pipe has none of this name; waiting for its records is in vain.
        """
        flows = dict.fromkeys(self.pipe.flow_names.values())
        if flow is not None and flow not in flows:
            raise UnknownFlowError(flow, tuple(flows), f"pipe {self.pipe.name!r}")
        if routine is not None:
            self._flow_of(routine)

    @property
    def recent_logs(self) -> RecentLogs:
        """The log's records, for faces that follow them in a way of their own."""
        return self._logs

    @verb(Scope.READ)
    def version(self) -> Version:
        """Which pipe this is, and which program it runs in."""
        return Version(
            pipert2=pipert2.__version__,
            api=API_VERSION,
            python=platform.python_version(),
            pipe=self.pipe.name,
            pid=os.getpid(),
            host=socket.gethostname(),
            started=self.started,
        )

    @verb(Scope.READ)
    def health(self) -> Health:
        """Whether all is well, and each problem in a sentence."""
        return health_of(self.pipe.status())

    # --- parameters

    @verb(Scope.READ)
    def parameters(self, routine: RoutineName | None = None) -> ParametersReply:
        """The parameters of one or all routines: values, limits, history."""
        if routine is not None:
            self._flow_of(routine)
            return ParametersReply({routine: self.pipe.parameters(routine)})
        every = {name: self.pipe.parameters(name) for name in self.pipe.flow_names}
        found = {name: parameters for name, parameters in every.items() if parameters}
        return ParametersReply(found, self.shared_parameters())

    @verb(Scope.CONTROL)
    def set_parameters(
        self,
        routine: RoutineName,
        values: Annotated[dict[str, Any], Field(min_length=1, description="New values by parameter.")],
        wait: Annotated[float, Field(ge=0, le=LONGEST_WAIT, description="Seconds for the message in hand.")] = 5.0,
    ) -> ParametersReply:
        """Set parameters of a routine, all of them between the same two messages, or none if one is wrong."""
        self._flow_of(routine)
        self.pipe.set_parameters(routine, values, wait=wait)
        return ParametersReply({routine: self.pipe.parameters(routine)})

    @verb(Scope.READ)
    def shared_parameters(self) -> SharedParametersReply:
        """The parameters of the pipe as a whole: those that were given, and those that it still waits for."""
        values = self.pipe.shared_parameters
        missing = tuple(name for name in self.pipe.requires if name not in values)
        return SharedParametersReply({str(name): json_value(value)[0] for name, value in values.items()}, missing)

    @verb(Scope.CONTROL)
    def set_shared_parameters(
        self, values: Annotated[dict[str, Any], Field(min_length=1, description="Values by name.")]
    ) -> SharedParametersReply:
        """Set parameters of the pipe as a whole, which all its routines find; what waits for them starts."""
        self.pipe.set_parameters(values=values)
        return self.shared_parameters()

    # --- what has happened

    @verb(Scope.READ)
    def notices(
        self,
        after: Annotated[int, Field(ge=0, lt=1 << 60, description="The 'last' of an earlier answer.")] = 0,
        limit: Annotated[int, Field(ge=1, le=10_000, description="How many at most.")] = 1000,
        wait: Annotated[float, Field(ge=0.0, le=30.0, description="Seconds to wait for one if there is none.")] = 0.0,
    ) -> NoticePage:
        """What has happened: runs of triggers and those that failed, dead letters, restarts, flows that finished."""
        return self.pipe.notices(after, limit=limit, wait=wait)

    # --- dead letters

    @verb(Scope.READ)
    def dead_letters(
        self,
        routine: RoutineName | None = None,
        after: Annotated[int, Field(ge=0, lt=1 << 50, description="Only letters with a higher number.")] = 0,
        limit: Annotated[int, Field(ge=1, le=1000, description="How many at most.")] = 100,
    ) -> DeadLettersReply:
        """Messages that were given up after all their attempts, of a routine or of all, oldest first."""
        self._check_letters_of(routine)
        return DeadLettersReply(total_of(self.pipe, routine), letter_page(self.pipe, routine, after, limit))

    @verb(Scope.READ)
    def dead_letter(self, number: LetterNumber) -> DeadLetterReply:
        """One message that was given up."""
        for found in self.pipe.dead_letters(after=number - 1, limit=1):
            if found.number == number:
                return letter_reply(found)
        known = [str(one.number) for one in self.pipe.dead_letters(limit=100)]
        raise UnknownDeadLetterError(str(number), known, f"pipe {self.pipe.name!r}")

    @verb(Scope.CONTROL)
    def requeue_dead_letter(self, number: LetterNumber, wait: LetterWait = 30.0) -> RequeueReply:
        """Give a message that was given up to its routine again; if it fails again it is kept as it was."""
        self.pipe.requeue_dead_letter(number, wait=wait)
        return RequeueReply(1)

    @verb(Scope.CONTROL)
    def requeue_dead_letters(self, routine: RoutineName | None = None, wait: LetterWait = 30.0) -> RequeueReply:
        """Give all messages that were given up, or those of a routine, to their routines again, one after the other."""
        self._check_letters_of(routine)
        return requeue_reply(self.pipe.requeue_dead_letters(routine, wait=wait))

    @verb(Scope.CONTROL)
    def drop_dead_letter(self, number: LetterNumber) -> DropReply:
        """Forget a message that was given up."""
        self.pipe.drop_dead_letter(number)
        return DropReply(1)

    @verb(Scope.CONTROL)
    def drop_dead_letters(self, routine: RoutineName | None = None) -> DropReply:
        """Forget all messages that were given up, or those of a routine."""
        self._check_letters_of(routine)
        return DropReply(len(self.pipe.drop_dead_letters(routine)))

    def _check_letters_of(self, routine: str | None) -> None:
        """A routine that there is not may still have letters that an earlier run left."""
        if routine is None or routine in self.pipe.flow_names:
            return
        if not self.pipe.dead_letters(routine, limit=1):
            self._flow_of(routine)  # which says that there is none

    # --- wiring

    @verb(Scope.CONTROL)
    def link(
        self,
        source: RoutineName,
        destination: RoutineName,
        lossless: Annotated[bool | None, Field(description="The delivery rule; none: the pipe's own.")] = None,
        capacity: Annotated[int | None, Field(ge=1, le=65536, description="Messages that may wait.")] = None,
        transmitter: Annotated[
            Literal["basic", "shared_memory"] | None, Field(description="How data is placed; none: the pipe's own.")
        ] = None,
    ) -> WireReply:
        """Add a wire, also while the pipe runs. One that is there already stays as it is."""
        made = {None: None, "basic": BasicTransmitter(), "shared_memory": SharedMemoryTransmitter()}[transmitter]
        ends = self.pipe.routine(source), self.pipe.routine(destination)
        if any((wire.source, *wire.destinations) == ends for wire in self.pipe.wires):
            return WireReply(source, destination, linked=True, changed=False)
        self.pipe.link(Wire(ends[0], ends[1], made, lossless=lossless, capacity=capacity))
        return WireReply(source, destination, linked=True, changed=True)

    @verb(Scope.CONTROL)
    def unlink(self, source: RoutineName, destination: RoutineName) -> WireReply:
        """Take a wire away, also while the pipe runs. What waits on it is still delivered."""
        for routine in (source, destination):
            self._flow_of(routine)
        try:
            self.pipe.unlink(source, destination)
        except UnknownWireError:
            return WireReply(source, destination, linked=False, changed=False)
        return WireReply(source, destination, linked=False, changed=True)

    # --- looking closer

    @verb(Scope.CONTROL)
    def log_level(self, routine: RoutineName, level: Level) -> LevelReply:
        """Set from which level on a routine's log records are kept."""
        self._flow_of(routine)
        self.pipe.set_log_level(routine, level)
        return LevelReply(routine, level)

    @verb(Scope.CONTROL)
    def preview(
        self,
        routine: RoutineName,
        side: Side = "output",
        on: Annotated[bool, Field(description="Begin or end.")] = True,
        rate: Annotated[float, Field(gt=0, le=30, description="Frames per second at most.")] = 5.0,
        size: Annotated[int, Field(ge=16, le=1920, description="Pixels of the longer side at most.")] = 480,
    ) -> PreviewReply:
        """Begin or end to keep small pictures of the frames that a routine gets or returns."""
        self._flow_of(routine)
        self.pipe.preview(routine, side, on=on, rate=rate, size=size)
        return PreviewReply(routine, side, on)

    @verb(Scope.READ)
    def frame(self, routine: RoutineName, side: Side = "output") -> PreviewFrame:
        """The newest picture of a routine's frames; its preview must be on."""
        self._flow_of(routine)
        found = self.pipe.preview_frame(routine, side)
        if found is None:
            raise ControlError("bad_state", f"there is no picture of the {side} of {routine!r}: is its preview on?")
        return found

    @verb(Scope.READ)
    def results(
        self,
        routine: RoutineName,
        after: Annotated[
            int, Field(ge=0, lt=1 << 60, description="The 'last' of an earlier answer, for what is newer; 0: all.")
        ] = 0,
    ) -> Sketches:
        """What a routine shows of its results: numbers with their last minute, curves, images."""
        self._flow_of(routine)
        return self.pipe.results(routine, after)


VERBS = verbs_of(ControlService)
"""All verbs, by name."""
