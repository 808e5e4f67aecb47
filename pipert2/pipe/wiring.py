"""Wires that come and go, before a pipe is built and while it runs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from pipert2.errors import PipeBuildError, PipeStateError
from pipert2.graph.routine import Routine
from pipert2.graph.spec import EdgeSpec, PipeSpec
from pipert2.graph.wire import Wire
from pipert2.pipe.base import PipeBase
from pipert2.runtime.supervision.rewiring import Rewiring
from pipert2.runtime.supervision.supervisor import Supervisor
from pipert2.transport.board import RoutineState


class WiringVerbs(PipeBase):
    """Link and unlink."""

    _rewiring: Rewiring | None
    _wiring: threading.RLock

    def link(self, *wires: Wire, wait: float = 5.0) -> None:
        """Add wires, also while the pipe runs: what their sources send after this returns travels on them.

        Args:
            wires: of a pipe that is built, each leads to a routine that had an input when it was built, and none lies
                within a flow with replicas.
            wait: seconds that the routines of a running pipe may take to end the message in hand.

        Raises:
            PipeBuildError: a running pipe cannot have such a wire; it is as it was.
            PipeStateError: the pipe has ended, or a routine did not get ready for the wire in time.
            TypeError: something given is not a wire.
        """
        for wire in wires:
            _check_wire(wire)
        with self._wiring:
            with self._lock:
                supervisor, rewiring = self._supervisor, self._rewiring
                if supervisor is None or rewiring is None:
                    self._must_be_new("link")
                    self.blueprint.add_wires(wires)
                    return
            rewiring.link(self._new_edges(supervisor, wires), wait)
            self.blueprint.add_wires(wires)

    def _new_edges(self, supervisor: Supervisor, wires: Sequence[Wire]) -> list[EdgeSpec]:
        self._check_new(wires)
        spec = supervisor.spec
        edges = self._numbered(spec, self.blueprint.edges(wires))
        for edge in edges:
            source, end = spec.routines[edge.source].name, spec.routines[edge.destination].name
            if not edge.crosses and spec.routines[edge.source].replicated:
                raise PipeBuildError(
                    [f"wire {source!r} -> {end!r}: it is within a flow with replicas: build the pipe with it"]
                )
            if not spec.inputs(edge.destination):
                raise PipeBuildError(
                    [f"{end!r} had no input when the pipe was built, so it cannot get one now: link it before"]
                )
            for index in (edge.source, edge.destination):
                if supervisor.state(index) is RoutineState.KILLED:
                    raise PipeStateError(f"link {source!r} to {end!r}: {spec.routines[index].name!r} was killed")
        return edges

    def _numbered(self, spec: PipeSpec, edges: Sequence[EdgeSpec]) -> list[EdgeSpec]:
        """Edges by the numbers of the running pipe, where a further flow's routines come behind all replicas."""
        names = [routine.name for routine in self.blueprint.routines]
        number = {routine.name: routine.base for routine in spec.routines}
        return [
            replace(edge, source=number[names[edge.source]], destination=number[names[edge.destination]])
            for edge in edges
        ]

    def _check_new(self, wires: Sequence[Wire]) -> None:
        """Raise what is wrong with further wires."""
        for wire in wires:
            _check_wire(wire)
        before = self.blueprint.problems()
        found = [text for text in self.blueprint.problems(wires) if text not in before]
        if found:
            raise PipeBuildError(found)

    def unlink(self, source: Routine | str, destination: Routine | str, *, wait: float = 5.0) -> None:
        """Take the wire from one routine to another away, also while the pipe runs.

        What waits on the wire is still delivered; a routine without any other input ends its stream then. If the wire
        comes back with another rule, what still waited on the old one may arrive among what comes on the new one.

        Args:
            source: the routine that sends, or its name.
            destination: the routine that gets nothing from it any more, or its name.
            wait: seconds that the source may take to end the message in hand; the wire is taken away in any case.

        Raises:
            UnknownRoutineError, UnknownWireError: there is no such routine, or no wire between the two.
        """
        start, end = (item.name if isinstance(item, Routine) else item for item in (source, destination))
        self.blueprint.check_wire(start, end)
        self.blueprint.forget(start, end)
        with self._lock:
            supervisor, rewiring = self._supervisor, self._rewiring
        if supervisor is not None and rewiring is not None:
            rewiring.unlink(self._index(supervisor, start), self._index(supervisor, end), wait)


def _check_wire(wire: object) -> None:
    if not isinstance(wire, Wire):
        raise TypeError(f"link takes wires, as in link(Wire(source=a, destinations=(b,))), not {wire!r}")
