"""The pipe as a frozen description: numbered routines and edges, and who can pass what on to whom."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipert2.graph.handlers import BUILT_IN_EVENTS, event_handlers
from pipert2.graph.routine import Routine, RoutineKind
from pipert2.graph.transmitter import BasicTransmitter, DataTransmitter
from pipert2.graph.wire import FEEDBACK_CAPACITY, LOSSLESS_CAPACITY, REAL_TIME_CAPACITY, QueueNetwork, Wire

MOST_REPLICAS = 64
"""Processes of one flow."""
LEDGER_CAPACITY = 1024
"""Messages that a source may have unacknowledged where account is kept, and nothing else was said."""


@dataclass(frozen=True, slots=True)
class RoutineSpec:
    """A routine as the pipe knows it; one of each of its replicas.

    Attributes:
        index: numbers it within the pipe.
        base: the index of its first replica, its own if it is that one.
        replica: which of the flow's replicas it is in, from 0.
        replicated: whether its flow may have several replicas.
        retries: how often a message that fails is tried again.
        concurrency: how many messages it works on at once.
        max_in_flight: how many messages a source may have unacknowledged; None: as many as fit.
        returned_to: whether it is told what destinations return for its messages.
        leaves: the names of routines whose data this replica leaves to the others.
    """

    index: int
    name: str
    flow: str
    kind: RoutineKind
    events: tuple[str, ...]
    base: int = -1
    replica: int = 0
    replicated: bool = False
    retries: int = 0
    concurrency: int = 1
    max_in_flight: int | None = None
    returned_to: bool = False
    leaves: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.base < 0:
            object.__setattr__(self, "base", self.index)

    @property
    def process(self) -> str:
        """The key of its process in :attr:`PipeSpec.flows`."""
        return process_name(self.flow, self.replica)

    @property
    def label(self) -> str:
        """Its name, told apart from its replicas'."""
        return process_name(self.name, self.replica) if self.replicated else self.name


def process_name(flow: str, replica: int) -> str:
    """The name of one replica of a flow."""
    return f"{flow}#{replica + 1}" if replica else flow


@dataclass(frozen=True, slots=True)
class EdgeSpec:
    """One source to one destination: what a wire is made of. *index* numbers it within the pipe.

    Attributes:
        crosses: whether it leads from one flow to another.
        feedback: whether it leads back, closing a circle; the end of its stream is not waited for.
        shared: whether all replicas of its source put into one queue, for which those of its destination compete, and
            which keeps messages until all that came of them is done; *source* and *destination* are the first replicas.
        where: which messages travel on it, as :class:`Wire` says it; None: all.
        ledger: it leads nowhere: its source keeps account there of what it has sent and is not acknowledged yet.
    """

    index: int
    source: int
    destination: int
    lossless: bool
    capacity: int
    transmitter: DataTransmitter = field(compare=False)
    crosses: bool
    feedback: bool = False
    shared: bool = False
    where: Callable[[Any], Any] | None = field(default=None, compare=False)
    ledger: bool = False


@dataclass(frozen=True, slots=True)
class PipeSpec:
    """All that is fixed about a pipe once it is built.

    Attributes:
        flows: by process, the indices of its routines; a flow's replicas are processes of their own.
        acknowledged: whether its lossless wires lose nothing even if a process dies.
        depends_on: by flow, the flows that must be done before it starts.
        partial: whether there are more routines, at other sites.
        spare_routines: how many routines may come while it runs.
    """

    name: str
    flows: Mapping[str, tuple[int, ...]]
    routines: tuple[RoutineSpec, ...]
    edges: tuple[EdgeSpec, ...]
    patience: float
    acknowledged: bool = False
    depends_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    partial: bool = False
    spare_routines: int = 0

    @property
    def rows(self) -> int:
        """Rows of routines on the board, which stay as many however many come."""
        return len(self.routines) + self.spare_routines

    def members(self, routine: int) -> tuple[int, ...]:
        """The indices of all replicas of a routine."""
        base = self.routines[routine].base
        return tuple(other.index for other in self.routines if other.base == base)

    @property
    def links(self) -> tuple[EdgeSpec, ...]:
        """The edges that lead from one routine to another."""
        return tuple(edge for edge in self.edges if not edge.ledger)

    def ledger(self, routine: int) -> EdgeSpec | None:
        """Where a source keeps account of what is not acknowledged yet, if it does."""
        base = self.routines[routine].base
        return next((edge for edge in self.edges if edge.ledger and edge.source == base), None)

    def routine(self, name: str) -> RoutineSpec | None:
        """The routine of this name, None if there is none."""
        return next((routine for routine in self.routines if routine.name == name), None)

    def ledgers_of_circle(self, routine: int) -> tuple[EdgeSpec, ...]:
        """Where sources keep account of what may come back to a routine, where its queues alone do not tell that."""
        if not self.acknowledged or not _needs_ledgers(self.inputs(routine)):
            return ()
        sources = _sources(self.links, self.routines[routine].base)
        return tuple(edge for edge in self.edges if edge.ledger and edge.source in sources)

    def inputs(self, routine: int) -> tuple[EdgeSpec, ...]:
        """The edges into a routine, without those that it leaves to its other replicas."""
        base, leaves = self.routines[routine].base, self.routines[routine].leaves
        return tuple(
            edge
            for edge in self.edges
            if not edge.ledger
            and edge.destination == (base if edge.shared else routine)
            and self.routines[edge.source].name not in leaves
        )

    def outputs(self, routine: int) -> tuple[EdgeSpec, ...]:
        """The edges out of a routine."""
        base = self.routines[routine].base
        return tuple(
            edge for edge in self.edges if not edge.ledger and edge.source == (base if edge.shared else routine)
        )

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
    if lossless and wire.feedback:
        return FEEDBACK_CAPACITY
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
    replicas: Mapping[str, int] | None = None,
) -> list[EdgeSpec]:
    """What wires are made of, numbered from 0, with the rules that hold where a wire says nothing.

    Args:
        lossless: the pipe's word: its lossless wires lose nothing even if a process dies.
        replicas: the number of replicas of flows that may have several.
    """
    several = replicas or {}
    order = [(flow, routine) for flow, routines in flows.items() for routine in routines]
    index = {id(routine): number for number, (_, routine) in enumerate(order)}
    flow_of = {id(routine): flow for flow, routine in order}
    edges: list[EdgeSpec] = []
    for wire in wires:
        rule = wire.lossless if wire.lossless is not None else (lossless or network.put_block)
        for end in wire.destinations:
            flows_of = flow_of[id(wire.source)], flow_of[id(end)]
            crosses = flows_of[0] != flows_of[1]
            edges.append(
                EdgeSpec(
                    index=len(edges),
                    source=index[id(wire.source)],
                    destination=index[id(end)],
                    lossless=rule,
                    capacity=capacity_of(wire, rule, network),
                    transmitter=wire.data_transmitter or data_transmitter or BasicTransmitter(),
                    crosses=crosses,
                    feedback=wire.feedback,
                    shared=crosses and (any(flow in several for flow in flows_of) or (lossless and rule)),
                    where=wire.where,
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
    replicas: Mapping[str, int] | None = None,
    depends_on: Mapping[str, tuple[str, ...]] | None = None,
    most_replicas: Callable[[int], int] = lambda count: count,
) -> PipeSpec:
    """Number everything, replicas behind all first ones. What is described must have been validated before.

    Args:
        most_replicas: how many replicas a flow with so many may come to have while the pipe runs; all are numbered.
    """
    several = replicas or {}
    order = [(flow, routine) for flow, routines in flows.items() for routine in routines]
    index = {id(routine): number for number, (_, routine) in enumerate(order)}
    edges = make_edges(
        flows,
        wires,
        network=network,
        lossless=lossless,
        data_transmitter=data_transmitter,
        replicas=several,
    )
    fed = {edge.destination for edge in edges}
    feeding = {edge.source for edge in edges}
    back = _feedback([(edge.source, edge.destination) for edge in edges if not edge.feedback])
    edges = [replace(edge, feedback=edge.feedback or (edge.source, edge.destination) in back) for edge in edges]
    bounds = {number: most for number, (_, one) in enumerate(order) if (most := one.max_in_flight) is not None}
    if lossless:
        for end in {edge.destination for edge in edges if edge.feedback}:
            if _needs_ledgers([edge for edge in edges if edge.destination == end]):
                for source in sorted(_sources(edges, end)):
                    bounds.setdefault(source, LEDGER_CAPACITY)
    edges += [_ledger(len(edges) + at, source, most) for at, (source, most) in enumerate(bounds.items())]
    routines = tuple(
        _described(number, routine, flow, settled_kind(routine, number in fed, number in feeding), flow in several)
        for number, (flow, routine) in enumerate(order)
    )
    members = {flow: tuple(index[id(routine)] for routine in routines) for flow, routines in flows.items()}
    spec = PipeSpec(name, members, routines, tuple(edges), network.timeout, lossless, dict(depends_on or {}))
    for flow, count in several.items():
        for replica in range(1, max(count, most_replicas(count))):
            spec = with_replica(spec, flow, replica)
    return spec


def _described(index: int, routine: Routine, flow: str, kind: RoutineKind, replicated: bool) -> RoutineSpec:
    return RoutineSpec(
        index,
        routine.name,
        flow,
        kind,
        tuple(sorted(set(event_handlers(type(routine))) - set(BUILT_IN_EVENTS))),
        replicated=replicated,
        retries=routine.retries,
        concurrency=routine.concurrency,
        max_in_flight=routine.max_in_flight,
        returned_to=routine.max_in_flight == 1 or routine._returned_to,
    )


def _needs_ledgers(inputs: Iterable[EdgeSpec]) -> bool:
    """Whether data comes back to a routine with these inputs, and one of them lies within its flow.

    If none does, its queues know of each message until all that came of it is done.
    """
    found = tuple(inputs)
    return any(edge.feedback and edge.lossless for edge in found) and not all(edge.crosses for edge in found)


def _sources(edges: Sequence[EdgeSpec], routine: int) -> set[int]:
    """The routines without inputs from which a routine's data comes."""
    found, todo = {routine}, [routine]
    for end in todo:
        before = {edge.source for edge in edges if edge.destination == end} - found
        found |= before
        todo += before
    return {one for one in found if not any(edge.destination == one for edge in edges)}


def _ledger(index: int, source: int, capacity: int) -> EdgeSpec:
    return EdgeSpec(index, source, source, True, capacity, BasicTransmitter(), crosses=True, shared=True, ledger=True)


def with_replica(spec: PipeSpec, flow: str, replica: int) -> PipeSpec:
    """The pipe with another replica of a flow: its routines, and the wires between them."""
    first = spec.flows[flow]
    twins = {base: len(spec.routines) + at for at, base in enumerate(first)}
    routines = [replace(spec.routines[base], index=twins[base], replica=replica) for base in first]
    inner = [edge for edge in spec.edges if not edge.crosses and edge.source in twins]
    edges = [
        replace(edge, index=len(spec.edges) + at, source=twins[edge.source], destination=twins[edge.destination])
        for at, edge in enumerate(inner)
    ]
    return replace(
        spec,
        flows={**spec.flows, process_name(flow, replica): tuple(twins.values())},
        routines=(*spec.routines, *routines),
        edges=(*spec.edges, *edges),
    )


def with_flow(spec: PipeSpec, flow: str, routines: Sequence[Routine]) -> PipeSpec:
    """The pipe with a further flow of routines whose classes say what they are, without wires."""
    first = len(spec.routines)
    added = tuple(
        _described(first + at, routine, flow, settled_kind(routine, False, False), False)
        for at, routine in enumerate(routines)
    )
    bounds = [(one.index, one.max_in_flight) for one in added if one.max_in_flight is not None]
    ledgers = tuple(_ledger(len(spec.edges) + at, source, most) for at, (source, most) in enumerate(bounds))
    return replace(
        spec,
        flows={**spec.flows, flow: tuple(one.index for one in added)},
        routines=(*spec.routines, *added),
        edges=(*spec.edges, *ledgers),
        spare_routines=spec.spare_routines - len(added),
    )


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
        numbered = replace(edge, index=len(spec.edges), feedback=edge.feedback or edge.source in behind)
        spec = replace(spec, edges=(*spec.edges, numbered))
    return spec
