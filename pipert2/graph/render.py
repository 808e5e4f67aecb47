"""A pipe's graph as text for other programs to draw: Mermaid and Graphviz's dot. :mod:`pipert2.graph.svg` draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipert2.graph.spec import PipeSpec


@dataclass(frozen=True, slots=True)
class Node:
    """A routine. *kind* is ``"source"``, ``"middle"``, ``"destination"`` or ``"any"``."""

    name: str
    flow: str
    kind: str


@dataclass(frozen=True, slots=True)
class Arrow:
    """A wire from one routine to one other. *capacity*: messages that may wait, None where that is not known yet."""

    source: str
    destination: str
    lossless: bool
    capacity: int | None = None

    @property
    def label(self) -> str:
        """What is written beside a lossless wire; nothing beside a real-time one."""
        if not self.lossless:
            return ""
        return "lossless" if self.capacity is None else f"lossless, {self.capacity}"


@dataclass(frozen=True, slots=True)
class Drawing:
    """All that is drawn of a pipe; the names of routines are unique."""

    name: str
    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]

    @property
    def flows(self) -> dict[str, list[Node]]:
        """The routines of each flow."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            found.setdefault(node.flow, []).append(node)
        return found


def make_drawing(name: str, nodes: Sequence[Node], arrows: Sequence[Arrow]) -> Drawing:
    """A drawing; routines without a kind of their own are what their wires make of them.

    Wires to or from routines that are not drawn are left out.
    """
    known = {node.name for node in nodes}
    drawn = tuple(arrow for arrow in arrows if arrow.source in known and arrow.destination in known)
    fed, feeding = {arrow.destination for arrow in drawn}, {arrow.source for arrow in drawn}

    def kind(node: Node) -> str:
        if node.kind in ("source", "middle", "destination"):
            return node.kind
        if node.name not in fed:
            return "source"
        return "middle" if node.name in feeding else "destination"

    return Drawing(name, tuple(Node(node.name, node.flow, kind(node)) for node in nodes), drawn)


def drawing_of(spec: PipeSpec) -> Drawing:
    """The drawing of a pipe's description."""
    nodes = [Node(routine.name, routine.flow, routine.kind.value) for routine in spec.routines]
    arrows = [
        Arrow(spec.routines[edge.source].name, spec.routines[edge.destination].name, edge.lossless, edge.capacity)
        for edge in spec.links
    ]
    return make_drawing(spec.name, nodes, arrows)


def visible(text: str) -> str:
    """*text* in one line, with escapes for characters that cannot be seen or would change how the rest is shown.

    >>> visible("a\\nb")
    'a\\\\nb'
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def mermaid(drawing: Drawing) -> str:
    """The graph in Mermaid's language, which Markdown on many sites shows as a picture."""
    number = {node.name: f"r{index}" for index, node in enumerate(drawing.nodes)}
    shapes = {"source": ('(["', '"])'), "middle": ('["', '"]'), "destination": ('[["', '"]]')}
    lines = ["flowchart LR"]
    for index, (flow, nodes) in enumerate(drawing.flows.items()):
        lines.append(f'  subgraph f{index}["{_mermaid_text(flow)}"]')
        for node in nodes:
            before, after = shapes[node.kind]
            lines.append(f"    {number[node.name]}{before}{_mermaid_text(node.name)}{after}")
        lines.append("  end")
    for arrow in drawing.arrows:
        line = f'-->|"{arrow.label}"|' if arrow.lossless else "-.->"
        lines.append(f"  {number[arrow.source]} {line} {number[arrow.destination]}")
    return "\n".join(lines) + "\n"


def _mermaid_text(text: str) -> str:
    """*text* with everything that Mermaid, Markdown or HTML could take for their own as a numbered character."""
    return "".join(
        one if one.isalnum() or one in " _,:/" or (one in ".-" and position) else f"#{ord(one)};"
        for position, one in enumerate(visible(text))
    )


def dot(drawing: Drawing) -> str:
    """The graph in the language of Graphviz."""
    number = {node.name: f"r{index}" for index, node in enumerate(drawing.nodes)}
    shapes = {"source": "cds", "middle": "box", "destination": "note"}
    lines = [
        f"digraph {_dot_text(drawing.name)} {{",
        "  rankdir=LR;",
        '  node [fontname="sans-serif", fontsize=11, style=filled, fillcolor=white];',
        '  edge [fontname="sans-serif", fontsize=9];',
    ]
    for index, (flow, nodes) in enumerate(drawing.flows.items()):
        lines += [f"  subgraph cluster_{index} {{", f"    label={_dot_text(flow)};", "    style=rounded;"]
        lines += [
            f"    {number[node.name]} [label={_dot_text(node.name)}, shape={shapes[node.kind]}];" for node in nodes
        ]
        lines.append("  }")
    for arrow in drawing.arrows:
        style = f"label={_dot_text(arrow.label)}" if arrow.lossless else "style=dashed"
        lines.append(f"  {number[arrow.source]} -> {number[arrow.destination]} [{style}];")
    return "\n".join([*lines, "}"]) + "\n"


def _dot_text(text: str) -> str:
    # visible() has written backslashes of its own; to dot each backslash is the start of an escape.
    return '"' + visible(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
