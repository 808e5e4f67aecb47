"""What a pipe's flows need of hosts, read from its blueprint."""

from __future__ import annotations

from pipert2.engine.placement import FlowNeed, WireWeight
from pipert2.graph.blueprint import Blueprint
from pipert2.graph.transmitter import SharedMemoryTransmitter

_HEAVY = 10.0
"""A wire that was given shared memory carries large data, so much more than another one."""


def needs_of(blueprint: Blueprint) -> list[FlowNeed]:
    """What each flow asks for. Flows that neither make data nor end it may go where their wires lead."""
    wires = blueprint.wires
    fed = {end.name for wire in wires for end in wire.destinations}
    feeding = {wire.source.name for wire in wires}
    found = []
    for flow, members in blueprint.flows.items():
        wish = blueprint.wishes.get(flow)
        names = {routine.name for routine in members}
        found.append(
            FlowNeed(
                flow,
                blueprint.replicas.get(flow, 1),
                {} if wish is None else wish.resources,
                None if wish is None else wish.host,
                free=bool(names) and names <= fed and names <= feeding,
            )
        )
    return found


def weights_of(blueprint: Blueprint) -> list[WireWeight]:
    """How heavy the wires between flows are."""
    flow_of = blueprint.flow_names
    return [
        WireWeight(
            flow_of[wire.source.name],
            flow_of[end.name],
            _HEAVY if isinstance(wire.data_transmitter, SharedMemoryTransmitter) else 1.0,
        )
        for wire in blueprint.settled_wires
        for end in wire.destinations
        if flow_of[wire.source.name] != flow_of[end.name]
    ]


def together_of(blueprint: Blueprint) -> list[tuple[str, ...]]:
    """Flows that cannot be apart: those that wait for one another, and those on a circle of wires."""
    found = [(flow, *others) for flow, others in blueprint.depends_on.items()]
    behind: dict[str, set[str]] = {flow: set() for flow in blueprint.flows}
    flow_of = blueprint.flow_names
    for wire in blueprint.wires:
        for end in wire.destinations:
            behind[flow_of[wire.source.name]].add(flow_of[end.name])
    reached = {flow: _reached(flow, behind) for flow in behind}
    for flow in behind:
        circle = tuple(other for other in reached[flow] if other != flow and flow in reached[other])
        if circle:
            found.append((flow, *sorted(circle)))
    return found


def _reached(start: str, behind: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    todo = list(behind[start])
    while todo:
        flow = todo.pop()
        if flow not in found:
            found.add(flow)
            todo += behind[flow]
    return found
