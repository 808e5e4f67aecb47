"""What replicas that come later need is held for them, and given back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from pipert2.engine.placement import HostOffer
from pipert2.engine.reserve import Reserve, room_for
from pipert2.errors import PipeStateError

EACH = {"GPU": 1.0}


class Nodes:
    """Two nodes with GPUs, by their ids."""

    def __init__(self, **left: float) -> None:
        self.left = left

    def hosts(self) -> list[HostOffer]:
        return [HostOffer("driver"), *(HostOffer(f"host of {one}", {"GPU": n}, (one,)) for one, n in self.left.items())]

    def grant(self, node: str, resources: Mapping[str, float], patience: float) -> Callable[[], None] | None:
        self.left[node] -= resources["GPU"]

        def give_back() -> None:
            self.left[node] += resources["GPU"]

        return give_back


def reserve_of(nodes: Nodes, where: dict[str, str | None]) -> Reserve:
    return Reserve(nodes, lambda site: where[site], patience=0.0)


@pytest.mark.parametrize(
    ("offer", "each", "room"),
    [
        ({"CPU": 3.0, "GPU": 1.0}, {"CPU": 1.0, "GPU": 0.5}, 2),
        ({"CPU": 0.3}, {"CPU": 0.1}, 3),
        ({"CPU": 3.0}, {"GPU": 1.0}, 0),
        ({}, {}, None),
    ],
)
def test_a_host_has_room_for_as_many_as_what_is_shortest_suffices_for(
    offer: dict[str, float], each: dict[str, float], room: int | None
) -> None:
    assert room_for(offer, each) == room


def test_as_much_is_held_as_there_are_replicas_more() -> None:
    nodes = Nodes(one=4.0)
    reserve = reserve_of(nodes, {"site": "one"})
    left = []
    for count in (3, 1, 2, 0):
        reserve.hold("flow", "site", EACH, count)
        left.append(nodes.left["one"])
    assert left == [1.0, 3.0, 2.0, 4.0]


def test_what_cannot_be_had_in_full_is_not_held_at_all() -> None:
    nodes = Nodes(one=4.0)
    reserve = reserve_of(nodes, {"site": "one"})
    reserve.hold("flow", "site", EACH, 1)
    with pytest.raises(PipeStateError, match="'flow': site has no room for another replica, which needs 1 GPU"):
        reserve.hold("flow", "site", EACH, 5)
    assert nodes.left["one"] == 3.0


def test_what_is_held_follows_a_site_to_another_node() -> None:
    nodes = Nodes(one=4.0, other=3.0)
    where: dict[str, str | None] = {"site": "one"}
    reserve = reserve_of(nodes, where)
    reserve.hold("flow", "site", EACH, 3)
    where["site"] = "other"
    assert reserve.follow("site") == []
    assert nodes.left == {"one": 4.0, "other": 0.0}


def test_flows_for_which_the_other_node_has_no_room_are_named_and_the_first_node_is_free_again() -> None:
    nodes = Nodes(one=4.0, other=2.0)
    where: dict[str, str | None] = {"site": "one"}
    reserve = reserve_of(nodes, where)
    reserve.hold("flow", "site", EACH, 3)
    where["site"] = "other"
    assert reserve.follow("site") == ["flow"]
    assert nodes.left == {"one": 4.0, "other": 0.0}


def test_nothing_is_held_for_who_asks_for_nothing_or_is_with_the_driver() -> None:
    nodes = Nodes(one=1.0)
    reserve = reserve_of(nodes, {"site": "one", "driver": None})
    reserve.hold("flow", "site", {}, 9)
    reserve.hold("flow", "driver", EACH, 9)
    assert nodes.left["one"] == 1.0
    assert reserve.room("site", {}) is None
    assert reserve.room("driver", EACH) is None
    assert reserve.room("site", EACH) == 1


def test_all_is_given_back_at_the_end_and_closing_twice_does_no_harm() -> None:
    nodes = Nodes(one=4.0)
    reserve = reserve_of(nodes, {"site": "one"})
    reserve.hold("flow", "site", EACH, 3)
    reserve.close()
    reserve.close()
    assert nodes.left["one"] == 4.0
