"""The supervisor: starts the flows of a pipe, knows what becomes of them, and ends them.

Its thread is in :mod:`pipert2.runtime.supervision.watch`, what flows tell it in
:mod:`pipert2.runtime.supervision.reception`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from time import monotonic
from typing import Any

from pipert2.errors import FlowStartError, PipeStateError
from pipert2.events.bus import EventBus
from pipert2.events.notices import Notices
from pipert2.graph.handlers import START_EVENT_NAME
from pipert2.graph.routine import Routine
from pipert2.graph.spec import PipeSpec
from pipert2.runtime import commands
from pipert2.runtime import messages as m
from pipert2.runtime.configuration.live import LiveConfigurations
from pipert2.runtime.flow.handover import classes_of_main, start_context
from pipert2.runtime.routine.shown import Sketches, merged
from pipert2.runtime.settings import Settings
from pipert2.runtime.supervision.calls import Calls
from pipert2.runtime.supervision.dead_letters import DeadLetters
from pipert2.runtime.supervision.delivery import EventDelivery
from pipert2.runtime.supervision.flow_handle import FlowHandle, ProcessFlow
from pipert2.runtime.supervision.flow_record import FlowRecord
from pipert2.runtime.supervision.gates import Gates
from pipert2.runtime.supervision.live_parameters import LiveParameters
from pipert2.runtime.supervision.lives import LADDER_STEP, FlowLives
from pipert2.runtime.supervision.pipe_memory import PipeMemory
from pipert2.runtime.supervision.progress import PipeProgress
from pipert2.runtime.supervision.reception import Reception
from pipert2.runtime.supervision.replicas import Replicas
from pipert2.runtime.supervision.standing import StandingOrders
from pipert2.runtime.supervision.stopping import Stopping
from pipert2.runtime.supervision.watch import Watch
from pipert2.transport import board as b
from pipert2.transport.board import RoutineState

START_TIMEOUT = 60.0
"""Seconds that the processes of all flows may take to come up."""
TICK = 1.0


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
        notices: told of what happens.

    Attributes:
        lock: held while what is known of flows and routines changes.
        changed: told after each change.
        flows: what is known of each process.
        states: of each routine, as its flow last told it.
        wanted: the routines that were asked to run.
        killed: the routines that were killed, or belong to a replica that there could be.
        shut: edges that were taken away, whether their source knows it yet or not.

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
        notices: Notices | None = None,
    ) -> None:
        self.spec = spec
        self.notices = notices or Notices()
        self.settings = settings
        self.lives = FlowLives(self)
        self.replicas = Replicas(self)
        self.delivery = EventDelivery(self)
        self.standing = StandingOrders(self)
        self.bus = EventBus(spec, self.delivery.deliver, self.replicas.is_present, self.delivery.begin)
        self.flows = {name: FlowRecord(name, indices) for name, indices in spec.flows.items()}
        self.changed = threading.Condition()
        self.routines = tuple(routines)
        self.logger = logger
        self.lock = threading.RLock()
        self.wanted: set[int] = set()
        self.killed: set[int] = set()
        self.unlinked = unlinked
        self.configurations = configurations or LiveConfigurations((), {}, logger, has_store=False)
        self.shut: set[int] = set()
        self.dead_letters = DeadLetters(self)
        self.calls = Calls(self)
        self.progress = PipeProgress(self)
        self.stopping = Stopping(self, settings.drain_timeout)
        self.gates = Gates(spec.depends_on, settings.requires)
        self.shared: dict[str, Any] = {}
        self._parameters = [LiveParameters(routine) for routine in self.routines]
        self.states: dict[int, RoutineState] = dict.fromkeys(range(len(spec.routines)), RoutineState.IDLE)
        self.context = None if settings.inline else start_context(settings.start_method)
        self.memory = PipeMemory(spec, settings.inline)
        self.board = self.memory.board
        self.main_classes: dict[str, type] = {}
        self.reception = Reception(self, log_listeners)
        self.watch = Watch(self)
        self._killed_as_a_whole = False
        self._closing = False
        self._all_closed = threading.Event()

    # --- coming up

    def start(self) -> None:
        """Start all flows and wait until they are up.

        Raises:
            PipeBuildError: a routine cannot be handed to a process.
            FlowStartError: a process did not come up.
        """
        try:
            self.main_classes = {} if self.settings.inline else classes_of_main()
            if self.settings.store is not None:
                self.settings.store.listen(self._records_written)
            for flow in self.flows.values():
                if self.replicas.begin(flow):
                    self.lives.launch(flow)
            self.watch.start()
            self._await_ready()
        except BaseException:
            self.close()
            raise

    def grow(self, spec: PipeSpec, name: str, routines: Sequence[Routine]) -> None:
        """The pipe has a further flow, which has no process yet. The memory of *spec* is there."""
        with self.lock:
            flow = FlowRecord(name, spec.flows[name])
            self.routines = (*self.routines, *routines)
            self._parameters = [*self._parameters, *(LiveParameters(routine) for routine in routines)]
            # Others may be looking through these: what they see stays as it is.
            self.states = {**self.states, **dict.fromkeys(flow.routines, RoutineState.IDLE)}
            self.flows = {**self.flows, name: flow}
            self.bus.describe(spec)
            self.replicas.put_to_sleep(flow)
            self.spec = spec

    def _await_ready(self) -> None:
        deadline = monotonic() + START_TIMEOUT
        with self.changed:
            while not all(flow.ready or flow.dormant for flow in self.flows.values()):
                for flow in self.flows.values():
                    if flow.dormant:
                        continue
                    if flow.boot_failure is not None:
                        reason = flow.boot_failure.reason
                        self.logger.debug("%s", flow.boot_failure.traceback)
                        raise FlowStartError(flow.name, reason)
                    if flow.ended:
                        raise FlowStartError(flow.name, f"its process ended ({flow.last_exit})")
                if not self.changed.wait(deadline - monotonic()) and monotonic() > deadline:
                    late = next(flow.name for flow in self.flows.values() if not flow.ready and not flow.dormant)
                    raise FlowStartError(late, f"its process was not up after {START_TIMEOUT:.0f} s")

    # --- what the pipe asks

    def state(self, routine: int) -> RoutineState:
        """The state of a routine as its flow last told it."""
        return self.states[routine]

    def takes_calls(self, routine: int) -> bool:
        """Whether a routine runs, in a process that does what it is sent now."""
        flow = self.flows[self.spec.routines[routine].process]
        return self.states[routine] is RoutineState.RUNNING and flow.takes_events

    def why_not(self, routine: int) -> str | None:
        """Why a routine does not run and will not by itself; None if it does, or was never started."""
        flow, state = self.flows[self.spec.routines[routine].process], self.states[routine]
        if flow.given_up:
            return f"its flow {flow.name!r} died too often ({flow.last_exit}): restart the flow"
        if routine in self.killed or flow.ended:
            return "it was killed"
        if state is RoutineState.FAILED:
            return f"it does not run ({self.board.read_error(routine)}): start it again"
        if state is RoutineState.IDLE and self.board.words[self.board.routine(routine) + b.FINISHED]:
            return "its stream has ended: start it again"
        return None

    def announce(self, name: str, values: Mapping[str, Any]) -> None:
        """Tell everybody of something that has happened: who asks from outside, and routines that have handlers."""
        self.notices.add(name, values)
        concerned = [routine for routine in self.spec.routines if name in routine.events]
        if concerned:
            self.bus.send(name, concerned, dict(values))

    def concurrency(self, routine: int) -> int:
        """How many messages a routine works on at once."""
        return self.routines[routine].concurrency

    @property
    def ended(self) -> bool:
        """Whether all flows have ended for good."""
        return all(flow.ended for flow in self.flows.values())

    def look_at_gates(self) -> None:
        """Start the flows that have waited for what is there now."""
        if not self.gates.held:
            return
        with self.lock:
            for routines in self.gates.open(self.progress.of_flow, self.shared).values():
                self.bus.send(START_EVENT_NAME, [self.spec.routines[index] for index in routines], {})
        self.notify()

    def waits_for(self, flow: str) -> tuple[str, ...]:
        """What keeps a flow that was asked to start from starting, in words."""
        with self.lock:
            return self.gates.waits_for(flow, self.progress.of_flow, self.shared) if flow in self.gates.held else ()

    def share(self, values: Mapping[str, Any]) -> None:
        """Set parameters of the pipe as a whole.

        Raises:
            UnsendableDataError: one of them cannot be sent to another process.
        """
        with self.lock:
            packed = m.Packed.parameters(commands.SHARED_EVENT, {**self.shared, **values})
            self.shared.update(values)
            for flow in self.flows.values():
                self.send(flow, m.Shared(packed))
        concerned = [routine for routine in self.spec.routines if commands.SHARED_EVENT in routine.events]
        self.bus.send(commands.SHARED_EVENT, concerned, dict(values))
        self.look_at_gates()

    def wait(self, done: Callable[[], Any], timeout: float | None) -> bool:
        """Wait until *done*, looked at after each change and nudge; False when *timeout* seconds were not enough."""
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
        with self.lock:
            self._killed_as_a_whole = True
            self.condemn(range(len(self.spec.routines)))
            self.wanted.clear()
            for flow in self.flows.values():
                self.lives.end(flow)
        self.watch.wake()

    def condemn(self, routines: Collection[int]) -> None:
        """Note which routines are to be killed, before any of them is told and another one sees it gone."""
        self.killed.update(routines)
        if not self.ended:
            for index in routines:
                self.board.words[self.board.routine(index) + b.TO_BE_KILLED] = 1

    def must_not_be_killed(self) -> None:
        """Raise PipeStateError if all flows are ending: one that came now would be there for ever."""
        if self._killed_as_a_whole:
            raise PipeStateError(f"pipe {self.spec.name!r} was killed, create a new one")

    def force(self) -> None:
        """End all flows that have not ended yet with SIGKILL."""
        with self.lock:
            for flow in self.flows.values():
                if flow.handle is not None and not flow.ended:
                    flow.terminate_at, flow.kill_at = None, monotonic()
        self.watch.wake()
        self.wait(lambda: self.ended, 5.0)

    def nudge(self) -> None:
        """Let all waits look again. Safe in a signal handler."""
        self.watch.wake()

    def close(self) -> None:
        """End everything at once and leave nothing behind. Closes twice, also from two threads, without complaint."""
        with self.lock:
            first, self._closing = not self._closing, True
        if not first:
            self._all_closed.wait(self.settings.kill_timeout + 20.0)
            return
        self.kill()
        self.stopping.close()
        if self.watch.goes_on_elsewhere:
            self.wait(lambda: self.ended, self.settings.kill_timeout + 4 * LADDER_STEP + 2.0)
        self.watch.stop()
        for flow in self.flows.values():
            if isinstance(flow.handle, ProcessFlow) and flow.handle.alive:
                flow.handle.kill()
            if flow.handle is not None:
                flow.handle.close()
            flow.handle = None
            flow.ended = True
        self.dead_letters.close()
        self.notices.close()
        if self.settings.store is not None:
            self.settings.store.ignore(self._records_written)
        self.configurations.close()
        with self.lock:
            self.memory.close()
            self.watch.close()
        self._all_closed.set()
        self.notify()

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

    # --- events

    def _records_written(self) -> None:
        """Something was written to the store here: wake the routines that wait for records."""
        with self.lock:
            if self.watch.stopped:
                return
            for routine in self.spec.routines:
                if self.board.words[self.board.routine(routine.index) + b.AWAITS_RECORDS]:
                    self.memory.ring(routine.index)

    def send(self, flow: FlowRecord, message: Any) -> None:
        """Tell a flow's process something, if it has one."""
        with self.lock:
            if flow.handle is not None and not flow.ended:
                flow.handle.send(message)

    def reply(self, flow: FlowRecord, asker: FlowHandle | None, message: Any) -> None:
        """Tell the process that has asked; its successor counts its questions anew, and would take it for another."""
        with self.lock:
            if flow.handle is asker:
                self.send(flow, message)

    def go_on(self, routines: Iterable[int]) -> None:
        """Start those of *routines*, and of all behind them, that finished although an input of theirs lives again; of
        a flow with replicas all of them."""
        words, board = self.board.words, self.board
        with self.lock:
            todo = [member for index in routines for member in self.spec.members(index)]
            for index in todo:
                for edge in self.spec.outputs(index):
                    if not words[board.edge(edge.index) + b.CLOSED]:
                        behind = self.spec.members(edge.destination) if edge.shared else (edge.destination,)
                        todo += [one for one in behind if one not in todo]
                if index not in self.wanted or self.states[index] is not RoutineState.IDLE:
                    continue
                alive = any(
                    self.progress.has_waiting(edge) or (edge.source in self.wanted and not self.memory.has_ended(edge))
                    for edge in self.spec.inputs(index)
                    if not edge.feedback
                )
                if words[board.routine(index) + b.FINISHED] and alive:
                    self.bus.send(START_EVENT_NAME, [self.spec.routines[index]], {})

    def have_finished(self, routines: Sequence[int]) -> None:
        """These idle routines have nothing left to do, as after the end of their streams; other streams they join."""
        with self.lock:
            there = [index for index in routines if index not in self.killed]
            self.wanted.update(there)
            self.memory.finish_streams(there)
        self.look_at_gates()
        self.notify()

    def notify(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def set_state(self, routine: int, state: RoutineState) -> None:
        """Say the state of a routine whose process cannot."""
        self.states[routine] = state
        self.board.words[self.board.routine(routine) + b.STATE] = state
