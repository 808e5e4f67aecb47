"""The frozen description of a pipe: numbers, kinds, rules, capacities, carriers."""

from __future__ import annotations

import pickle
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from pipert2 import (
    BasicTransmitter,
    MiddleRoutine,
    QueueNetwork,
    Routine,
    SharedMemoryTransmitter,
    Wire,
    destination,
    events,
    middle,
    source,
)
from pipert2.graph.routine import RoutineKind
from pipert2.graph.spec import PipeSpec, make_spec


class Handling(MiddleRoutine):
    @events("ZOOM")
    def zoom(self) -> None: ...

    @events("ADJUST")
    def adjust(self) -> None: ...

    def main_logic(self, data: Any) -> Any:
        return data


class Anything(Routine):
    def main_logic(self, *data: Any) -> Any:
        return data


def identity(data: Any) -> Any:
    return data


def spec_of(
    flows: dict[str, list[Routine]],
    wires: list[Wire],
    *,
    network: QueueNetwork | None = None,
    lossless: bool = False,
    data_transmitter: Any = None,
    replicas: dict[str, int] | None = None,
) -> PipeSpec:
    return make_spec(
        "pipe",
        flows,
        wires,
        network=network or QueueNetwork(),
        lossless=lossless,
        data_transmitter=data_transmitter,
        replicas=replicas,
    )


def two(wire: dict[str, Any] | None = None, **pipe: Any) -> Any:
    """The only edge of a pipe of two flows."""
    a, b = source(lambda: 1, name="a"), destination(identity, name="b")
    return spec_of({"one": [a], "two": [b]}, [Wire(a, b, **(wire or {}))], **pipe).edges[0]


@pytest.mark.parametrize(
    ("wire", "pipe", "rule"),
    [
        ({}, {}, False),
        ({"lossless": True}, {}, True),
        ({}, {"lossless": True}, True),
        ({"lossless": False}, {"lossless": True}, False),
        ({}, {"network": QueueNetwork(put_block=True)}, True),
        ({"lossless": False}, {"network": QueueNetwork(put_block=True)}, False),
    ],
)
def test_a_wires_rule_is_its_own_then_the_pipes(wire: dict[str, Any], pipe: dict[str, Any], rule: bool) -> None:
    assert two(wire, **pipe).lossless is rule


@pytest.mark.parametrize(
    ("wire", "pipe", "capacity"),
    [
        ({}, {}, 1),
        ({"lossless": True}, {}, 64),
        ({}, {"lossless": True}, 64),
        ({"lossless": False}, {"lossless": True}, 1),
        ({"capacity": 7}, {}, 7),
        ({"capacity": 7, "lossless": True}, {}, 7),
        ({"capacity": 7}, {"network": QueueNetwork(max_queue_sizes=3)}, 7),
        ({}, {"network": QueueNetwork(max_queue_sizes=3)}, 3),
        ({"lossless": True}, {"network": QueueNetwork(max_queue_sizes=3)}, 3),
        ({}, {"network": QueueNetwork(max_queue_sizes=3, put_block=True)}, 3),
        ({}, {"network": QueueNetwork(put_block=True)}, 1),
    ],
)
def test_a_wires_capacity_is_its_own_then_the_networks_then_the_rules(
    wire: dict[str, Any], pipe: dict[str, Any], capacity: int
) -> None:
    assert two(wire, **pipe).capacity == capacity


def test_a_wires_transmitter_is_its_own_then_the_pipes_then_basic() -> None:
    own, pipes = SharedMemoryTransmitter(1), SharedMemoryTransmitter(2)
    assert two({"data_transmitter": own}, data_transmitter=pipes).transmitter is own
    assert two({}, data_transmitter=pipes).transmitter is pipes
    assert isinstance(two().transmitter, BasicTransmitter)


def test_routines_are_numbered_flow_by_flow() -> None:
    a, b, c = source(lambda: 1, name="a"), middle(identity, name="b"), destination(identity, name="c")
    spec = spec_of({"one": [c, a], "two": [b]}, [Wire(a, b), Wire(b, c)])
    assert [(routine.index, routine.name, routine.flow) for routine in spec.routines] == [
        (0, "c", "one"),
        (1, "a", "one"),
        (2, "b", "two"),
    ]
    assert spec.flows == {"one": (0, 1), "two": (2,)}


def test_each_destination_of_a_wire_is_an_edge() -> None:
    a, b, c = source(lambda: 1, name="a"), destination(identity, name="b"), destination(identity, name="c")
    spec = spec_of({"one": [a, b], "two": [c]}, [Wire(a, (b, c))])
    assert [(edge.index, edge.source, edge.destination, edge.crosses) for edge in spec.edges] == [
        (0, 0, 1, False),
        (1, 0, 2, True),
    ]


def test_inputs_and_outputs_are_a_routines_edges() -> None:
    a, b, c = source(lambda: 1, name="a"), middle(identity, name="b"), destination(identity, name="c")
    spec = spec_of({"one": [a, b, c]}, [Wire(a, (b, c)), Wire(b, c)])
    assert [edge.index for edge in spec.inputs(2)] == [1, 2]
    assert [edge.index for edge in spec.outputs(0)] == [0, 1]
    assert spec.inputs(0) == spec.outputs(2) == ()


def test_what_a_replica_leaves_to_the_others_is_no_input_of_its_own() -> None:
    a, b, c = source(lambda: 1, name="a"), source(lambda: 1, name="b"), destination(identity, name="c")
    spec = spec_of({"one": [a], "two": [b], "three": [c]}, [Wire(a, c), Wire(b, c)], replicas={"three": 2})
    careful = replace(spec.routines[3], leaves=frozenset(("b",)))
    spec = replace(spec, routines=(*spec.routines[:3], careful))
    assert [edge.index for edge in spec.inputs(2)] == [0, 1]
    assert [edge.index for edge in spec.inputs(3)] == [0]


def test_a_routine_is_found_by_name() -> None:
    a, b = source(lambda: 1, name="a"), destination(identity, name="b")
    spec = spec_of({"one": [a, b]}, [Wire(a, b)])
    found = spec.routine("b")
    assert found is not None
    assert found.index == 1
    assert spec.routine("x") is None


def test_a_plain_routine_is_what_its_wires_make_of_it() -> None:
    a, b, c = Anything("a"), Anything("b"), Anything("c")
    spec = spec_of({"one": [a, b, c]}, [Wire(a, b), Wire(b, c)])
    assert [routine.kind for routine in spec.routines] == [
        RoutineKind.SOURCE,
        RoutineKind.MIDDLE,
        RoutineKind.DESTINATION,
    ]


def test_a_routines_events_are_listed_in_order() -> None:
    a, b, c = source(lambda: 1, name="a"), Handling("b"), destination(identity, name="c")
    spec = spec_of({"one": [a, b, c]}, [Wire(a, b), Wire(b, c)])
    assert [routine.events for routine in spec.routines] == [(), ("ADJUST", "ZOOM"), ()]


def test_the_networks_timeout_is_the_pipes_patience() -> None:
    a, b = source(lambda: 1, name="a"), destination(identity, name="b")
    assert spec_of({"one": [a, b]}, [Wire(a, b)], network=QueueNetwork(timeout=2.5)).patience == 2.5


def test_a_description_can_travel() -> None:
    a, b = source(lambda: 1, name="a"), destination(identity, name="b")
    spec = spec_of({"one": [a], "two": [b]}, [Wire(a, b, SharedMemoryTransmitter(9))])
    arrived = pickle.loads(pickle.dumps(spec))
    assert arrived == spec
    assert arrived.edges[0].transmitter.view_threshold == 9


# ------------------------------------------------------------------------------------------------ carriers


def carriers(spec: PipeSpec, name: str) -> list[tuple[str, str]]:
    routine = spec.routine(name)
    assert routine is not None
    return sorted(
        (spec.routines[edge.source].name, spec.routines[edge.destination].name) for edge in spec.carriers(routine.index)
    )


def chain(*flows: str) -> PipeSpec:
    """a -> b -> c -> ..., each in the flow named."""
    names = "abcdef"[: len(flows)]
    routines = [Anything(name) for name in names]
    members: dict[str, list[Routine]] = {}
    for flow, routine in zip(flows, routines, strict=True):
        members.setdefault(flow, []).append(routine)
    return spec_of(members, [Wire(one, other) for one, other in pairwise(routines)])


def test_data_can_be_carried_by_all_edges_behind_its_maker() -> None:
    spec = chain("1", "2", "3")
    assert carriers(spec, "a") == [("a", "b"), ("b", "c")]
    assert carriers(spec, "b") == [("b", "c")]
    assert carriers(spec, "c") == []


def test_edges_within_a_flow_pass_data_on_but_do_not_count() -> None:
    spec = chain("1", "1", "2", "2")
    assert carriers(spec, "a") == [("b", "c")]


def test_every_branch_is_followed() -> None:
    a, b, c, d = (Anything(name) for name in "abcd")
    spec = spec_of({"1": [a], "2": [b], "3": [c], "4": [d]}, [Wire(a, (b, c)), Wire(b, d), Wire(c, d)])
    assert carriers(spec, "a") == [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]


def test_a_circle_is_followed_once() -> None:
    a, b = Anything("a"), Anything("b")
    spec = spec_of({"1": [a], "2": [b]}, [Wire(a, b), Wire(b, a)])
    assert carriers(spec, "a") == [("a", "b"), ("b", "a")]


# ------------------------------------------------------------------------------------------------ circles


def feedback(spec: PipeSpec) -> list[tuple[str, str]]:
    return [
        (spec.routines[edge.source].name, spec.routines[edge.destination].name) for edge in spec.edges if edge.feedback
    ]


def test_a_chain_has_no_feedback() -> None:
    assert feedback(chain("1", "2", "3")) == []


def test_branches_that_meet_again_are_no_feedback() -> None:
    a, b, c, d = (Anything(name) for name in "abcd")
    spec = spec_of({"1": [a, b, c, d]}, [Wire(a, (b, c, d)), Wire(b, c), Wire(c, d)])
    assert feedback(spec) == []


def test_the_wire_that_leads_back_is_feedback() -> None:
    a, b, c = (Anything(name) for name in "abc")
    spec = spec_of({"1": [a, b, c]}, [Wire(a, b), Wire(b, c), Wire(c, b)])
    assert feedback(spec) == [("c", "b")]
