"""Placement is a plain decision: the same wishes, hosts and wires always give the same answer."""

from __future__ import annotations

import pytest

from pipert2 import PipeBuildError
from pipert2.engine.placement import DRIVER, FlowNeed, HostOffer, WireWeight, place
from pipert2.engine.spread import spread

HERE = HostOffer(DRIVER)
EDGE = HostOffer("edge-1", {"edge": 1, "CPU": 4}, ("10.0.0.2",), {"rack": "3"})
GPU = HostOffer("gpu-1", {"GPU": 2, "CPU": 8}, ("10.0.0.3",), {"rack": "4"})
HOSTS = (HERE, EDGE, GPU)


def test_flows_that_ask_for_nothing_stay_with_the_driver() -> None:
    assert place([FlowNeed("camera"), FlowNeed("screen")], HOSTS) == {"camera": (DRIVER,), "screen": (DRIVER,)}


def test_a_flow_goes_where_its_resources_are() -> None:
    found = place([FlowNeed("camera", resources={"edge": 1}), FlowNeed("detect", resources={"GPU": 1})], HOSTS)
    assert found == {"camera": ("edge-1",), "detect": ("gpu-1",)}


@pytest.mark.parametrize("wish", ["edge-1", "10.0.0.2", "rack=3"])
def test_a_host_is_named_by_name_address_or_label(wish: str) -> None:
    assert place([FlowNeed("camera", host=wish)], HOSTS) == {"camera": ("edge-1",)}


def test_a_free_flow_goes_where_its_heaviest_wire_leads() -> None:
    flows = [FlowNeed("camera"), FlowNeed("resize", free=True), FlowNeed("detect", resources={"GPU": 1})]
    wires = [WireWeight("camera", "resize", 1.0), WireWeight("resize", "detect", 5.0)]
    assert place(flows, HOSTS, wires)["resize"] == ("gpu-1",)
    wires = [WireWeight("camera", "resize", 5.0), WireWeight("resize", "detect", 1.0)]
    assert place(flows, HOSTS, wires)["resize"] == (DRIVER,)


def test_flows_that_share_a_heavy_wire_are_kept_on_one_host_when_they_fit() -> None:
    two = (HERE, HostOffer("a", {"CPU": 2}), HostOffer("b", {"CPU": 4}))
    flows = [FlowNeed("x", resources={"CPU": 1}), FlowNeed("y", resources={"CPU": 1})]
    assert place(flows, two, [WireWeight("x", "y")]) == {"x": ("b",), "y": ("b",)}
    flows = [FlowNeed("x", resources={"CPU": 3}), FlowNeed("y", resources={"CPU": 2})]
    assert place(flows, two, [WireWeight("x", "y")]) == {"x": ("b",), "y": ("a",)}


def test_replicas_spread_over_the_hosts_that_have_room() -> None:
    two = (HERE, HostOffer("a", {"CPU": 2}), HostOffer("b", {"CPU": 2}))
    assert place([FlowNeed("work", 4, {"CPU": 1})], two) == {"work": ("a", "a", "b", "b")}


def test_flows_that_cannot_be_apart_share_a_host() -> None:
    flows = [FlowNeed("a", resources={"edge": 1}), FlowNeed("b", 2), FlowNeed("c", free=True)]
    found = place([flows[0], FlowNeed("b", 2, free=True), flows[2]], HOSTS, together=[("a", "b"), ("b", "c")])
    assert found == {"a": ("edge-1",), "b": ("edge-1", "edge-1"), "c": ("edge-1",)}


def test_what_fits_nowhere_is_named_with_what_there_is() -> None:
    flows = [FlowNeed("big", resources={"GPU": 3}), FlowNeed("far", host="moon"), FlowNeed("many", 3, {"edge": 1})]
    with pytest.raises(PipeBuildError) as caught:
        place(flows, HOSTS)
    text = str(caught.value)
    assert "flow 'big' fits nowhere: it needs 3 GPU, gpu-1 has 2 GPU left" in text
    assert "flow 'far' fits nowhere: no host is right for host='moon'" in text
    assert "there are driver, edge-1 (10.0.0.2, rack=3), gpu-1 (10.0.0.3, rack=4)" in text
    assert "replica 2 of 3 of flow 'many' fits nowhere: it needs 1 edge, edge-1 has 0 edge left" in text


def test_what_nobody_has_is_named_with_what_each_host_has_and_labels_without_the_numbers_of_nodes() -> None:
    node = "7b2ca9cff6e227166f35069f4b95e9639e79d728f6ba2d6c080971da"
    host = HostOffer(
        "10.0.0.2", {"CPU": 4, "memory": 2e9, "GPU": 0}, ("host2", node), {"ray.io/node-id": node, "rack": "3"}
    )
    flows = [
        FlowNeed("odd", resources={"lidar": 1}),
        FlowNeed("far", host="moon"),
        FlowNeed("both", 1, {"GPU": 1}, "host2"),
    ]
    with pytest.raises(PipeBuildError) as caught:
        place(flows, [HERE, host])
    text = str(caught.value)
    assert "flow 'odd' fits nowhere: no host has 1 lidar: 10.0.0.2 has 4 CPU" in text
    assert "no host is right for host='moon'; there are driver, 10.0.0.2 (host2, rack=3)" in text
    assert "no host is right for host='host2' with 1 GPU" in text
    assert node not in text
    with pytest.raises(PipeBuildError, match="there is none but the driver"):
        place([FlowNeed("odd", resources={"lidar": 1})], [HERE])


def test_wishes_that_contradict_each_other_are_named() -> None:
    flows = [FlowNeed("a", host="edge-1"), FlowNeed("b", host="gpu-1")]
    with pytest.raises(PipeBuildError, match="flows 'a' and 'b', which cannot be apart, fit nowhere"):
        place(flows, HOSTS, together=[("a", "b")])


@pytest.mark.parametrize(
    ("now", "wanted", "fixed", "found"),
    [
        ({"x": 1, "y": 2}, 5, (), {"x": 3, "y": 2}),
        ({"x": 3, "y": 2}, 2, (), {"x": 1, "y": 1}),
        ({"x": 3, "y": 1}, 6, ("x",), {"x": 3, "y": 3}),
        ({"x": 2, "y": 2}, 4, ("x", "y"), {"x": 2, "y": 2}),
    ],
)
def test_another_number_of_replicas_is_spread_over_the_hosts_that_have_some(
    now: dict[str, int], wanted: int, fixed: tuple[str, ...], found: dict[str, int]
) -> None:
    assert spread(now, wanted, fixed) == found


def test_more_replicas_go_only_where_there_is_room() -> None:
    assert spread({"x": 1, "y": 2, "z": 1}, 8, (), {"x": 1, "y": 2, "z": None}) == {"x": 2, "y": 3, "z": 3}
    with pytest.raises(ValueError, match="its hosts have room for 6, not for 7"):
        spread({"x": 1, "y": 2}, 7, (), {"x": 1, "y": 2})


@pytest.mark.parametrize(("wanted", "fixed", "why"), [(1, (), "2 are the fewest"), (9, ("x", "y"), "it stays 3")])
def test_each_host_keeps_one_and_those_that_hand_out_work_what_they_have(
    wanted: int, fixed: tuple[str, ...], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        spread({"x": 1, "y": 2}, wanted, fixed)
