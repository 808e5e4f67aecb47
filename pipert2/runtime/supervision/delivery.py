"""Delivering events to flows, and noting what they ask for, so that a restart can go on with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipert2.events.bus import EventCall
from pipert2.graph.handlers import KILL_EVENT_NAME, START_EVENT_NAME, STOP_EVENT_NAME, UNLINK_EVENT_NAME
from pipert2.runtime import commands
from pipert2.runtime import messages as m
from pipert2.runtime.supervision.flow_record import FlowRecord
from pipert2.runtime.supervision.unheard import is_passed_on
from pipert2.transport import board as b
from pipert2.transport.board import RoutineState

if TYPE_CHECKING:
    from pipert2.graph.spec import EdgeSpec, RoutineSpec
    from pipert2.runtime.supervision.supervisor import Supervisor


class EventDelivery:
    """Takes the events of one pipe to its flows."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def begin(self, name: str, routines: Sequence[RoutineSpec]) -> None:
        """Note at once all that are to be killed: the end of one must not be taken for the end of its stream."""
        if name == KILL_EVENT_NAME:
            supervisor, indices = self._supervisor, [routine.index for routine in routines]
            with supervisor.lock:
                supervisor.gates.let_go(indices)
                supervisor.wanted.difference_update(indices)
                supervisor.condemn(indices)

    def deliver(self, name: str, call: EventCall) -> bool:
        """Take an event to a flow, and note what it asks for so that a restart can go on with it."""
        supervisor = self._supervisor
        with supervisor.lock:
            flow = supervisor.flows[name]
            if call.name == UNLINK_EVENT_NAME:
                self._note_unlink(call)
            if call.name == START_EVENT_NAME:
                call = self._hold_back(call)
                self._note_start([index for index in call.routines if index not in supervisor.killed])
            elif call.name == STOP_EVENT_NAME:
                supervisor.gates.let_go(call.routines)
                supervisor.wanted.difference_update(call.routines)
            taken = True
            if flow.ended:
                taken = call.name == KILL_EVENT_NAME
                for index in call.routines if taken else ():
                    supervisor.bus.answer(call.number, index, None, None)
            elif flow.takes_events or (flow.leaving and call.name == commands.RESULTS):  # answered beside the routine
                self.hand_over(flow, call)
            elif call.name == commands.CALL:
                taken = False  # another replica may have time for it
            else:
                self._let_wait(flow, call)
            if not taken and not call.number and flow.given_up:
                supervisor.logger.warning("event %r reaches nobody: flow %r has no process any more", call.name, name)
            if call.name == KILL_EVENT_NAME and all(index in supervisor.killed for index in flow.routines):
                supervisor.lives.end(flow)
                supervisor.watch.wake()
            return taken

    def _let_wait(self, flow: FlowRecord, call: EventCall) -> None:
        """Keep an event for the flow's next process, as it is now."""
        flow.waiting.append(call := self._packed(call))
        if call.name == UNLINK_EVENT_NAME and flow.handle is None:
            self._supervisor.memory.shut([edge for edge in self._supervisor.shut if self._is_from(flow, edge)])
            self.answer_unlinks(flow)
        if flow.leaving and call.name in (STOP_EVENT_NAME, KILL_EVENT_NAME):
            # The process that leaves does not begin with it either, but waits for room no longer.
            self.hand_over(flow, call)

    def _packed(self, call: EventCall) -> EventCall:
        if self._supervisor.settings.inline or isinstance(call.params, m.Packed):
            return call
        return replace(call, params=m.Packed.parameters(call.name, call.params))

    def _is_from(self, flow: FlowRecord, edge: int) -> bool:
        return self._supervisor.spec.edges[edge].source in flow.routines

    def answer_unlinks(self, flow: FlowRecord) -> None:
        """What was to be taken away from a flow is shut while it has no process: none will ever know these wires."""
        supervisor = self._supervisor
        for call in [call for call in flow.waiting if call.name == UNLINK_EVENT_NAME]:
            flow.waiting.remove(call)
            for index in call.routines:
                linked = bool(self._edges_of(call, index))
                failure = None if linked else (f"{supervisor.spec.routines[index].name!r} has no such wire", "")
                supervisor.bus.answer(call.number, index, linked or None, failure)

    def _hold_back(self, call: EventCall) -> EventCall:
        """Take those out of a start that must wait for other flows or for parameters."""
        supervisor = self._supervisor
        held = [
            index
            for index in call.routines
            if index not in supervisor.wanted
            and index not in supervisor.killed
            and supervisor.gates.waits_for(
                supervisor.spec.routines[index].flow, supervisor.progress.of_flow, supervisor.shared
            )
        ]
        for index in held:
            supervisor.gates.hold(supervisor.spec.routines[index].flow, [index])
            supervisor.bus.answer(call.number, index, None, None)
        return replace(call, routines=tuple(index for index in call.routines if index not in held)) if held else call

    def _note_unlink(self, call: EventCall) -> None:
        """Remember which edges are to be shut, also if their source dies before it does that."""
        supervisor = self._supervisor
        for index in call.routines:
            edges = self._edges_of(call, index)
            supervisor.shut.update(edge.index for edge in edges)
            for name in {supervisor.spec.routines[edge.destination].name for edge in edges}:
                supervisor.unlinked(supervisor.spec.routines[index].name, name)

    def _edges_of(self, call: EventCall, routine: int) -> list[EdgeSpec]:
        """The edges that an ``unlink`` of a routine's is about."""
        spec = self._supervisor.spec
        try:
            params = call.params.open() if isinstance(call.params, m.Packed) else call.params
            destination = spec.routine(str(params.get("unlink_routine_name")))
        except Exception:  # the routine will say what is wrong with them
            return []
        if destination is None:
            return []
        return [edge for edge in spec.outputs(routine) if edge.destination == destination.index]

    def hand_over(self, flow: FlowRecord, call: EventCall) -> None:
        """Send an event to a living flow; answer for its routines that were killed and cannot any more."""
        supervisor = self._supervisor
        assert flow.handle is not None
        living = tuple(index for index in call.routines if supervisor.states[index] is not RoutineState.KILLED)
        for index in set(call.routines) - set(living):
            failure = None if call.name in (KILL_EVENT_NAME, STOP_EVENT_NAME) else ("it was killed", "")
            supervisor.bus.answer(call.number, index, None, failure)
        if not living:
            return
        call = replace(call, routines=living)
        if not supervisor.settings.inline and not flow.leaving and is_passed_on(call.name):
            call = flow.unheard.note(self._packed(call), supervisor.board.heard)
        flow.handle.send(call)

    def _note_start(self, routines: Sequence[int]) -> None:
        """The streams of these routines begin anew. Said before any of them starts, so that none sees an old end."""
        supervisor = self._supervisor
        supervisor.wanted.update(routines)
        for index in routines:
            row = supervisor.board.routine(index)
            if not supervisor.board.words[row + b.STARTED_AT]:
                supervisor.board.words[row + b.STARTED_AT] = max(1, round(supervisor.settings.clock.now() * 1e9))
        idle = [index for index in routines if supervisor.states[index] in (RoutineState.IDLE, RoutineState.FAILED)]
        supervisor.memory.begin_streams(idle)
        for index in idle:
            if supervisor.flows[supervisor.spec.routines[index].process].ready:
                supervisor.states[index] = RoutineState.STARTING

    def answered(self, answer: m.EventAnswer) -> None:
        """A routine has answered an event."""
        supervisor = self._supervisor
        value, error = answer.value, answer.error
        if isinstance(value, m.Packed):
            try:
                value = value.open()
            except Exception as failure:
                value, error = None, (f"what its handler returned cannot be read here: {failure!r}", "")
        supervisor.bus.answer(answer.number, answer.routine, value, error)

    def asked(self, request: m.EventRequest, reply: Callable[[Any], None]) -> None:
        """A routine sends an event; *reply* takes what came of it to where it waits."""
        supervisor = self._supervisor
        routines = [supervisor.spec.routines[index] for index in request.routines]
        if request.request:
            supervisor.bus.start_call(
                request.name,
                routines,
                request.params,
                request.wait,
                lambda results: reply(m.EventReply(request.request, results)),
            )
            supervisor.watch.wake()
        else:
            supervisor.bus.send(request.name, routines, request.params)
