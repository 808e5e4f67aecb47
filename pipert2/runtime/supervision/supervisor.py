"""The supervisor: starts the flows of a pipe, keeps them alive, carries their messages, and ends them."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing.connection
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic, monotonic_ns
from typing import Any

from pipert2.errors import FlowStartError, PipeBuildError, PipeStateError, SharedMemoryFullError
from pipert2.events.bus import EventBus, EventCall
from pipert2.graph.handlers import KILL_EVENT_NAME, START_EVENT_NAME, STOP_EVENT_NAME, UNLINK_EVENT_NAME
from pipert2.graph.routine import Routine
from pipert2.graph.spec import PipeSpec
from pipert2.runtime import commands
from pipert2.runtime import messages as m
from pipert2.runtime.configuration.live import LiveConfigurations
from pipert2.runtime.flow.handover import classes_of_main, start_context, untransferable
from pipert2.runtime.flow.logs import FORWARDED_ATTRIBUTE
from pipert2.runtime.routine.preview import PreviewFrame
from pipert2.runtime.routine.shown import Sketches, merged
from pipert2.runtime.settings import Settings
from pipert2.runtime.supervision.calls import Calls
from pipert2.runtime.supervision.dead_letters import DeadLetters, dead_letter_of
from pipert2.runtime.supervision.flow_handle import InlineFlow, ProcessFlow
from pipert2.runtime.supervision.flow_record import FlowRecord
from pipert2.runtime.supervision.gates import Gates
from pipert2.runtime.supervision.live_parameters import LiveParameters
from pipert2.runtime.supervision.pipe_memory import PipeMemory
from pipert2.runtime.supervision.progress import PipeProgress
from pipert2.runtime.supervision.stopping import Stopping
from pipert2.transport import board as b
from pipert2.transport.board import RoutineState
from pipert2.transport.codec import loads
from pipert2.transport.work_queue import WorkQueue

START_TIMEOUT = 60.0
"""Seconds that the processes of all flows may take to come up."""
LADDER_STEP = 0.5
"""Seconds from a polite request that was not followed to SIGTERM, and from there to SIGKILL."""
TICK = 1.0
ACKNOWLEDGEMENT_LOOK = 0.02
"""Seconds between two looks at what a flow that has ended still waits for, while others wait for it."""


@dataclass(slots=True)
class _Tick:
    function: Callable[[], None]
    interval: float
    due: float


class Supervisor:
    """Runs the flows of one pipe. Safe to use from any thread.

    Args:
        spec: the pipe's description.
        routines: the user's objects, by index.
        settings: how to run it.
        logger: the pipe's logger.
        log_listeners: called with each record that a flow's process sends, those that are there at that time.
        unlinked: told of each wire that an event takes away, by the names of its ends.
        configurations: the routines' settings.

    Raises:
        SharedMemoryFullError: there is no room for the wires.
    """

    def __init__(
        self,
        spec: PipeSpec,
        routines: Sequence[Routine],
        settings: Settings,
        logger: logging.Logger,
        log_listeners: Sequence[Callable[[logging.LogRecord], None]] = (),
        unlinked: Callable[[str, str], None] = lambda source, destination: None,
        configurations: LiveConfigurations | None = None,
    ) -> None:
        self.spec = spec
        self.settings = settings
        self.bus = EventBus(spec, self._deliver, self.is_present)
        self.flows = {name: FlowRecord(name, indices) for name, indices in spec.flows.items()}
        self.changed = threading.Condition()
        self._routines = tuple(routines)
        self._logger = logger
        self._lock = threading.RLock()
        self._wanted: set[int] = set()
        self._killed: set[int] = set()
        self._log_listeners = log_listeners
        self._unlinked = unlinked
        self.configurations = configurations or LiveConfigurations((), {}, logger, has_store=False)
        self.shut: set[int] = set()  # edges that were taken away, whether their source knows it yet or not
        self.dead_letters = DeadLetters(self)
        self.calls = Calls(self)
        self.progress = PipeProgress(self)
        self.stopping = Stopping(self, settings.drain_timeout)
        self.gates = Gates(spec.depends_on, settings.requires)
        self.shared: dict[str, Any] = {}
        self.previews: dict[tuple[str, str], PreviewFrame] = {}
        self._parameters = [LiveParameters(routine) for routine in self._routines]
        self._standing: dict[tuple[int, str, str], dict[str, Any]] = {}
        self._states: dict[int, RoutineState] = dict.fromkeys(range(len(spec.routines)), RoutineState.IDLE)
        self._ticks: list[_Tick] = []
        self._context = None if settings.inline else start_context(settings.start_method)
        self.memory = PipeMemory(spec, settings.inline)
        self.board = self.memory.board
        self._main_classes: dict[str, type] = {}
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_writer, False)
        self._closing = False
        self._closed = False
        self._all_closed = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="pipert2-supervisor", daemon=True)

    # --- coming up

    def start(self) -> None:
        """Start all flows and wait until they are up.

        Raises:
            PipeBuildError: a routine cannot be handed to a process.
            FlowStartError: a process did not come up.
        """
        try:
            self._main_classes = {} if self.settings.inline else classes_of_main()
            if self.settings.store is not None:
                self.settings.store.listen(self._records_written)
            for flow in self.flows.values():
                if self._replica(flow) < self.settings.replicas.get(self._logical(flow), 1):
                    self._launch(flow)
                else:
                    flow.dormant = flow.ended = True
                    self._put_to_sleep(flow)
            self._thread.start()
            self._await_ready()
        except BaseException:
            self.close()
            raise

    def _launch(self, flow: FlowRecord) -> None:
        launch = m.Launch(
            spec=self.spec,
            flow=flow.name,
            prefix=self.memory.run.prefix if self.memory.run is not None else "",
            routines=tuple(self._routines[index] for index in flow.routines),
            segments=self.memory.segments_of(flow.routines),
            logger=self._logger.name,
            level=self._logger.getEffectiveLevel(),
            main_classes=self._main_classes,
            store=self.settings.store,
            parameters=dict(self.shared),
            configured=self.configurations.of_all(self.spec.routines[index].name for index in flow.routines),
            clock=self.settings.clock,
        )
        if self._context is None:
            flow.handle = InlineFlow(launch, self.memory.arena, lambda message: self._receive(flow, message))
        else:
            flow.handle = ProcessFlow(launch, self._context)
        try:
            flow.handle.start()
        except Exception as error:
            flow.handle = None
            raise PipeBuildError(untransferable(launch.routines) or [f"flow {flow.name!r}: {error}"]) from error
        if self.memory.run is not None and flow.handle.pid is not None:
            self.memory.run.add_process(flow.handle.pid)

    def _logical(self, flow: FlowRecord) -> str:
        """The name that a flow's replicas have in common."""
        return self.spec.routines[flow.routines[0]].flow

    def _replica(self, flow: FlowRecord) -> int:
        return self.spec.routines[flow.routines[0]].replica

    def is_present(self, routine: int) -> bool:
        """Whether there is a routine: it may belong to a replica that there could be."""
        return not self.flows[self.spec.routines[routine].process].dormant

    def _put_to_sleep(self, flow: FlowRecord) -> None:
        self._killed.update(flow.routines)
        self._wanted.difference_update(flow.routines)
        for index in flow.routines:
            self._states[index] = RoutineState.KILLED
        self.memory.end_streams(flow.routines, RoutineState.KILLED)

    def set_replicas(self, name: str, count: int) -> None:
        """Change how many processes of a flow there are; those that go end the message in hand.

        Raises:
            PipeStateError: the flow was given no replicas when it was made, or not room for so many.
        """
        with self._lock:
            records = [flow for flow in self.flows.values() if self._logical(flow) == name]
            if self.settings.inline:
                raise PipeStateError(f"flow {name!r} runs inline, where the number of replicas stays as it was built")
            if name not in self.settings.replicas:
                raise PipeStateError(
                    f"flow {name!r} has no replicas: make it with create_flow({name!r}, ..., replicas=1) to change that"
                )
            if not 1 <= count <= len(records):
                raise PipeStateError(
                    f"flow {name!r} may have 1 to {len(records)} replicas, which was settled when it was built with "
                    f"{self.settings.replicas[name]}; not {count}"
                )
            for flow in records:
                if self._replica(flow) >= count and not flow.dormant:
                    flow.dormant = True
                    self._killed.update(flow.routines)
                    self._wanted.difference_update(flow.routines)
                    self._end_flow(flow)
                elif self._replica(flow) < count and flow.dormant:
                    if not flow.ended:
                        raise PipeStateError(f"flow {flow.name!r} is still ending: try again in a moment")
                    self._wake_up(flow, records[0])
        self._wake()

    def _wake_up(self, flow: FlowRecord, first: FlowRecord) -> None:
        """Let a replica that there could be come into being, as its flow's first one is."""
        flow.dormant = flow.ended = flow.exiting = flow.given_up = False
        flow.revived = True
        flow.restarts = -1
        flow.last_exit = None
        flow.deaths.clear()
        self._killed.difference_update(flow.routines)
        self._wanted.update(
            index for index, base in zip(flow.routines, first.routines, strict=True) if base in self._wanted
        )
        self.memory.revive(flow.routines)
        for index in flow.routines:
            self._set_state(index, RoutineState.IDLE)
        flow.restart_at = monotonic()

    def _await_ready(self) -> None:
        deadline = monotonic() + START_TIMEOUT
        with self.changed:
            while not all(flow.ready or flow.dormant for flow in self.flows.values()):
                for flow in self.flows.values():
                    if flow.dormant:
                        continue
                    if flow.boot_failure is not None:
                        reason = flow.boot_failure.reason
                        self._logger.debug("%s", flow.boot_failure.traceback)
                        raise FlowStartError(flow.name, reason)
                    if flow.ended:
                        raise FlowStartError(flow.name, f"its process ended ({flow.last_exit})")
                if not self.changed.wait(deadline - monotonic()) and monotonic() > deadline:
                    late = next(flow.name for flow in self.flows.values() if not flow.ready and not flow.dormant)
                    raise FlowStartError(late, f"its process was not up after {START_TIMEOUT:.0f} s")

    # --- what the pipe asks

    def on_tick(self, function: Callable[[], None], interval: float) -> None:
        """Call *function* every *interval* seconds, in the supervisor's thread."""
        self._ticks.append(_Tick(function, interval, monotonic() + interval))
        self._wake()

    def state(self, routine: int) -> RoutineState:
        """The state of a routine as its flow last told it."""
        return self._states[routine]

    def is_killed(self, routine: int) -> bool:
        """Whether a routine was killed, or belongs to a replica that there could be."""
        return routine in self._killed

    def is_wanted(self, routine: int) -> bool:
        """Whether a routine was asked to run."""
        return routine in self._wanted

    def concurrency(self, routine: int) -> int:
        """How many messages a routine works on at once."""
        return self._routines[routine].concurrency

    @property
    def ended(self) -> bool:
        """Whether all flows have ended for good."""
        return all(flow.ended for flow in self.flows.values())

    def look_at_gates(self) -> None:
        """Start the flows that have waited for what is there now."""
        if not self.gates.held:
            return
        with self._lock:
            for routines in self.gates.open(self.progress.of_flow, self.shared).values():
                self.bus.send(START_EVENT_NAME, [self.spec.routines[index] for index in routines], {})
        self._notify()

    def waits_for(self, flow: str) -> tuple[str, ...]:
        """What keeps a flow that was asked to start from starting, in words."""
        with self._lock:
            return self.gates.waits_for(flow, self.progress.of_flow, self.shared) if flow in self.gates.held else ()

    def share(self, values: Mapping[str, Any]) -> None:
        """Set parameters of the pipe as a whole.

        Raises:
            UnsendableDataError: one of them cannot be sent to another process.
        """
        with self._lock:
            packed = m.Packed.parameters(commands.SHARED_EVENT, {**self.shared, **values})
            self.shared.update(values)
            for flow in self.flows.values():
                self._send(flow, m.Shared(packed))
        concerned = [routine for routine in self.spec.routines if commands.SHARED_EVENT in routine.events]
        self.bus.send(commands.SHARED_EVENT, concerned, dict(values))
        self.look_at_gates()

    def wait(self, done: Callable[[], Any], timeout: float | None) -> bool:
        """Wait until *done*, looked at after each change; False when *timeout* seconds were not enough.

        Wakes up often enough for a signal handler of the main thread to run.
        """
        deadline = None if timeout is None else monotonic() + timeout
        with self.changed:
            while not done():
                left = None if deadline is None else deadline - monotonic()
                if left is not None and left <= 0:
                    return False
                self.changed.wait(left)
        return True

    def kill(self) -> None:
        """End all flows: ask, terminate, kill. Returns at once; :attr:`ended` tells."""
        with self._lock:
            self._killed.update(range(len(self.spec.routines)))
            self._wanted.clear()
            for flow in self.flows.values():
                self._end_flow(flow)
        self._wake()

    def force(self) -> None:
        """End all flows that have not ended yet with SIGKILL."""
        with self._lock:
            for flow in self.flows.values():
                if flow.handle is not None and not flow.ended:
                    flow.terminate_at, flow.kill_at = None, monotonic()
        self._wake()
        self.wait(lambda: self.ended, 5.0)

    def close(self) -> None:
        """End everything at once and leave nothing behind. Closes twice, also from two threads, without complaint."""
        with self._lock:
            first, self._closing = not self._closing, True
        if not first:
            self._all_closed.wait(self.settings.kill_timeout + 20.0)
            return
        own = threading.current_thread() is self._thread
        self.kill()
        self.stopping.close()
        if self._thread.is_alive() and not own:
            self.wait(lambda: self.ended, self.settings.kill_timeout + 4 * LADDER_STEP + 2.0)
        with self._lock:
            self._wake()
            self._closed = True
        if self._thread.is_alive() and not own:
            self._thread.join(5.0)
        for flow in self.flows.values():
            if isinstance(flow.handle, ProcessFlow) and flow.handle.alive:
                flow.handle.kill()
            if flow.handle is not None:
                flow.handle.close()
            flow.handle = None
            flow.ended = True
        self.dead_letters.close()
        if self.settings.store is not None:
            self.settings.store.ignore(self._records_written)
        self.configurations.close()
        with self._lock:
            self.memory.close()
            os.close(self._wake_reader)
            os.close(self._wake_writer)
        self._all_closed.set()
        self._notify()

    def restart_flow(self, name: str) -> int:
        """Replace a flow's process by a new one, also one that was given up; how often that was done before.

        Raises:
            PipeStateError: the flow has ended, or has no process of its own.
        """
        with self._lock:
            flow = self.flows[name]
            before = flow.restarts
            if self.settings.inline:
                raise PipeStateError(
                    f"flow {name!r} runs inline, without a process: stop and start its routines instead"
                )
            if flow.exiting or (flow.ended and not flow.given_up):
                raise PipeStateError(f"flow {name!r} was killed: only a new pipe brings it back")
            if flow.given_up:
                flow.given_up = flow.ended = False
                self.memory.revive(flow.routines)
                for index in flow.routines:
                    self._set_state(index, RoutineState.IDLE)
                self.go_on(flow.routines)
            if flow.handle is None:
                flow.deaths.clear()
                flow.restart_at = monotonic()
            elif flow.ready and not flow.again:
                flow.again = True
                self._set_ladder(flow)
                flow.handle.send(m.Exit(self.settings.kill_timeout, again=True))
        self._wake()
        return before

    # --- what outlives a process

    def live_parameters(self, routine: int) -> LiveParameters:
        """The parameters of a routine."""
        return self._parameters[routine]

    def ask(self, name: str, routine: int, params: dict[str, Any], wait: float) -> Any:
        """Send a command of our own to a routine, all of its replicas, and wait for what the first one answers.

        Raises:
            EventHandlerError: it failed, or did not answer in time.
        """
        members = [self.spec.routines[index] for index in self.spec.members(routine)]
        answers = [result.unwrap() for result in self.bus.call(name, members, params, wait).values()]
        return answers[0] if answers else None

    def results(self, routine: int, after: int, wait: float) -> Sketches:
        """What a routine shows, each replica of it that is there and answers in time."""
        members = [self.spec.routines[index] for index in self.spec.members(routine)]
        flows = self.flows
        there = [one for one in members if flows[one.process].ready and not flows[one.process].ended]
        answers = self.bus.call(commands.RESULTS, there, {"after": after}, wait)
        return merged([result.value for result in answers.values()], after)

    def tell(self, name: str, routine: int, key: str, params: dict[str, Any]) -> None:
        """Send a command of our own to a routine now, all of its replicas, and to each later process of theirs."""
        members = self.spec.members(routine)
        with self._lock:
            self._standing.update({(member, name, key): params for member in members})
            if name == commands.PREVIEW and not params["on"]:
                self.previews.pop((self.spec.routines[routine].name, key), None)
        self.bus.send(name, [self.spec.routines[member] for member in members], params)

    def _tell_standing(self, flow: FlowRecord) -> None:
        assert flow.handle is not None
        for (routine, name, _), params in self._standing.items():
            if (flow.restarts or flow.revived) and routine in flow.routines:
                flow.handle.send(EventCall(0, name, (routine,), params))

    def _keep_preview(self, frame: PreviewFrame) -> None:
        spec = self.spec.routine(frame.routine)
        key = (spec.index if spec is not None else -1, commands.PREVIEW, frame.side)
        with self._lock:
            if self._standing.get(key, {}).get("on"):
                self.previews[(frame.routine, frame.side)] = frame

    # --- events

    def _deliver(self, name: str, call: EventCall) -> bool:
        """Take an event to a flow, and note what it asks for so that a restart can go on with it."""
        with self._lock:
            flow = self.flows[name]
            if call.name == UNLINK_EVENT_NAME:
                self._note_unlink(call)
            if call.name == START_EVENT_NAME:
                call = self._hold_back(call)
                self._note_start([index for index in call.routines if index not in self._killed])
            elif call.name == STOP_EVENT_NAME:
                self.gates.let_go(call.routines)
                self._wanted.difference_update(call.routines)
            elif call.name == KILL_EVENT_NAME:
                self.gates.let_go(call.routines)
                self._wanted.difference_update(call.routines)
                self._killed.update(call.routines)
            taken = True
            if flow.ended:
                taken = call.name == KILL_EVENT_NAME
                for index in call.routines if taken else ():
                    self.bus.answer(call.number, index, None, None)
            elif flow.handle is None or not flow.ready:
                flow.waiting.append(call)
            else:
                self._hand_over(flow, call)
            if not taken and not call.number and flow.given_up:
                self._logger.warning("event %r reaches nobody: flow %r has no process any more", call.name, name)
            if call.name == KILL_EVENT_NAME and all(index in self._killed for index in flow.routines):
                self._end_flow(flow)
                self._wake()
            return taken

    def _hold_back(self, call: EventCall) -> EventCall:
        """Take those out of a start that must wait for other flows or for parameters."""
        held = [
            index
            for index in call.routines
            if index not in self._wanted
            and index not in self._killed
            and self.gates.waits_for(self.spec.routines[index].flow, self.progress.of_flow, self.shared)
        ]
        for index in held:
            self.gates.hold(self.spec.routines[index].flow, [index])
            self.bus.answer(call.number, index, None, None)
        return replace(call, routines=tuple(index for index in call.routines if index not in held)) if held else call

    def _note_unlink(self, call: EventCall) -> None:
        """Remember which edges are to be shut, also if their source dies before it does that."""
        try:
            params = call.params.open() if isinstance(call.params, m.Packed) else call.params
            destination = self.spec.routine(str(params.get("unlink_routine_name")))
        except Exception:  # the routine will say what is wrong with them
            return
        if destination is None:
            return
        for index in call.routines:
            edges = [edge for edge in self.spec.outputs(index) if edge.destination == destination.index]
            self.shut.update(edge.index for edge in edges)
            self._unlinked(self.spec.routines[index].name, destination.name)

    def _hand_over(self, flow: FlowRecord, call: EventCall) -> None:
        """Send an event to a living flow; answer for its routines that were killed and cannot any more."""
        assert flow.handle is not None
        living = tuple(index for index in call.routines if self._states[index] is not RoutineState.KILLED)
        for index in set(call.routines) - set(living):
            failure = None if call.name in (KILL_EVENT_NAME, STOP_EVENT_NAME) else ("it was killed", "")
            self.bus.answer(call.number, index, None, failure)
        if living:
            flow.handle.send(replace(call, routines=living))

    def _note_start(self, routines: Sequence[int]) -> None:
        """The streams of these routines begin anew. Said before any of them starts, so that none sees an old end."""
        self._wanted.update(routines)
        for index in routines:
            row = self.board.routine(index)
            if not self.board.words[row + b.STARTED_AT]:
                self.board.words[row + b.STARTED_AT] = max(1, round(self.settings.clock.now() * 1e9))
        idle = [index for index in routines if self._states[index] in (RoutineState.IDLE, RoutineState.FAILED)]
        self.memory.begin_streams(idle)
        for index in idle:
            if self.flows[self.spec.routines[index].process].ready:
                self._states[index] = RoutineState.STARTING

    def _records_written(self) -> None:
        """Something was written to the store here: wake the routines that wait for records."""
        with self._lock:
            if self._closed:
                return
            for routine in self.spec.routines:
                if self.board.words[self.board.routine(routine.index) + b.AWAITS_RECORDS]:
                    self.memory.ring(routine.index)

    def nudge(self) -> None:
        """Let all waits look again. Safe in a signal handler: another thread takes the lock of ``changed``."""
        self._wake()

    def _wake(self) -> None:
        with self._lock:
            if not self._closed:
                with contextlib.suppress(BlockingIOError):  # it is awake already
                    os.write(self._wake_writer, b"x")

    def _supervise(self) -> None:
        while True:
            with self._lock:
                if self._closed:
                    return
                living = [
                    (flow, flow.handle)
                    for flow in self.flows.values()
                    if isinstance(flow.handle, ProcessFlow) and flow.handle.started and not flow.ended
                ]
            connections: dict[Any, FlowRecord] = {
                handle.connection: flow for flow, handle in living if not handle.hung_up
            }
            processes: dict[Any, FlowRecord] = {handle.sentinel: flow for flow, handle in living}
            try:
                waitable = [self._wake_reader, *connections, *processes]
                ready = multiprocessing.connection.wait(waitable, self._patience())
                if self._wake_reader in ready:
                    os.read(self._wake_reader, 4096)
                    self._notify()
                for item in ready:  # what a process said before what became of it
                    if item in connections:
                        self._read(connections[item])
                for item in ready:
                    if item in processes:
                        self._on_exit(processes[item])
                self._keep_time()
            except Exception:
                self._logger.exception("the supervisor of pipe %r failed; it goes on", self.spec.name)

    def _patience(self) -> float | None:
        now = monotonic()
        times = [tick.due for tick in self._ticks]
        deadline = self.bus.next_deadline()
        if deadline is not None:
            times.append(deadline)
        for flow in self.flows.values():
            times += [at for at in (flow.restart_at, flow.terminate_at, flow.kill_at) if at is not None]
        if self.settings.hang_timeout is not None:
            times.append(now + self.settings.hang_timeout / 4)
        if any(self.progress.streams_ended(flow) for flow in self.gates.awaited):  # nobody tells of acknowledgements
            times.append(now + ACKNOWLEDGEMENT_LOOK)
        return max(0.0, min(times) - now) if times else None

    def _read(self, flow: FlowRecord) -> None:
        """Take all messages that wait; an end of file means that the process is going."""
        handle = flow.handle
        if not isinstance(handle, ProcessFlow):
            return
        try:
            for _ in range(100):
                data = handle.connection.recv_bytes()
                try:
                    self._receive(flow, loads(data))
                except Exception:
                    self._logger.exception("a message of flow %r cannot be dealt with", flow.name)
                if not handle.connection.poll():
                    return
        except (EOFError, OSError):
            handle.hang_up()

    def _receive(self, flow: FlowRecord, message: Any) -> None:
        """A message from a flow; from any thread where flows are inline."""
        if isinstance(message, m.EventAnswer):
            self._on_answer(message)
        elif isinstance(message, m.StateChange):
            self._on_state(flow, message)
        elif isinstance(message, m.EventRequest):
            self._on_event(flow, message)
        elif isinstance(message, m.CallRequest):
            self.calls.start(
                message.routine,
                message.data,
                message.timeout,
                lambda outcome: self._send(flow, m.CallReply(message.request, outcome)),
            )
        elif isinstance(message, m.SegmentRequest):
            self._send(flow, m.SegmentReply(message.request, self._make_segment(message)))
        elif isinstance(message, m.LogRecords):
            self._log(message)
        elif isinstance(message, m.DeadLetterRequest):
            self.dead_letters.keep(message.letter)
            self._send(flow, m.Receipt(message.request))
        elif isinstance(message, m.ParameterSet):
            self._parameters[message.routine].changed(message.name, message.value)
        elif isinstance(message, m.ConfigurationChanged):
            self.configurations.changed(self.spec.routines[message.routine].name, message.values)
        elif isinstance(message, PreviewFrame):
            self._keep_preview(message)
        elif isinstance(message, m.Ready):
            self._on_ready(flow)
        elif isinstance(message, m.Died):
            flow.boot_failure = message
            self._notify()

    def _on_answer(self, answer: m.EventAnswer) -> None:
        value, error = answer.value, answer.error
        if isinstance(value, m.Packed):
            try:
                value = value.open()
            except Exception as failure:
                value, error = None, (f"what its handler returned cannot be read here: {failure!r}", "")
        self.bus.answer(answer.number, answer.routine, value, error)

    def _make_segment(self, request: m.SegmentRequest) -> int | SharedMemoryFullError:
        try:
            return self.memory.make_segment(request.owner, request.slot_size, request.slots)
        except SharedMemoryFullError as error:
            return error

    def _send(self, flow: FlowRecord, message: Any) -> None:
        with self._lock:
            if flow.handle is not None and not flow.ended:
                flow.handle.send(message)

    def _on_event(self, flow: FlowRecord, request: m.EventRequest) -> None:
        routines = [self.spec.routines[index] for index in request.routines]
        if request.request:
            self.bus.start_call(
                request.name,
                routines,
                request.params,
                request.wait,
                lambda results: self._send(flow, m.EventReply(request.request, results)),
            )
            self._wake()
        else:
            self.bus.send(request.name, routines, request.params)

    def _on_ready(self, flow: FlowRecord) -> None:
        with self._lock:
            flow.ready = True
            self._tell_standing(flow)
            wanted = tuple(
                index
                for index in flow.routines
                if index in self._wanted and not self.board.words[self.board.routine(index) + b.FINISHED]
            )
            assert flow.handle is not None
            if (flow.restarts or flow.revived) and wanted:
                flow.handle.send(EventCall(0, START_EVENT_NAME, wanted, {}))
            waiting, flow.waiting = flow.waiting, []
            for call in waiting:
                self._hand_over(flow, call)
            killed = tuple(index for index in flow.routines if index in self._killed)
            if killed:
                flow.handle.send(EventCall(0, KILL_EVENT_NAME, killed, {}))
            if flow.exiting:
                flow.handle.send(m.Exit(self.settings.kill_timeout))
        self._notify()

    def _on_state(self, flow: FlowRecord, change: m.StateChange) -> None:
        with self._lock:
            self._states[change.routine] = change.state
            if change.state is RoutineState.KILLED and all(
                self._states[index] is RoutineState.KILLED for index in flow.routines
            ):
                self._end_flow(flow)
                if isinstance(flow.handle, InlineFlow):
                    flow.ended = True
                    flow.kill_at = None
            if change.finished and change.state is RoutineState.IDLE:
                self.go_on([change.routine])
        if change.state is RoutineState.RUNNING:
            self.calls.look()
        if change.finished:
            self.look_at_gates()
        self._notify()

    def go_on(self, routines: Iterable[int]) -> None:
        """Start those of *routines*, and of all behind them, that finished although an input of theirs lives again."""
        words, board = self.board.words, self.board
        with self._lock:
            todo = list(routines)
            for index in todo:
                behind = [edge for edge in self.spec.outputs(index) if not words[board.edge(edge.index) + b.CLOSED]]
                todo += [edge.destination for edge in behind if edge.destination not in todo]
                if index not in self._wanted or self._states[index] is not RoutineState.IDLE:
                    continue
                alive = any(
                    not edge.feedback and edge.source in self._wanted and not self.memory.has_ended(edge)
                    for edge in self.spec.inputs(index)
                )
                if words[board.routine(index) + b.FINISHED] and alive:
                    self.bus.send(START_EVENT_NAME, [self.spec.routines[index]], {})

    def _log(self, message: m.LogRecords) -> None:
        proper = logging.getLogger(self._logger.name) is self._logger
        for record in message.records:
            logger = logging.getLogger(record.name) if proper else self._logger
            setattr(record, FORWARDED_ATTRIBUTE, True)
            if logger.isEnabledFor(record.levelno):
                logger.handle(record)
                for listener in tuple(self._log_listeners):
                    listener(record)
        if message.dropped:
            self._logger.warning("%d log records were dropped, they came too fast", message.dropped)

    def _notify(self) -> None:
        with self.changed:
            self.changed.notify_all()

    # --- deaths and restarts

    def _end_flow(self, flow: FlowRecord) -> None:
        """Ask a flow to end, and set the times at which it will be terminated and killed if it does not."""
        if flow.exiting or flow.ended:
            return
        flow.exiting = True
        flow.restart_at = None
        if flow.handle is None:
            flow.last_exit = flow.last_exit or "it had no process"
            self._on_ended(flow)
            self._notify()
            return
        self._set_ladder(flow)
        if flow.ready:
            flow.handle.send(m.Exit(self.settings.kill_timeout))

    def _set_ladder(self, flow: FlowRecord) -> None:
        flow.terminate_at = monotonic() + self.settings.kill_timeout + LADDER_STEP
        flow.kill_at = flow.terminate_at + LADDER_STEP

    def _on_exit(self, flow: FlowRecord) -> None:
        handle = flow.handle
        assert isinstance(handle, ProcessFlow)
        while not handle.hung_up and handle.connection.poll():
            self._read(flow)
        if handle.alive:
            return
        handle.make_sure_it_is_gone()
        flow.last_exit = f"{flow.hang}, {handle.exit_cause}" if flow.hang else handle.exit_cause
        flow.hang = None
        handle.close()
        with self._lock:
            flow.handle = None
            was_ready, flow.ready = flow.ready, False
            flow.terminate_at = flow.kill_at = None
            spent = self.memory.recover(flow.routines)
            self.memory.shut([number for number in self.shut if self.spec.edges[number].source in flow.routines])
            self._bury(flow, spent)
            again, flow.again = flow.again and not flow.exiting, False
            if again:
                self._on_left(flow)
            elif flow.exiting or not (was_ready or flow.restarts):
                self._on_ended(flow)
            else:
                self._on_death(flow)
        self._notify()

    def _on_ended(self, flow: FlowRecord) -> None:
        flow.ended = True
        for index in flow.routines:
            self._states[index] = RoutineState.KILLED
        self.memory.end_streams(flow.routines, RoutineState.KILLED)
        self.bus.fail(flow.routines, f"its flow {flow.name!r} ended ({flow.last_exit})")

    def _bury(self, flow: FlowRecord, spent: Sequence[tuple[WorkQueue, int]]) -> None:
        """Messages that have killed their process too often become dead letters, and the flow is not to blame."""
        for queue, cell in spent:
            reason = f"its process ended while it worked on it ({flow.last_exit})"
            letter = dead_letter_of(queue, cell, self.memory, reason)
            self.dead_letters.keep(letter)
            self.bus.send(commands.GIVEN_UP, [self.spec.routines[letter.routine]], {"letter": letter})
            self.memory.queues.bury(queue, cell)
            flow.deaths.clear()

    def _on_left(self, flow: FlowRecord) -> None:
        """The process ended because another one is to take its place."""
        for index in flow.routines:
            self._set_state(index, RoutineState.IDLE)
        self.bus.fail(flow.routines, f"its flow {flow.name!r} was restarted")
        flow.restart_at = monotonic()

    def _set_state(self, routine: int, state: RoutineState) -> None:
        """Say the state of a routine whose process cannot."""
        self._states[routine] = state
        self.board.words[self.board.routine(routine) + b.STATE] = state

    def _on_death(self, flow: FlowRecord) -> None:
        now = monotonic()
        flow.deaths.append(now)
        del flow.deaths[: -(self.settings.restart.times + 1)]  # enough to decide by
        cause = f"its flow {flow.name!r} died ({flow.last_exit})"
        if flow.boot_failure is not None:
            cause += f", {flow.boot_failure.reason}"
            flow.boot_failure = None
        delay = self.settings.restart.delay(flow.deaths, now)
        for index in flow.routines:
            running = index in self._wanted
            self.board.write_error(index, cause)
            self._set_state(index, RoutineState.FAILED if running and delay is None else RoutineState.IDLE)
        if delay is None:
            flow.given_up = flow.ended = True
            self.memory.end_streams(flow.routines, RoutineState.FAILED)
            self._logger.error(
                "flow %r died (%s) and stays dead, restart=%d within %g s is used up: mend the cause and run it again",
                flow.name, flow.last_exit, self.settings.restart.times, self.settings.restart.window,
            )  # fmt: skip
        else:
            flow.restart_at = now + delay
            self._logger.error("flow %r died (%s); it is restarted in %.1f s", flow.name, flow.last_exit, delay)
        self.bus.fail(flow.routines, cause)

    def _keep_time(self) -> None:
        now = monotonic()
        self.bus.expire_overdue(now)
        self.look_at_gates()
        with self._lock:
            for flow in self.flows.values():
                if flow.restart_at is not None and now >= flow.restart_at:
                    self._restart(flow)
                if flow.handle is not None and flow.terminate_at is not None and now >= flow.terminate_at:
                    flow.terminate_at = None
                    flow.handle.terminate()
                if flow.handle is not None and flow.kill_at is not None and now >= flow.kill_at:
                    flow.kill_at = None
                    flow.handle.kill()
                    if isinstance(flow.handle, InlineFlow):
                        self._logger.error("flow %r does not end: its routines' threads are left alone", flow.name)
                        self._on_ended(flow)
                        self._notify()
            if self.settings.hang_timeout is not None:
                self._check_hangs(self.settings.hang_timeout)
        for tick in self._ticks:
            if now >= tick.due:
                tick.due = now + tick.interval
                tick.function()

    def _restart(self, flow: FlowRecord) -> None:
        flow.restart_at = None
        flow.restarts += 1
        try:
            self._launch(flow)
        except Exception as error:
            flow.last_exit = f"not restarted: {error}"
            self._on_death(flow)

    def _check_hangs(self, limit: float) -> None:
        now = monotonic_ns()
        for flow in self.flows.values():
            if flow.handle is None or not flow.ready or flow.exiting or flow.hang:
                continue
            for index in flow.routines:
                since = self.board.words[self.board.routine(index) + b.BUSY_SINCE]
                if since and now - since > limit * 1e9:
                    flow.hang = f"routine {self.spec.routines[index].name!r} hung for {(now - since) / 1e9:.1f} s"
                    if self.settings.inline:
                        self._logger.error("%s: a thread cannot be ended, so it is left alone", flow.hang)
                    else:
                        self._logger.error("%s: its flow %r is killed", flow.hang, flow.name)
                    flow.handle.kill()
                    break
