"""The pipe of one site: what its fragment makes of its routines."""

from __future__ import annotations

from pipert2 import Pipe, Wire, middle, source
from pipert2.engine.cutting import cut
from pipert2.engine.link import LinkSettings
from pipert2.engine.opening import _plan
from pipert2.engine.site_pipe import SitePipe


def site_pipe(pipe: Pipe, placement: dict[str, tuple[str, ...]], site: str) -> SitePipe:
    blueprint = pipe.blueprint
    fragments = cut(blueprint.flows, blueprint.settled_wires, blueprint.replicas, placement, "run")
    plan = _plan(pipe, fragments[site], {}, {}, len(fragments))
    link = LinkSettings(connect=("tcp/127.0.0.1:1",))
    return SitePipe(plan, link, lambda request, reply: None, keep_letter=lambda letter: 1)


def test_what_stands_in_for_another_site_leaves_to_the_replicas_what_comes_from_there() -> None:
    pipe = Pipe("both", lossless=True)
    x, y = source(lambda: 1, name="x"), source(lambda: 1, name="y")
    works = middle(lambda data: data, name="works")
    last = middle(lambda data: data, name="last")
    pipe.create_flow("X", False, x)
    pipe.create_flow("Y", False, y)
    pipe.create_flow("W", False, works, replicas=2)
    pipe.create_flow("L", False, last)
    pipe.link(Wire(x, works), Wire(y, works), Wire(works, last))
    found = site_pipe(pipe, {"X": ("a",), "Y": ("b",), "W": ("a", "b"), "L": ("b",)}, "a")
    spec = found.blueprint.spec(lambda count: count)
    replica, stand_in = (one for one in spec.routines if one.name == "works")

    def sources(routine: int) -> set[str]:
        return {spec.routines[edge.source].name for edge in spec.inputs(routine)}

    assert sources(replica.index) == {"x", "works.in from b"}
    assert sources(stand_in.index) == {"x"}
