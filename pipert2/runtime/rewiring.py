"""Further wires for a running pipe, in two steps: everybody learns of them, then the sources open them.

Data that a routine made may travel on a wire far behind it, when those in between pass it on. Before the first of it
does, the pool that the data lies in must watch the new wire, or it would use a slot again that somebody still reads.
So no source opens a wire before all flows have said that they know it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from pipert2.errors import PipeStateError
from pipert2.graph.spec import EdgeSpec, with_edges
from pipert2.runtime import commands
from pipert2.runtime.supervisor import Supervisor
from pipert2.transport import board as b
from pipert2.transport.board import RoutineState


class Rewiring:
    """Adds wires to one running pipe, one request at a time."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._lock = threading.Lock()

    def link(self, edges: Sequence[EdgeSpec], wait: float) -> None:
        """Add edges; their numbers are given here. When this returns, their sources send on them.

        Args:
            wait: seconds that routines may take to end the message in hand.

        Raises:
            PipeStateError: there is no room on the board, or a routine did not answer; no edge was opened then.
            SharedMemoryFullError: there is no memory for their rings.
        """
        with self._lock:
            numbers = self._make(edges)
            self._let_all_learn(wait)
            self._open(numbers, wait)

    def _make(self, edges: Sequence[EdgeSpec]) -> list[int]:
        """Make what the edges need, or find those that were taken away and come back; their numbers."""
        supervisor = self._supervisor
        twins = [self._shut_twin(edge) for edge in edges]
        fresh = [edge for edge, twin in zip(edges, twins, strict=True) if twin is None]
        if len(fresh) > supervisor.memory.spare_edges:
            raise PipeStateError(
                f"pipe {supervisor.spec.name!r} has got {b.SPARE_EDGES} further wires since it was built, there is no "
                "room for more: build it anew with the wires it needs"
            )
        first = len(supervisor.spec.edges)
        spec = with_edges(supervisor.spec, fresh)
        supervisor.memory.add_edges(spec)
        supervisor.spec = spec  # a flow that is started from now on knows them
        numbers = iter(range(first, len(spec.edges)))
        return [twin if twin is not None else next(numbers) for twin in twins]

    def _shut_twin(self, edge: EdgeSpec) -> int | None:
        words, board = self._supervisor.board.words, self._supervisor.board
        for known in self._supervisor.spec.edges:
            same = replace(known, index=edge.index, feedback=edge.feedback) == edge
            if same and repr(known.transmitter) == repr(edge.transmitter) and words[board.edge(known.index) + b.CLOSED]:
                return known.index
        return None

    def _let_all_learn(self, wait: float) -> None:
        supervisor = self._supervisor
        routines = supervisor.spec.routines
        results = supervisor.bus.call(commands.LEARN, routines, {"spec": supervisor.spec}, wait)
        late = [
            spec.name
            for spec in routines
            if results[spec.name].error is not None
            and supervisor.state(spec.index) is not RoutineState.KILLED
            and not supervisor.flows[spec.flow].ended
        ]
        if late:
            names = ", ".join(repr(name) for name in late)
            raise PipeStateError(f"no wire was added: {names} did not end the message in hand within {wait:g} s")

    def _open(self, numbers: Sequence[int], wait: float) -> None:
        supervisor = self._supervisor
        words, board = supervisor.board.words, supervisor.board
        for number in numbers:
            # The sender's word, but an edge that is shut has none. If its flow dies now, the next process sees this.
            words[board.edge(number) + b.CLOSED] = 0
            edge = supervisor.spec.edges[number]
            supervisor.ask(commands.OPEN, edge.source, {"edge": number}, wait)
            supervisor.go_on(self._behind(edge))

    def _behind(self, edge: EdgeSpec) -> list[int]:
        found = [edge.destination]
        for index in found:
            found += [
                after.destination for after in self._supervisor.spec.outputs(index) if after.destination not in found
            ]
        return found
