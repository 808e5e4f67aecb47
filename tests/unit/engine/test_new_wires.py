"""What wires that come and go while a pipe runs mean for each site."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pipert2 import PipeBuildError, Routine, Wire, destination, source
from pipert2.engine.cutting import cut
from pipert2.engine.fragment import Fragment
from pipert2.engine.new_wires import Ground, SiteChange, laid_for, undone, unlinked
from pipert2.engine.new_wires import linked as linked_on


def routine(name: str) -> Routine:
    make = source if name in "as" else destination
    return make(name=name)(lambda *data: data)  # type: ignore[operator,no-any-return]


A, S, B, C, D = (routine(name) for name in "asbcd")
PLACES = {"a": ("x",), "s": ("x",), "b": ("y",), "c": ("y",), "d": ("x",)}


def sites_of(name: str) -> tuple[str, ...]:
    return PLACES[name]


def fragments(*wires: Wire) -> dict[str, Fragment]:
    flows = {one.name: [one] for one in (A, S, B, C, D)}
    return cut(flows, wires, {}, PLACES, "run")


def linked(found: dict[str, Fragment], sites_of: Any, wire: Wire) -> list[SiteChange]:
    return linked_on(found, sites_of, wire, Ground("run", ()))


def changed(found: dict[str, Fragment], changes: list[SiteChange]) -> dict[str, Fragment]:
    return found | {one.site: one.applied(found[one.site]) for one in changes}


def pairs(fragment: Fragment) -> set[tuple[str, str]]:
    return {(one.source, one.destination) for one in fragment.wires}


def small(number: Any) -> bool:
    return bool(number < 3)


def test_a_wire_within_a_site_is_a_wire_there() -> None:
    found = fragments(Wire(A, B, lossless=True))
    (change,) = linked(found, sites_of, Wire(A, D, lossless=True))
    assert (change.site, [(one.source, one.destination) for one in change.new]) == ("x", [("a", "d")])


def test_a_wire_to_another_site_uses_the_way_that_its_source_has() -> None:
    found = fragments(Wire(A, B, lossless=True))
    (link,) = found["x"].egresses
    after = changed(found, linked(found, sites_of, Wire(A, C, lossless=True)))
    assert pairs(after["x"]) == {("a", link.egress)}
    assert pairs(after["y"]) == {(link.ingress, "b"), (link.ingress, "c")}


@pytest.mark.parametrize(
    "wire", [lambda: Wire(S, C, lossless=True), lambda: Wire(A, C, lossless=False)], ids=["source", "rule"]
)
def test_without_a_way_one_is_laid_whose_ends_are_known_at_both_sites(wire: Callable[[], Wire]) -> None:
    found, new = fragments(Wire(A, B, lossless=True)), wire()
    far, near = linked(found, sites_of, new)
    assert near.link is not None
    assert near.link == far.link
    assert (near.link.source, near.link.lossless) == (new.source.name, new.lossless)
    after = changed(found, [far, near])
    assert (near.link.source, near.link.egress) in pairs(after["x"])
    assert (near.link.ingress, "c") in pairs(after["y"])
    for site, end in (("x", near.new[0]), ("y", far.new[0])):
        assert laid_for(found[site], after[site], end) == near.link
        assert all(laid_for(found[site], after[site], one) is None for one in found[site].wires)
    (change,) = linked(after, sites_of, Wire(new.source, B, lossless=new.lossless))[:1]
    assert change.link is None  # it is used again


def test_a_condition_is_asked_where_the_way_does_not_ask_it() -> None:
    found = fragments(Wire(A, B, lossless=True))
    far = linked(found, sites_of, Wire(A, C, lossless=True, where=small))[0]
    assert [one.where for one in far.new] == [True]
    found = fragments(Wire(A, B, lossless=True, where=small))
    with pytest.raises(PipeBuildError, match="carries only what meets the condition"):
        linked(found, sites_of, Wire(A, C, lossless=True))


def test_a_wire_that_shares_its_way_ends_beyond_it_when_nothing_is_under_way() -> None:
    found = fragments(Wire(A, B, lossless=True), Wire(A, C, lossless=True))
    (link,) = found["x"].egresses
    (change,) = unlinked(found, sites_of, "a", "c")
    assert (change.site, change.empty) == ("y", ("x", link.egress))
    assert pairs(change.applied(found["y"])) == {(link.ingress, "b")}


def test_the_last_wire_of_a_way_ends_before_it_and_may_come_back() -> None:
    found = fragments(Wire(A, B, lossless=True))
    (link,) = found["x"].egresses
    gone = changed(found, unlinked(found, sites_of, "a", "b"))
    assert pairs(gone["x"]) == set()
    back = linked(gone, sites_of, Wire(A, C, lossless=True))
    after = changed(gone, back)
    assert pairs(after["x"]) == {("a", link.egress)}
    assert pairs(after["y"]) == {(link.ingress, "c")}


def test_a_site_that_begins_anew_is_told_what_has_changed() -> None:
    found = fragments(Wire(A, B, lossless=True))
    after = changed(found, linked(found, sites_of, Wire(A, C, lossless=True)))
    change = undone(found["y"], after["y"])
    assert (len(change.gone), [one.destination for one in change.new]) == (0, ["c"])


SPREAD = PLACES | {"b": ("x", "y"), "c": ("y", "z")}


def spread(*wires: Wire) -> dict[str, Fragment]:
    flows = {one.name: [one] for one in (A, S, B, C, D)}
    return cut(flows, wires, {"b": 2, "c": 2}, SPREAD, "run")


def test_a_wire_to_replicas_at_several_sites_leads_to_where_their_messages_are_handed_out() -> None:
    found = spread(Wire(A, B, lossless=True), Wire(A, C, lossless=True))
    (change,) = linked(found, SPREAD.__getitem__, Wire(S, C, lossless=True))
    assert (change.site, [(one.source, one.destination) for one in change.new]) == ("x", [("s", "c")])
    changes = linked(found, SPREAD.__getitem__, Wire(B, C, lossless=True))
    assert [change.site for change in changes] == ["x", "x", "y"]
    local, far, near = changes
    assert [(one.source, one.destination) for one in local.new] == [("b", "c")]
    assert far.link == near.link is not None
    assert (near.link.origin, near.link.target) == ("y", "x")
    after = changed(changed(changed(found, [local]), [far]), [near])
    gone = unlinked(after, SPREAD.__getitem__, "b", "c")
    assert [(one.site, [(wire.source, wire.destination) for wire in one.gone]) for one in gone] == [
        ("x", [("b", "c")]),
        ("y", [("b", near.link.egress)]),
    ]


def test_a_wire_from_replicas_at_several_sites_is_laid_from_each() -> None:
    found = spread(Wire(A, B, lossless=True), Wire(A, D, lossless=True))
    changes = linked(found, SPREAD.__getitem__, Wire(B, D, lossless=True))
    assert [change.site for change in changes] == ["x", "x", "y"]
    assert [change.link is None for change in changes] == [True, False, False]


def test_replicas_at_several_sites_that_had_no_wire_cannot_get_one() -> None:
    found = spread(Wire(A, B))
    with pytest.raises(PipeBuildError, match="'c' had no input when the pipe was built"):
        linked(found, SPREAD.__getitem__, Wire(A, C))


def test_a_lossless_wire_to_replicas_that_get_the_newest_only_is_refused() -> None:
    found = spread(Wire(A, C, lossless=False))
    with pytest.raises(PipeBuildError, match=r"at y and z comes there .* real-time: make it real-time, or build"):
        linked(found, SPREAD.__getitem__, Wire(S, C, lossless=True))
    assert linked(spread(Wire(A, C, lossless=True)), SPREAD.__getitem__, Wire(S, C, lossless=False))


def test_a_wire_that_comes_back_uses_what_is_left_of_it_beyond_so_that_what_is_under_way_arrives() -> None:
    found = fragments(Wire(A, B, lossless=True))
    gone = changed(found, unlinked(found, sites_of, "a", "b"))
    far, near = linked(gone, sites_of, Wire(A, B, lossless=True))
    assert (far.gone, far.new, [one.source for one in near.new]) == ((), (), ["a"])
    (link,) = found["x"].egresses
    for other in (Wire(A, C, lossless=True), Wire(A, B, lossless=True, capacity=7)):
        far, _ = linked(gone, sites_of, other)
        assert ([one.destination for one in far.gone], far.empty) == (["b"], ("x", link.egress))
