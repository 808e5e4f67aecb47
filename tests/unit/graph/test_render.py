"""A pipe's graph as Mermaid, dot and SVG: the same each time, with every name harmless."""

from __future__ import annotations

import re
from itertools import combinations, pairwise
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipert2 import QueueNetwork, Wire, destination, middle, source
from pipert2.graph.layout import LONGEST, lay_out
from pipert2.graph.render import Arrow, Drawing, Node, dot, drawing_of, make_drawing, mermaid, visible
from pipert2.graph.spec import make_spec
from pipert2.graph.svg import svg

NASTY = [
    "<script>alert(1)</script>",
    'a"b',
    "a'b",
    "a\nb",
    "a\\",
    "]]>",
    "&amp;",
    "end",
    "`x`",
    "#35;",
    "%%",
    "\u202egnp",
]


def line(*names: str) -> Drawing:
    """Routines one after the other, each in a flow of its own."""
    nodes = [Node(name, f"flow {name}", "any") for name in names]
    return make_drawing("line", nodes, [Arrow(a, b, False) for a, b in pairwise(names)])


@pytest.fixture
def drawing() -> Drawing:
    return make_drawing(
        "cams",
        [Node("cam", "in", "source"), Node("detect", "work", "any"), Node("show", "out", "any")],
        [Arrow("cam", "detect", True, 64), Arrow("detect", "show", False, 1), Arrow("cam", "show", True)],
    )


def elements(text: str, kind: str) -> list[Any]:
    root = ElementTree.fromstring(text)
    return [one for one in root.iter() if kind in one.get("class", "").split()]


def texts(text: str) -> list[str]:
    return [one.text or "" for one in ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}text")]


def test_mermaid_has_flows_as_groups_and_wires_by_their_rule(drawing: Drawing) -> None:
    assert (
        mermaid(drawing)
        == """\
flowchart LR
  subgraph f0["in"]
    r0(["cam"])
  end
  subgraph f1["work"]
    r1["detect"]
  end
  subgraph f2["out"]
    r2[["show"]]
  end
  r0 -->|"lossless, 64"| r1
  r1 -.-> r2
  r0 -->|"lossless"| r2
"""
    )


def test_dot_has_flows_as_clusters_and_wires_by_their_rule(drawing: Drawing) -> None:
    assert (
        dot(drawing)
        == """\
digraph "cams" {
  rankdir=LR;
  node [fontname="sans-serif", fontsize=11, style=filled, fillcolor=white];
  edge [fontname="sans-serif", fontsize=9];
  subgraph cluster_0 {
    label="in";
    style=rounded;
    r0 [label="cam", shape=cds];
  }
  subgraph cluster_1 {
    label="work";
    style=rounded;
    r1 [label="detect", shape=box];
  }
  subgraph cluster_2 {
    label="out";
    style=rounded;
    r2 [label="show", shape=note];
  }
  r0 -> r1 [label="lossless, 64"];
  r1 -> r2 [style=dashed];
  r0 -> r2 [label="lossless"];
}
"""
    )


def test_svg_has_a_box_for_each_flow_and_routine_and_a_line_for_each_wire(drawing: Drawing) -> None:
    text = svg(drawing)
    assert len(elements(text, "flow")) == 3
    assert len(elements(text, "routine")) == 3
    assert len(elements(text, "wire")) == 3
    assert len(elements(text, "real-time")) == 1
    assert set(texts(text)) == {"cams", "in", "work", "out", "cam", "detect", "show", "lossless, 64", "lossless"}
    assert "prefers-color-scheme: dark" in text


def test_the_same_pipe_gives_the_same_picture(drawing: Drawing) -> None:
    assert svg(drawing) == svg(drawing)


def test_a_picture_is_made_from_a_pipes_description() -> None:
    @source
    def one() -> int:
        return 1

    @middle
    def two(number: int) -> int:
        return number

    three = destination(print, name="three")
    spec = make_spec(
        "p",
        {"a": [one, two], "b": [three]},
        [Wire(one, two), Wire(two, three, lossless=True, capacity=5)],
        network=QueueNetwork(),
        lossless=False,
        data_transmitter=None,
    )
    found = drawing_of(spec)
    assert [(node.name, node.flow, node.kind) for node in found.nodes] == [
        ("one", "a", "source"),
        ("two", "a", "middle"),
        ("three", "b", "destination"),
    ]
    assert found.arrows == (Arrow("one", "two", False, 1), Arrow("two", "three", True, 5))


def test_a_routine_without_a_kind_is_what_its_wires_make_of_it() -> None:
    assert [node.kind for node in line("a", "b", "c").nodes] == ["source", "middle", "destination"]


def test_a_wire_to_what_is_not_drawn_is_left_out() -> None:
    found = make_drawing("p", [Node("a", "f", "any")], [Arrow("a", "gone", True)])
    assert found.arrows == ()
    assert len(elements(svg(found), "wire")) == 0


@pytest.mark.parametrize("name", NASTY)
def test_a_name_is_shown_as_it_is_and_nothing_else(name: str) -> None:
    drawing = make_drawing(name, [Node(name, name, "source"), Node("b", name, "any")], [Arrow(name, "b", True)])
    assert visible(name) in texts(svg(drawing))
    assert "<script" not in svg(drawing)
    for line in mermaid(drawing).splitlines():
        assert re.fullmatch(
            r"flowchart LR|  subgraph f0\[\"[^\"<>`]*\"\]|    r0\(\[\"[^\"<>`]*\"\]\)|    r1\[\[\"b\"\]\]|  end"
            r"|  r0 -->\|\"lossless\"\| r1",
            line,
        ), line
    for line in dot(drawing).splitlines():
        assert len(re.findall(r'(?<!\\)(?:\\\\)*"', line)) % 2 == 0, line


def test_long_names_are_cut_and_whole_where_the_pointer_rests() -> None:
    name = "x" * 100
    text = svg(line(name, "b"))
    assert name[: LONGEST - 1] + "…" in texts(text)
    assert f"source {name}, flow flow {name}" in text


def test_flows_one_behind_the_other_stand_side_by_side() -> None:
    layout = lay_out(line("a", "b", "c"))
    assert len({box.y for box in layout.flows.values()}) == 1


def test_a_circle_is_drawn_with_one_line_back() -> None:
    nodes = [Node(name, "f", "any") for name in "abc"]
    arrows = [Arrow("a", "b", False), Arrow("b", "c", False), Arrow("c", "b", False), Arrow("a", "a", True)]
    layout = lay_out(make_drawing("p", nodes, arrows))
    assert [layout.paths[arrow].back for arrow in arrows] == [False, False, True, True]


def test_a_pipe_without_routines_is_an_empty_picture() -> None:
    assert texts(svg(Drawing("nothing", (), ()))) == ["nothing"]
    assert mermaid(Drawing("nothing", (), ())) == "flowchart LR\n"


@st.composite
def drawings(draw: st.DrawFn) -> Drawing:
    names = draw(st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=14, unique=True))
    nodes = [Node(name, f"flow {draw(st.integers(0, 4))}", "any") for name in names]
    pairs = draw(st.lists(st.tuples(st.sampled_from(names), st.sampled_from(names)), max_size=25, unique=True))
    return make_drawing("p", nodes, [Arrow(a, b, draw(st.booleans()), 3) for a, b in pairs])


@given(drawings())
@settings(max_examples=80, deadline=None)
def test_no_two_routines_or_flows_overlap_and_all_are_inside(drawing: Drawing) -> None:
    layout = lay_out(drawing)
    for boxes in (list(layout.routines.values()), list(layout.flows.values())):
        for one, other in combinations(boxes, 2):
            apart = one.right <= other.x or other.right <= one.x or one.bottom <= other.y or other.bottom <= one.y
            assert apart
        assert all(box.x >= 0 and box.right <= layout.width and box.bottom <= layout.height for box in boxes)
    for node in drawing.nodes:
        box, flow = layout.routines[node.name], layout.flows[node.flow]
        assert flow.x <= box.x
        assert box.right <= flow.right
        assert flow.y <= box.y
        assert box.bottom <= flow.bottom
    assert set(layout.paths) == set(drawing.arrows)
    for path in layout.paths.values():
        assert all(0 <= x <= layout.width and 0 <= y <= layout.height for x, y in path.points)


@given(drawings())
@settings(max_examples=50, deadline=None)
def test_every_picture_is_well_formed(drawing: Drawing) -> None:
    text = svg(drawing)
    assert len(elements(text, "wire")) == len(drawing.arrows)
    text.encode("utf-8")
    mermaid(drawing).encode("utf-8")
    dot(drawing).encode("utf-8")
