"""A pipe cut into fragments: what is at each site, and what links carry."""

from __future__ import annotations

from pipert2 import Routine, Wire, destination, middle, source
from pipert2.engine.cutting import cut
from pipert2.engine.fragment import Fragment


def named(kind: str, name: str) -> Routine:
    make = {"source": source, "middle": middle, "destination": destination}[kind]
    return make(name=name)(lambda *data: data)  # type: ignore[operator,no-any-return]


def two_flows(
    placement: dict[str, tuple[str, ...]], *, lossless: bool = False, replicas: int | None = None
) -> dict[str, Fragment]:
    a, b = named("source", "a"), named("destination", "b")
    flows = {"A": [a], "B": [b]}
    counts = {} if replicas is None else {"B": replicas}
    return cut(flows, [Wire(a, b, lossless=lossless)], counts, placement, "run")


def wires_of(fragment: Fragment) -> set[tuple[str, str]]:
    return {(wire.source, wire.destination) for wire in fragment.wires}


def test_a_pipe_at_one_site_stays_as_it_is() -> None:
    found = two_flows({"A": ("x",), "B": ("x",)})
    assert list(found) == ["x"]
    assert wires_of(found["x"]) == {("a", "b")}
    assert not found["x"].egresses
    assert not found["x"].ingresses


def test_a_wire_that_crosses_becomes_a_link_with_the_same_key_on_both_ends() -> None:
    found = two_flows({"A": ("x",), "B": ("y",)}, lossless=True)
    (out,), (into,) = found["x"].egresses, found["y"].ingresses
    assert out == into
    assert out.lossless
    assert wires_of(found["x"]) == {("a", out.egress)}
    assert wires_of(found["y"]) == {(out.ingress, "b")}


def test_several_destinations_at_one_site_share_a_link() -> None:
    a, b, c, d = named("source", "a"), named("destination", "b"), named("destination", "c"), named("destination", "d")
    flows = {"A": [a], "B": [b, c], "D": [d]}
    wires = [Wire(a, b, lossless=True), Wire(a, c, lossless=True), Wire(a, d, lossless=True)]
    found = cut(flows, wires, {}, {"A": ("x",), "B": ("y",), "D": ("y",)}, "run")
    (link,) = found["x"].egresses
    assert wires_of(found["y"]) == {(link.ingress, end) for end in "bcd"}


def test_wires_of_different_rules_have_links_of_their_own() -> None:
    a, b, c = named("source", "a"), named("destination", "b"), named("destination", "c")
    wires = [Wire(a, b, lossless=True), Wire(a, c, lossless=False)]
    found = cut({"A": [a], "B": [b, c]}, wires, {}, {"A": ("x",), "B": ("y",)}, "run")
    assert {link.lossless for link in found["x"].egresses} == {True, False}
    assert len({link.key for link in found["x"].egresses}) == 2


def test_a_condition_that_all_share_is_asked_before_anything_travels() -> None:
    def even(number: int) -> bool:
        return number % 2 == 0

    a, b, c = named("source", "a"), named("destination", "b"), named("destination", "c")
    for wires, near in (
        ([Wire(a, b, where=even), Wire(a, c, where=even)], True),
        ([Wire(a, b, where=even), Wire(a, c)], False),
    ):
        found = cut({"A": [a], "B": [b, c]}, wires, {}, {"A": ("x",), "B": ("y",)}, "run")
        assert [wire.where for wire in found["x"].wires] == [near]
        assert {wire.where for wire in found["y"].wires} == {not near}


def test_replicas_at_several_sites_compete_beside_a_process_that_stands_in_for_the_others() -> None:
    found = two_flows({"A": ("x",), "B": ("x", "y", "y")}, lossless=True, replicas=3)
    here = next(flow for flow in found["x"].flows if flow.name == "B")
    assert (here.replicas, here.own) == (2, 1)
    link = here.links[0]["b"]
    assert (link.target, link.credit) == ("y", 2)
    assert wires_of(found["x"]) == {("a", "b")}
    there = next(flow for flow in found["y"].flows if flow.name == "B")
    assert (there.replicas, there.own, there.first) == (2, 2, 1)
    assert wires_of(found["y"]) == {(link.ingress, "b")}


def test_a_site_without_replicas_of_its_own_has_only_those_that_stand_in() -> None:
    found = two_flows({"A": ("x",), "B": ("y", "z")}, replicas=2)
    here = next(flow for flow in found["x"].flows if flow.name == "B")
    assert here.own == 0
    assert [link["b"].target for link in here.links] == ["y", "z"]


def test_each_way_of_a_wire_is_traced_from_where_it_begins_to_where_it_ends() -> None:
    found = two_flows({"A": ("x",), "B": ("y",)})
    (near,), (far,) = found["x"].traces, found["y"].traces
    assert (near.source, near.destination, near.begins, near.ends) == ("a", "b", True, False)
    assert (far.source, far.destination, far.begins, far.ends) == ("a", "b", False, True)


def test_keys_hold_only_what_a_key_may_hold() -> None:
    a, b = named("source", "caméra 1/left"), named("destination", "b")
    found = cut({"A": [a], "B": [b]}, [Wire(a, b)], {}, {"A": ("x",), "B": ("10.0.0.2",)}, "run")
    assert found["x"].egresses[0].key == "run/x/10.0.0.2/cam-e9-ra-20-1-2f-left/real-time"


def test_a_wire_is_counted_as_received_where_it_is_handed_out_and_only_there() -> None:
    found = two_flows({"A": ("x",), "B": ("x", "y", "z")}, replicas=3)
    assert {site: [trace.ends for trace in fragment.traces] for site, fragment in found.items()} == {
        "x": [True],
        "y": [False],
        "z": [False],
    }
    assert [link.target for link in found["x"].handing_out("b")] == ["y", "z"]
