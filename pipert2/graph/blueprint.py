"""The blueprint of a pipe: its flows, its wires, and the rules that hold where a wire says nothing. It does not run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from pipert2.errors import PipeBuildError, UnknownFlowError, UnknownRoutineError, UnknownWireError
from pipert2.graph.dependencies import dependency_problems
from pipert2.graph.handlers import (
    BUILT_IN_EVENTS,
    KILL_EVENT_NAME,
    START_EVENT_NAME,
    STOP_EVENT_NAME,
    event_handlers,
)
from pipert2.graph.routine import Routine
from pipert2.graph.spec import MOST_REPLICAS, EdgeSpec, PipeSpec, make_edges, make_spec
from pipert2.graph.transmitter import DataTransmitter
from pipert2.graph.validation import problems
from pipert2.graph.wire import QueueNetwork, Wire


@dataclass(frozen=True, slots=True)
class Wish:
    """What a flow asks of its host: *resources* by name for each replica, and which *host* it is to be."""

    resources: Mapping[str, float] = field(default_factory=dict)
    host: str | None = None


class Blueprint:
    """What a pipe is put together from. Its wires may change while the pipe runs, its flows may not.

    Args:
        name: the pipe's.
        network: the delivery rule of wires that do not name their own.
        lossless: make wires lossless that do not say.
        data_transmitter: how data is placed on wires that do not say.

    Attributes:
        flows: the routines of each flow, in the order given.
        wires: as they were declared; :attr:`settled_wires` says what holds for each.
        replicas: of the flows that may have several, how many they begin with.
        depends_on: of each flow that waits for others, which.
        wishes: of the flows that ask for something, what their host must have.
        version: grows with each change of the wires.
    """

    def __init__(
        self, name: str, *, network: QueueNetwork, lossless: bool, data_transmitter: DataTransmitter | None
    ) -> None:
        self.name = name
        self.network = network
        self.lossless = lossless
        self.data_transmitter = data_transmitter
        self.flows: dict[str, list[Routine]] = {}
        self.wires: list[Wire] = []
        self.replicas: dict[str, int] = {}
        self.depends_on: dict[str, tuple[str, ...]] = {}
        self.wishes: dict[str, Wish] = {}
        self.version = 0
        self._lock = threading.Lock()

    # --- putting it together

    def add_flow(
        self,
        name: str,
        auto_wire: bool,
        routines: Sequence[Routine],
        *,
        data_transmitter: DataTransmitter | None = None,
        replicas: int | None = None,
        depends_on: Sequence[str] = (),
        resources: Mapping[str, float] | None = None,
        host: str | None = None,
    ) -> None:
        """Add a flow; see :meth:`pipert2.Pipe.create_flow`."""
        _check_flow(name, auto_wire, routines, replicas, depends_on)
        _check_wish(name, resources, host)
        if name in self.flows:
            raise PipeBuildError([f"there are two flows {name!r}: give them different names"])
        present = {id(routine): flow for flow, members in self.flows.items() for routine in members}
        for number, routine in enumerate(routines):
            if id(routine) in present or any(routine is other for other in routines[:number]):
                flow = present.get(id(routine), name)
                raise PipeBuildError(
                    [f"{routine!r} is in flow {flow!r} already: create another instance for flow {name!r}"]
                )
        taken = list(self.flow_names)
        for routine in routines:
            routine._ensure_name(taken)
            taken.append(routine.name)
            routine.flow_name = name
        self.flows[name] = list(routines)
        if replicas is not None:
            self.replicas[name] = replicas
        if depends_on:
            self.depends_on[name] = tuple(depends_on)
        if resources or host is not None:
            self.wishes[name] = Wish(dict(resources or {}), host)
        if auto_wire:
            self.wires += [Wire(source, after, data_transmitter) for source, after in pairwise(routines)]

    def add_wires(self, wires: Sequence[Wire]) -> None:
        """Add wires."""
        with self._lock:
            self.wires = [*self.wires, *wires]
            self.version += 1

    def forget(self, source: str, destination: str) -> None:
        """Take a wire away, named by its ends; nothing if there is none."""
        with self._lock:
            wires = []
            for wire in self.wires:
                left = tuple(end for end in wire.destinations if end.name != destination)
                if wire.source.name != source or left == wire.destinations:
                    wires.append(wire)
                elif left:
                    wires.append(wire.to(left))
            self.wires = wires
            self.version += 1

    # --- what is in it

    @property
    def routines(self) -> tuple[Routine, ...]:
        """All routines, in the order in which they were created."""
        return tuple(routine for members in self.flows.values() for routine in members)

    @property
    def flow_names(self) -> dict[str, str]:
        """The flow of each routine, by the routine's name."""
        return {routine.name: flow for flow, members in self.flows.items() for routine in members}

    def routine(self, name: str) -> Routine:
        """The routine of this name.

        Raises:
            UnknownRoutineError: there is none.
        """
        for routine in self.routines:
            if routine.name == name:
                return routine
        raise UnknownRoutineError(name, tuple(self.flow_names), f"pipe {self.name!r}")

    def check_flow(self, name: str) -> None:
        """Raise UnknownFlowError if there is no flow of this name."""
        if name not in self.flows:
            raise UnknownFlowError(name, tuple(self.flows), f"pipe {self.name!r}")

    def check_wire(self, source: str, destination: str) -> None:
        """Raise UnknownRoutineError or UnknownWireError if there is no wire between two routines."""
        for name in (source, destination):
            self.routine(name)
        pairs = [(wire.source.name, to.name) for wire in self.wires for to in wire.destinations]
        if (source, destination) not in pairs:
            raise UnknownWireError(
                f"{source} -> {destination}", [f"{a} -> {b}" for a, b in pairs], f"pipe {self.name!r}"
            )

    @property
    def settled_wires(self) -> tuple[Wire, ...]:
        """The wires as they are now: one for each source and destination, with the rule that holds for it."""
        return self.settled(self.wires)

    def settled(self, wires: Sequence[Wire]) -> tuple[Wire, ...]:
        """Wires as they would be: one for each source and destination, with the rule that holds for it."""
        pairs = [(wire, end) for wire in wires for end in wire.destinations]
        return tuple(
            wire.to((end,), data_transmitter=edge.transmitter, lossless=edge.lossless, capacity=edge.capacity)
            for (wire, end), edge in zip(pairs, self.edges(wires), strict=True)
        )

    def structure(self) -> dict[str, Any]:
        """Routines, wires and events by name; see :meth:`pipert2.Pipe.get_pipe_structure`."""
        return {
            "Routines": [
                {
                    "flow_name": flow,
                    "routine_name": routine.name,
                    "events": sorted(set(event_handlers(type(routine))) - set(BUILT_IN_EVENTS)),
                }
                for flow, members in self.flows.items()
                for routine in members
            ],
            "Events": [START_EVENT_NAME, STOP_EVENT_NAME, KILL_EVENT_NAME],
            "Wires": [
                {
                    "source": wire.source.name,
                    "destinations": [end.name for end in wire.destinations],
                    "lossless": wire.lossless
                    if wire.lossless is not None
                    else (self.lossless or self.network.put_block),
                }
                for wire in self.wires
            ],
        }

    # --- what comes of it

    def problems(self, more: Sequence[Wire] = ()) -> list[str]:
        """What is wrong with it, with *more* wires."""
        wires = [*self.wires, *more]
        found = problems(self.flows, wires, network=self.network, lossless=self.lossless)
        return found + dependency_problems(self.flows, self.depends_on)

    def edges(self, wires: Sequence[Wire]) -> list[EdgeSpec]:
        """What wires are made of, numbered from 0."""
        return make_edges(
            self.flows,
            wires,
            network=self.network,
            lossless=self.lossless,
            data_transmitter=self.data_transmitter,
            replicas=self.replicas,
        )

    def spec(self, most_replicas: Callable[[int], int]) -> PipeSpec:
        """The pipe as a frozen description; it must have no :meth:`problems`.

        Args:
            most_replicas: how many replicas a flow with so many may come to have.
        """
        return make_spec(
            self.name,
            self.flows,
            self.wires,
            network=self.network,
            lossless=self.lossless,
            data_transmitter=self.data_transmitter,
            replicas=self.replicas,
            depends_on=self.depends_on,
            most_replicas=most_replicas,
        )


def check_transmitter(transmitter: object, what: str) -> None:
    """Raise TypeError if this is neither a data transmitter nor None."""
    if transmitter is not None and not isinstance(transmitter, DataTransmitter):
        hint = ", create an instance of the class" if isinstance(transmitter, type) else ""
        raise TypeError(f"{what}: {transmitter!r} is not a data transmitter{hint}")


def is_list_of_names(value: object) -> bool:
    """Whether it is a list, a tuple or the like of texts, none of which is empty."""
    if isinstance(value, str) or not isinstance(value, Collection):
        return False
    return all(isinstance(one, str) and one for one in value)


def _check_flow(
    name: object, auto_wire: object, routines: Sequence[object], replicas: object, depends_on: Sequence[object]
) -> None:
    if not isinstance(name, str) or not name:
        raise TypeError(f"create_flow: a flow's name is a non-empty text, not {name!r}")
    if not isinstance(auto_wire, bool):
        raise TypeError(
            f"create_flow({name!r}, ...): the second argument, auto_wire, is True or False, not {auto_wire!r}"
        )
    for routine in routines:
        if not isinstance(routine, Routine):
            hint = ""
            if isinstance(routine, type):
                hint = ", create an instance of the class"
            elif callable(routine):
                hint = ", make it one with @source, @middle or @destination"
            raise TypeError(f"create_flow({name!r}, ...): {routine!r} is not a routine{hint}")
    if replicas is not None and (
        isinstance(replicas, bool) or not isinstance(replicas, int) or not 1 <= replicas <= MOST_REPLICAS
    ):
        raise ValueError(
            f"create_flow({name!r}, ..., replicas=...) is a number from 1 to {MOST_REPLICAS}, not {replicas!r}"
        )
    if not is_list_of_names(depends_on):
        raise TypeError(f"create_flow({name!r}, ..., depends_on=...) is a list of flows' names, not {depends_on!r}")


def _check_wish(name: str, resources: object, host: object) -> None:
    what = f"create_flow({name!r}, ..., "
    if host is not None and (not isinstance(host, str) or not host):
        raise TypeError(f'{what}host=...) is a name, address or label, as in "edge-1", not {host!r}')
    if resources is None:
        return
    if not isinstance(resources, Mapping) or not all(isinstance(one, str) and one for one in resources):
        raise TypeError(f'{what}resources=...) is given as in {{"GPU": 1}}, not as {resources!r}')
    for resource, amount in resources.items():
        if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 < amount < float("inf"):
            raise ValueError(f"{what}resources=...): how much of {resource!r} is a number above 0, not {amount!r}")
