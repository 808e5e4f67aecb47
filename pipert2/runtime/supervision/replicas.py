"""The replicas of flows: those that there are, and those that there could be."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from pipert2.errors import PipeStateError
from pipert2.runtime.supervision.flow_record import FlowRecord
from pipert2.transport.board import RoutineState

if TYPE_CHECKING:
    from pipert2.runtime.supervision.supervisor import Supervisor


class Replicas:
    """Lets replicas come and go. All that a flow may ever have are numbered from the start; some of them sleep."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def is_present(self, routine: int) -> bool:
        """Whether there is a routine: it may belong to a replica that there could be."""
        supervisor = self._supervisor
        return not supervisor.flows[supervisor.spec.routines[routine].process].dormant

    def begin(self, flow: FlowRecord) -> bool:
        """Whether this is one of the replicas that a flow begins with; else it is put to sleep."""
        if self._replica(flow) < self._supervisor.settings.replicas.get(self._logical(flow), 1):
            return True
        self.put_to_sleep(flow)
        return False

    def put_to_sleep(self, flow: FlowRecord) -> None:
        """This is a replica that there could be, or a flow that has no process yet."""
        flow.dormant = flow.ended = True
        supervisor = self._supervisor
        supervisor.killed.update(flow.routines)
        supervisor.wanted.difference_update(flow.routines)
        for index in flow.routines:
            supervisor.states[index] = RoutineState.KILLED
        supervisor.memory.end_streams(flow.routines, RoutineState.KILLED)

    def set(self, name: str, count: int) -> None:
        """Change how many processes of a flow there are; those that go end the message in hand.

        Raises:
            PipeStateError: the flow was given no replicas when it was made, or not room for so many.
        """
        supervisor = self._supervisor
        with supervisor.lock:
            records = [flow for flow in supervisor.flows.values() if self._logical(flow) == name]
            if supervisor.settings.inline:
                raise PipeStateError(f"flow {name!r} runs inline, where the number of replicas stays as it was built")
            if name not in supervisor.settings.replicas:
                raise PipeStateError(
                    f"flow {name!r} has no replicas: make it with create_flow({name!r}, ..., replicas=1) to change that"
                )
            if not 1 <= count <= len(records):
                raise PipeStateError(
                    f"flow {name!r} may have 1 to {len(records)} replicas, which was settled when it was built with "
                    f"{supervisor.settings.replicas[name]}; not {count}"
                )
            for flow in records:
                if self._replica(flow) >= count and not flow.dormant:
                    flow.dormant = True
                    supervisor.killed.update(flow.routines)
                    supervisor.wanted.difference_update(flow.routines)
                    supervisor.lives.end(flow)
                elif self._replica(flow) < count and flow.dormant:
                    if not flow.ended:
                        raise PipeStateError(f"flow {flow.name!r} is still ending: try again in a moment")
                    self.wake_up(flow, records[0])
        supervisor.watch.wake()

    def wake_up(self, flow: FlowRecord, first: FlowRecord) -> None:
        """Let one that sleeps come into being, as its flow's first replica is; :meth:`Watch.wake` has it looked at.

        Raises:
            PipeStateError: the pipe was killed.
        """
        supervisor = self._supervisor
        supervisor.must_not_be_killed()
        flow.dormant = flow.ended = flow.exiting = flow.given_up = False
        flow.revived = True
        flow.restarts = -1
        flow.last_exit = None
        flow.deaths.clear()
        supervisor.killed.difference_update(flow.routines)
        supervisor.wanted.update(
            index for index, base in zip(flow.routines, first.routines, strict=True) if base in supervisor.wanted
        )
        supervisor.memory.revive(flow.routines)
        for index in flow.routines:
            supervisor.set_state(index, RoutineState.IDLE)
        flow.restart_at = monotonic()

    def _logical(self, flow: FlowRecord) -> str:
        """The name that a flow's replicas have in common."""
        supervisor = self._supervisor
        return supervisor.spec.routines[flow.routines[0]].flow

    def _replica(self, flow: FlowRecord) -> int:
        """Which of its flow's replicas it is, from 0."""
        supervisor = self._supervisor
        return supervisor.spec.routines[flow.routines[0]].replica
