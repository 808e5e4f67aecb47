"""How far a running pipe is: what has finished, what waits for whom, and why nothing more will happen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipert2.graph.routine import RoutineKind
from pipert2.runtime.supervision.gates import Progress
from pipert2.transport import board as b
from pipert2.transport.board import RoutineState
from pipert2.transport.work_table import PUT, UNDONE

if TYPE_CHECKING:
    from pipert2.graph.spec import EdgeSpec, RoutineSpec
    from pipert2.runtime.supervision.supervisor import Supervisor

_RESTING = (RoutineState.IDLE, RoutineState.FAILED, RoutineState.KILLED)


class PipeProgress:
    """Reads the words of one pipe's memory and what its supervisor was told; changes nothing. For any thread."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    @property
    def settled(self) -> str | None:
        """Why nothing more will happen: ``"finished"``, a sentence about a failure, or None while something may."""
        supervisor = self._supervisor
        for flow in supervisor.flows.values():
            if flow.given_up:
                return f"flow {flow.name!r} died too often ({flow.last_exit}) and was not restarted"
        live = [routine.index for routine in supervisor.spec.routines if routine.index not in supervisor.killed]
        if not live or supervisor.ended:
            return "killed"
        for index in live:
            if supervisor.state(index) is RoutineState.FAILED and index in supervisor.wanted:
                name = supervisor.spec.routines[index].name
                return f"routine {name!r} failed: {supervisor.board.read_error(index)}"
        return "finished" if self.drained else self._never_started()

    @property
    def drained(self) -> bool:
        """Whether all streams have ended and everything has arrived, in the flows that are not given up."""
        wired = self._wired()
        if not wired and not self._supervisor.spec.links:  # routines that only handle events have no stream to end
            return False
        ends = (edge for index in wired for edge in self._supervisor.spec.inputs(index))
        return all(self.has_finished(index) for index in wired) and not any(
            self.has_waiting(edge) for edge in ends if not edge.feedback
        )

    @property
    def resting(self) -> bool:
        """Whether no routine does anything, nor has been asked to start."""
        supervisor = self._supervisor
        states = {supervisor.state(routine.index) for routine in supervisor.spec.routines}
        return not supervisor.gates.held and all(state in _RESTING for state in states)

    @property
    def given_up(self) -> int:
        """Messages that were given up in this run; also when the pipe has ended."""
        return self._supervisor.dead_letters.given_up

    def has_finished(self, index: int) -> bool:
        """Whether a routine's stream has ended, and the routine with it."""
        supervisor = self._supervisor
        finished = supervisor.board.words[supervisor.board.routine(index) + b.FINISHED]
        return bool(finished) and supervisor.state(index) is RoutineState.IDLE

    def streams_ended(self, flow: str) -> bool:
        """Whether all streams of a flow have ended; what they have sent may still be under way."""
        return all(
            self.has_finished(routine.index)
            for routine in self._supervisor.spec.routines
            if routine.flow == flow and routine.index not in self._supervisor.killed
        )

    def of_flow(self, flow: str) -> Progress:
        """How far a flow is: done when its streams have ended and all that came of them is acknowledged."""
        supervisor = self._supervisor
        if not self.streams_ended(flow):
            return Progress.UNDER_WAY
        for routine in supervisor.spec.routines:
            if routine.flow == flow and any(
                self._is_under_way(edge) for edge in supervisor.spec.outputs(routine.index)
            ):
                return Progress.UNDER_WAY
        return Progress.SPOILT if supervisor.dead_letters.concerning(flow) else Progress.DONE

    def _is_under_way(self, edge: EdgeSpec) -> bool:
        """Whether something that was sent on an edge is not acknowledged, or, where nothing is, not taken."""
        supervisor = self._supervisor
        if edge.shared:
            return bool(supervisor.memory.queues.get(edge.index).table.words[UNDONE])
        return self.has_waiting(edge)

    def has_waiting(self, edge: EdgeSpec) -> bool:
        """Whether something was sent on an edge that nobody has taken yet."""
        supervisor = self._supervisor
        if edge.shared:
            return bool(supervisor.memory.queues.get(edge.index).table.waiting)
        words, row = supervisor.board.words, supervisor.board.edge(edge.index)
        return bool(words[row + b.R] < words[row + b.W])

    def nothing_waits_for(self, routine: str) -> bool:
        """Whether all that was sent to a routine is done, or, on real-time wires, taken."""
        spec = self._supervisor.spec
        return not any(
            self._is_under_way(edge) for edge in spec.edges if spec.routines[edge.destination].name == routine
        )

    def nothing_on_its_way(self) -> bool:
        """Whether all that was sent on lossless wires is done, but for what those :attr:`on_trust` have in hand."""
        words, board = self._supervisor.board.words, self._supervisor.board
        return not any(
            self._is_under_way(edge) or (not edge.shared and words[board.routine(edge.destination) + b.BUSY_SINCE])
            for edge in self._lossless()
        )

    @property
    def on_trust(self) -> list[RoutineSpec]:
        """The routines that get messages of which no account is kept: only they know what they have in hand."""
        spec = self._supervisor.spec
        return [spec.routines[index] for index in {edge.destination for edge in self._lossless() if not edge.shared}]

    @property
    def put(self) -> list[int]:
        """How many messages were put on each lossless wire so far."""
        words, board, queues = self._supervisor.board.words, self._supervisor.board, self._supervisor.memory.queues
        return [
            int(queues.get(edge.index).table.words[PUT] if edge.shared else words[board.edge(edge.index) + b.W])
            for edge in self._lossless()
        ]

    def _lossless(self) -> list[EdgeSpec]:
        return [edge for edge in self._supervisor.spec.links if edge.lossless]

    def _wired(self) -> set[int]:
        """The routines that have wires, or a trigger, without those that were killed or given up."""
        supervisor = self._supervisor
        ends = {end for edge in supervisor.spec.links for end in (edge.source, edge.destination)}
        ends |= {
            routine.base
            for routine in supervisor.spec.routines
            if routine.kind is RoutineKind.SOURCE and supervisor.configurations.trigger(routine.name) is not None
        }
        wired = {member for end in ends for member in supervisor.spec.members(end)}
        wired.difference_update(*(flow.routines for flow in supervisor.flows.values() if flow.given_up))
        return {index for index in wired if index not in supervisor.killed}

    def _never_started(self) -> str | None:
        """Why flows that wait for others will never start, once nothing else is left to be done."""
        supervisor = self._supervisor
        hopeless = supervisor.gates.hopeless(self.of_flow)
        if not hopeless:
            return None
        todo = [index for routines in tuple(supervisor.gates.held.values()) for index in routines]
        for index in todo:  # what lies behind them has no end to come to, either
            todo += [edge.destination for edge in supervisor.spec.outputs(index) if edge.destination not in todo]
        late = {member for index in todo for member in supervisor.spec.members(index)}
        if not all(self.has_finished(index) for index in self._wired() - late) or not self.nothing_on_its_way():
            return None
        flow, other = hopeless[0]
        count = supervisor.dead_letters.concerning(other)
        what = "one message was" if count == 1 else f"{count} messages were"
        return f"flow {flow!r} never started: it depends on {other!r}, of which {what} given up (see the dead letters)"
