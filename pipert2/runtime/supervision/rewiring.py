"""Wires that come and go while the pipe runs.

Data that a routine made may travel on a wire far behind it, when those in between pass it on. Before the first of it
does, the pool that the data lies in must watch the new wire, or it would use a slot again that somebody still reads.
So a wire comes in two steps: all flows learn of it and say so, and only then does its source open it.

Whether a wire is open is told by the word ``CLOSED`` of its edge, which a new process of the source goes by. While the
source has no process, or has not yet handled what it was sent, ``Supervisor.shut`` tells which edges are to be closed.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from pipert2.errors import EventTimeoutError, PipeBuildError, PipeStateError, UnsendableDataError
from pipert2.graph.spec import EdgeSpec, RoutineSpec, with_edges
from pipert2.runtime import commands
from pipert2.runtime.supervision.further_flows import NewFlow, begin, describe
from pipert2.runtime.supervision.supervisor import Supervisor
from pipert2.transport import board as b
from pipert2.transport.board import RoutineState
from pipert2.transport.codec import dumps_plain


class Rewiring:
    """Adds wires to one running pipe and takes them away, one request at a time."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._lock = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """The pipe has ended; what is under way is waited for, its calls are answered by now."""
        with self._lock:
            self._closed = True

    def _must_be_open(self) -> None:
        if self._closed:
            raise PipeStateError(f"pipe {self._supervisor.spec.name!r} has ended, create a new one")

    def link(self, edges: Sequence[EdgeSpec], wait: float, flow: NewFlow | None = None) -> None:
        """Add edges; their numbers are given here. When this returns, their sources send on them.

        Args:
            edges: what to add.
            wait: seconds that routines may take to end the message in hand.
            flow: has a process when they are opened; a further one is numbered as :func:`with_flow` does.

        Raises:
            PipeStateError: there is no room on the board, or a routine did not answer; no edge was opened then.
            FlowStartError: the flow's process did not come up; likewise.
            PipeBuildError: a data transmitter does not work.
            SharedMemoryFullError: there is no memory for their rings.
        """
        for edge in edges:
            self._try_transmitter(edge)
        with self._lock:
            self._must_be_open()
            if flow is not None:
                describe(self._supervisor, flow)
            numbers = self._make(edges)
            self._let_all_learn(wait)
            if flow is not None:
                begin(self._supervisor, flow)
            opened: list[int] = []
            try:
                for number in numbers:
                    opened.append(number)
                    self._open(number, wait)
            except PipeStateError:
                self._shut(opened)
                raise
            for number in numbers:
                self._supervisor.go_on([self._supervisor.spec.edges[number].destination])

    def unlink(self, source: int, destination: int, wait: float) -> None:
        """Close the edges from one routine to another; returns when nothing more is sent on them, or *wait* is over."""
        supervisor = self._supervisor
        words, board = supervisor.board.words, supervisor.board
        with self._lock:
            self._must_be_open()
            spec, ends = supervisor.spec, supervisor.spec.members(destination)
            edges = {edge.index: edge for one in spec.members(source) for edge in spec.outputs(one)}
            numbers = [
                number
                for number, edge in edges.items()
                if edge.destination in ends and not words[board.edge(number) + b.CLOSED]
            ]
            senders = self._there(source)
            supervisor.shut.update(numbers)
            supervisor.bus.call(commands.SHUT, senders, {"edges": numbers}, wait)
            living = {one.index for one in senders if not supervisor.flows[one.process].ended}
            supervisor.memory.shut(
                [
                    number
                    for number in numbers
                    if not (living if edges[number].shared else {edges[number].source} & living)
                ]
            )

    @staticmethod
    def _try_transmitter(edge: EdgeSpec) -> None:
        """What would keep each later process of the two flows from coming up is found here."""
        try:
            dumps_plain(edge.transmitter)
            edge.transmitter.transmit()
            edge.transmitter.receive()
        except UnsendableDataError as error:
            raise PipeBuildError(
                [f"the data transmitter {edge.transmitter!r} of the new wire: {error.reason}"]
            ) from error
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise PipeBuildError([f"the data transmitter {edge.transmitter!r} of the new wire: {reason}"]) from error

    def _make(self, edges: Sequence[EdgeSpec]) -> list[int]:
        """Make what the edges need, or find those that were taken away and come back; their numbers."""
        supervisor = self._supervisor
        gone = self._gone()
        numbers: list[int | None] = []
        fresh: list[EdgeSpec] = []
        spec = supervisor.spec
        for edge in edges:
            described = with_edges(spec, [edge], gone)
            twin = self._shut_twin(described.edges[-1], gone)
            numbers.append(twin)
            if twin is None:
                fresh.append(edge)
                spec = described
        if len(fresh) > supervisor.memory.spare_edges:
            raise PipeStateError(
                f"pipe {spec.name!r} has got {b.SPARE_EDGES} further wires since it was built, there is no room for "
                "more: build it anew with the wires it needs"
            )
        first = len(supervisor.spec.edges)
        supervisor.memory.grow(spec)
        supervisor.spec = spec  # a flow that is started from now on knows them
        new = iter(range(first, len(spec.edges)))
        return [number if number is not None else next(new) for number in numbers]

    def _gone(self) -> set[int]:
        words, board = self._supervisor.board.words, self._supervisor.board
        edges = self._supervisor.spec.edges
        return {edge.index for edge in edges if words[board.edge(edge.index) + b.CLOSED]} | self._supervisor.shut

    def _shut_twin(self, edge: EdgeSpec, gone: set[int]) -> int | None:
        for known in self._supervisor.spec.edges:
            same = replace(known, index=edge.index) == edge and repr(known.transmitter) == repr(edge.transmitter)
            if same and known.index in gone:
                return known.index
        return None

    def _let_all_learn(self, wait: float) -> None:
        supervisor = self._supervisor
        routines = supervisor.spec.routines
        lives = self._lives()
        results = supervisor.bus.call(commands.LEARN, routines, {"spec": supervisor.spec}, wait)
        for spec in routines:
            error = results[spec.label].error if spec.label in results else None
            if error is None or self._is_gone(spec.index):
                continue
            if isinstance(error, EventTimeoutError):
                reason = f"did not end the message in hand within {wait:g} s"
            elif lives[spec.process] != self._lives()[spec.process]:
                continue  # its next process begins with the new description
            else:
                reason = error.reason
            raise PipeStateError(f"no wire was added: {spec.name!r} {reason}")

    def _open(self, number: int, wait: float) -> None:
        supervisor = self._supervisor
        words, row = supervisor.board.words, supervisor.board.edge(number)
        edge = supervisor.spec.edges[number]
        senders = self._there(edge.source)
        lives = self._lives()
        supervisor.shut.discard(number)
        # The sender's word, but an edge that is shut has none. If its flow dies now, the next process sees this.
        words[row + b.CLOSED] = 0
        results = supervisor.bus.call(commands.OPEN, senders, {"edge": number}, wait)
        gone = [one for one in senders if self._is_gone(one.index)]
        if len(gone) == len(senders):
            raise PipeStateError(f"no wire was added: {supervisor.spec.routines[edge.source].name!r} was killed")
        for one in senders:
            error = results[one.label].error if one.label in results else None
            if error is None or one in gone:
                continue
            if isinstance(error, EventTimeoutError):
                raise PipeStateError(
                    f"no wire was added: {one.name!r} did not end the message in hand within {wait:g} s"
                )
            if lives[one.process] == self._lives()[one.process]:
                raise PipeStateError(f"no wire was added: {one.name!r}: {error.reason}")

    def _shut(self, numbers: Sequence[int]) -> None:
        """Take back what was opened; a source that has not answered yet finds this behind what it was sent before."""
        supervisor = self._supervisor
        supervisor.shut.update(numbers)
        for number in numbers:
            senders = self._there(supervisor.spec.edges[number].source)
            flows = [supervisor.flows[one.process] for one in senders]
            if all(flow.ended or flow.handle is None for flow in flows):
                supervisor.memory.shut([number])
            living = [one for one, flow in zip(senders, flows, strict=True) if not flow.ended]
            supervisor.bus.send(commands.SHUT, living, {"edges": [number]})

    def _there(self, routine: int) -> list[RoutineSpec]:
        """All replicas of a routine that there are."""
        supervisor = self._supervisor
        members = supervisor.spec.members(routine)
        return [supervisor.spec.routines[index] for index in members if supervisor.replicas.is_present(index)]

    def _is_gone(self, routine: int) -> bool:
        supervisor = self._supervisor
        ended = supervisor.flows[supervisor.spec.routines[routine].process].ended
        return ended or supervisor.state(routine) is RoutineState.KILLED

    def _lives(self) -> dict[str, tuple[int, bool]]:
        """Which life each flow is in; different after a death."""
        return {name: (flow.restarts, flow.ready) for name, flow in self._supervisor.flows.items()}
