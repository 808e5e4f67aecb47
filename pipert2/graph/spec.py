"""The pipe as a frozen description: numbered routines and edges, and who can pass what on to whom."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipert2.graph.handlers import BUILT_IN_EVENTS, event_handlers
from pipert2.graph.routine import Routine, RoutineKind
from pipert2.graph.transmitter import BasicTransmitter, DataTransmitter
from pipert2.graph.wire import LOSSLESS_CAPACITY, REAL_TIME_CAPACITY, QueueNetwork, Wire


@dataclass(frozen=True, slots=True)
class RoutineSpec:
    """A routine as the pipe knows it. *index* numbers it within the pipe."""

    index: int
    name: str
    flow: str
    kind: RoutineKind
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EdgeSpec:
    """One source to one destination: what a wire is made of. *index* numbers it within the pipe.

    Attributes:
        crosses: whether it leads from one flow to another.
        feedback: whether it leads back, closing a circle; the end of its stream is not waited for.
    """

    index: int
    source: int
    destination: int
    lossless: bool
    capacity: int
    transmitter: DataTransmitter = field(compare=False)
    crosses: bool
    feedback: bool = False


@dataclass(frozen=True, slots=True)
class PipeSpec:
    """All that is fixed about a pipe once it is built."""

    name: str
    flows: Mapping[str, tuple[int, ...]]
    routines: tuple[RoutineSpec, ...]
    edges: tuple[EdgeSpec, ...]
    patience: float

    def routine(self, name: str) -> RoutineSpec | None:
        """The routine of this name, None if there is none."""
        return next((routine for routine in self.routines if routine.name == name), None)

    def inputs(self, routine: int) -> tuple[EdgeSpec, ...]:
        """The edges into a routine."""
        return tuple(edge for edge in self.edges if edge.destination == routine)

    def outputs(self, routine: int) -> tuple[EdgeSpec, ...]:
        """The edges out of a routine."""
        return tuple(edge for edge in self.edges if edge.source == routine)

    def carriers(self, routine: int) -> tuple[EdgeSpec, ...]:
        """The crossing edges that data made by *routine* can travel on when everyone behind it passes it on."""
        seen, todo, found = {routine}, [routine], []
        while todo:
            for edge in self.outputs(todo.pop()):
                if edge.crosses:
                    found.append(edge)
                if edge.destination not in seen:
                    seen.add(edge.destination)
                    todo.append(edge.destination)
        return tuple(found)


def settled_kind(routine: Routine, has_inputs: bool, has_outputs: bool) -> RoutineKind:
    """What a routine is in this pipe: what its class says, else what its wires make of it."""
    if routine.kind is not RoutineKind.ANY:
        return routine.kind
    if not has_inputs:
        return RoutineKind.SOURCE
    return RoutineKind.MIDDLE if has_outputs else RoutineKind.DESTINATION


def capacity_of(wire: Wire, lossless: bool, network: QueueNetwork) -> int:
    """How many messages may wait on a wire: its own word, else the network's, else the rule's default."""
    if wire.capacity is not None:
        return wire.capacity
    if network.max_queue_sizes != REAL_TIME_CAPACITY:
        return network.max_queue_sizes
    if lossless and not network.put_block:
        return LOSSLESS_CAPACITY
    return network.max_queue_sizes


def _feedback(links: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
    """The links that close circles: to a routine that is no further from the sources and that leads here again."""
    following: dict[int, list[int]] = {}
    for start, end in links:
        following.setdefault(start, []).append(end)

    def distances(starts: set[int]) -> dict[int, int]:
        found = dict.fromkeys(starts, 0)
        todo = list(starts)
        for routine in todo:
            for end in following.get(routine, ()):
                if end not in found:
                    found[end] = found[routine] + 1
                    todo.append(end)
        return found

    depth = distances({start for start, _ in links} - {end for _, end in links})
    return {
        (start, end) for start, end in links if depth.get(end, 0) <= depth.get(start, 0) and start in distances({end})
    }


def make_edges(
    flows: Mapping[str, Sequence[Routine]],
    wires: Sequence[Wire],
    *,
    network: QueueNetwork,
    lossless: bool,
    data_transmitter: DataTransmitter | None,
) -> list[EdgeSpec]:
    """What wires are made of, numbered from 0, with the rules that hold where a wire says nothing."""
    order = [(flow, routine) for flow, routines in flows.items() for routine in routines]
    index = {id(routine): number for number, (_, routine) in enumerate(order)}
    flow_of = {id(routine): flow for flow, routine in order}
    edges: list[EdgeSpec] = []
    for wire in wires:
        rule = wire.lossless if wire.lossless is not None else (lossless or network.put_block)
        for end in wire.destinations:
            edges.append(
                EdgeSpec(
                    index=len(edges),
                    source=index[id(wire.source)],
                    destination=index[id(end)],
                    lossless=rule,
                    capacity=capacity_of(wire, rule, network),
                    transmitter=wire.data_transmitter or data_transmitter or BasicTransmitter(),
                    crosses=flow_of[id(wire.source)] != flow_of[id(end)],
                )
            )
    return edges


def make_spec(
    name: str,
    flows: Mapping[str, Sequence[Routine]],
    wires: Sequence[Wire],
    *,
    network: QueueNetwork,
    lossless: bool,
    data_transmitter: DataTransmitter | None,
) -> PipeSpec:
    """Number everything. What is described must have been validated before."""
    order = [(flow, routine) for flow, routines in flows.items() for routine in routines]
    index = {id(routine): number for number, (_, routine) in enumerate(order)}
    edges = make_edges(flows, wires, network=network, lossless=lossless, data_transmitter=data_transmitter)
    fed = {edge.destination for edge in edges}
    feeding = {edge.source for edge in edges}
    back = _feedback([(edge.source, edge.destination) for edge in edges])
    edges = [replace(edge, feedback=(edge.source, edge.destination) in back) for edge in edges]
    routines = tuple(
        RoutineSpec(
            number,
            routine.name,
            flow,
            settled_kind(routine, number in fed, number in feeding),
            tuple(sorted(set(event_handlers(type(routine))) - set(BUILT_IN_EVENTS))),
        )
        for number, (flow, routine) in enumerate(order)
    )
    members = {flow: tuple(index[id(routine)] for routine in routines) for flow, routines in flows.items()}
    return PipeSpec(name, members, routines, tuple(edges), network.timeout)


def with_edges(spec: PipeSpec, edges: Sequence[EdgeSpec], gone: Collection[int] = ()) -> PipeSpec:
    """The pipe with further edges, numbered after those it has; one that leads back to its own source is feedback.

    Args:
        gone: numbers of edges that were taken away, which lead nowhere.
    """
    for edge in edges:
        behind, todo = {edge.destination}, [edge.destination]
        while todo:
            for after in spec.outputs(todo.pop()):
                if after.destination not in behind and after.index not in gone:
                    behind.add(after.destination)
                    todo.append(after.destination)
        numbered = replace(edge, index=len(spec.edges), feedback=edge.source in behind)
        spec = replace(spec, edges=(*spec.edges, numbered))
    return spec
