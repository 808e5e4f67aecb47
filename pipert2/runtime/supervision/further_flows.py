"""Flows that come while the pipe runs: a row of the board is kept for each of their routines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipert2.errors import FlowStartError, PipeStateError
from pipert2.graph.routine import Routine
from pipert2.graph.spec import with_flow

if TYPE_CHECKING:
    from pipert2.runtime.supervision.supervisor import Supervisor

COMES_UP = 30.0
"""Seconds that its process may take."""


@dataclass(frozen=True, slots=True)
class NewFlow:
    """A flow that comes: its *name*, which is new, and its *routines*."""

    name: str
    routines: tuple[Routine, ...]


def describe(supervisor: Supervisor, flow: NewFlow) -> None:
    """Let the pipe know of it. One that an earlier attempt got as far as this stays as it is.

    Raises:
        PipeStateError: there is no room for it on the board.
        SharedMemoryFullError: there is no memory for it.
    """
    if flow.name in supervisor.flows:
        return
    spec = supervisor.spec
    if len(flow.routines) > spec.spare_routines:
        raise PipeStateError(
            f"pipe {spec.name!r} has got as many further flows as there was room for: build it anew with {flow.name!r}"
        )
    grown = with_flow(spec, flow.name, flow.routines)
    if len(grown.edges) - len(spec.edges) > supervisor.memory.spare_edges:
        raise PipeStateError(f"pipe {spec.name!r} has got as many further wires as there was room for: build it anew")
    supervisor.memory.grow(grown)
    supervisor.grow(grown, flow.name, flow.routines)


def begin(supervisor: Supervisor, flow: NewFlow) -> None:
    """Start its process, and wait until that is up.

    Raises:
        FlowStartError: it did not come up.
    """
    with supervisor.lock:
        record = supervisor.flows[flow.name]
        if record.dormant:
            supervisor.replicas.wake_up(record, record)
    supervisor.watch.wake()
    supervisor.wait(lambda: record.ready or record.ended, COMES_UP)
    if not record.ready:
        why = f"its process ended ({record.last_exit})" if record.ended else f"it was not up after {COMES_UP:g} s"
        raise FlowStartError(flow.name, why)
