"""A pipe's graph as a picture (SVG), readable on light and dark screens."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from pipert2.graph.layout import LONGEST, LONGEST_TITLE, MARGIN, Box, Layout, Path, lay_out, shortened
from pipert2.graph.render import Arrow, Drawing, Node

_STYLE = """\
text { font-family: system-ui, "Segoe UI", "DejaVu Sans", sans-serif; font-size: 13px; fill: #1c2733; }
.page { fill: #ffffff; }
.title { font-size: 16px; font-weight: 600; }
.flow { fill: #f2f5f8; stroke: #c3ccd6; }
.flow-name { font-size: 12px; fill: #5a6878; }
.routine { fill: #ffffff; stroke-width: 1.5; }
.source { stroke: #16803c; } .middle { stroke: #2563c9; } .destination { stroke: #b45309; }
.mark.source { fill: #16803c; } .mark.middle { fill: #2563c9; } .mark.destination { fill: #b45309; }
.wire { fill: none; stroke: #4a5868; stroke-width: 1.6; }
.real-time { stroke-dasharray: 6 4; }
.head { fill: #4a5868; }
.label { font-size: 10.5px; fill: #3d4b5a; text-anchor: middle; }
.halo { stroke: #ffffff; stroke-width: 4px; stroke-linejoin: round; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6ebf1; }
  .page { fill: #11161d; }
  .flow { fill: #1a222c; stroke: #3a4757; }
  .flow-name { fill: #9aa8b8; }
  .routine { fill: #222d39; }
  .source { stroke: #4ade80; } .middle { stroke: #7fb0ff; } .destination { stroke: #fbbf4d; }
  .mark.source { fill: #4ade80; } .mark.middle { fill: #7fb0ff; } .mark.destination { fill: #fbbf4d; }
  .wire { stroke: #9fb0c3; }
  .head { fill: #9fb0c3; }
  .label { fill: #c9d4e0; }
  .halo { stroke: #11161d; }
}
"""


def svg(drawing: Drawing) -> str:
    """The graph as an SVG document of its own: no script, nothing from elsewhere."""
    layout = lay_out(drawing)
    width, height = _number(layout.width), _number(layout.height)
    name = _text(drawing.name)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'role="img">',
        f"<title>{name}</title>",
        f"<style>\n{_STYLE}</style>",
        '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="head" d="M0 0L10 5L0 10z"/></marker></defs>',
        f'<rect class="page" width="{width}" height="{height}"/>',
        f'<text class="title" x="{MARGIN}" y="{MARGIN + 6}">{_text(drawing.name, LONGEST_TITLE)}</text>',
    ]
    for flow, box in layout.flows.items():
        lines.append(f"<g><title>{_text(f'flow {flow}')}</title>{_rectangle(box, 'flow', 10)}")
        room = max(3, int((box.width - 20) / 6.8))
        where = f'x="{_number(box.x + 10)}" y="{_number(box.y + 15)}"'
        lines.append(f'<text class="flow-name" {where}>{_text(flow, room)}</text></g>')
    lines += [_wire(arrow, layout.paths[arrow]) for arrow in drawing.arrows]
    lines += [_label(arrow, layout.paths[arrow]) for arrow in drawing.arrows if arrow.label]
    lines += [_routine(node, layout) for node in drawing.nodes]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _routine(node: Node, layout: Layout) -> str:
    box = layout.routines[node.name]
    mark = {
        "source": f"M{_number(box.x + 12)} {_number(box.middle - 6)}l10 6l-10 6z",
        "middle": f"M{_number(box.x + 12)} {_number(box.middle - 5)}h10v10h-10z",
        "destination": f"M{_number(box.x + 12)} {_number(box.middle)}a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z",
    }[node.kind]
    return (
        f"<g><title>{_text(f'{node.kind} {node.name}, flow {node.flow}')}</title>"
        f'{_rectangle(box, f"routine {node.kind}", 7)}<path class="mark {node.kind}" d="{mark}"/>'
        f'<text x="{_number(box.x + 28)}" y="{_number(box.middle + 4.5)}">{_text(node.name, LONGEST)}</text></g>'
    )


def _rectangle(box: Box, kind: str, radius: int) -> str:
    return (
        f'<rect class="{kind}" x="{_number(box.x)}" y="{_number(box.y)}" width="{_number(box.width)}" '
        f'height="{_number(box.height)}" rx="{radius}"/>'
    )


def _wire(arrow: Arrow, path: Path) -> str:
    rule = "lossless" if arrow.lossless else "real-time"
    if arrow.capacity is not None:
        rule += f", capacity {arrow.capacity}"
    drawn = _corners(path.points) if path.back else _waves(path.points)
    kind = "wire" if arrow.lossless else "wire real-time"
    title = _text(f"{arrow.source} to {arrow.destination}: {rule}")
    return f'<g><title>{title}</title><path class="{kind}" marker-end="url(#head)" d="{drawn}"/></g>'


def _waves(points: Sequence[tuple[float, float]]) -> str:
    """A curve that is level at each point."""
    drawn = f"M{_point(*points[0])}"
    for (x, y), (to_x, to_y) in pairwise(points):
        half = (x + to_x) / 2
        drawn += f"C{_point(half, y)} {_point(half, to_y)} {_point(to_x, to_y)}"
    return drawn


def _corners(points: Sequence[tuple[float, float]], radius: float = 8) -> str:
    """Level and upright lines with rounded corners."""
    drawn = f"M{_point(*points[0])}"
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        start, end = _towards(corner, before, radius), _towards(corner, after, radius)
        drawn += f"L{_point(*start)}Q{_point(*corner)} {_point(*end)}"
    return f"{drawn}L{_point(*points[-1])}"


def _towards(start: tuple[float, float], end: tuple[float, float], distance: float) -> tuple[float, float]:
    length = abs(end[0] - start[0]) + abs(end[1] - start[1])
    share = min(0.5, distance / length) if length else 0.0
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def _label(arrow: Arrow, path: Path) -> str:
    (x, y), (to_x, to_y) = path.points[2:4] if path.back else path.points[-2:]
    x, y = (x + to_x) / 2, (y + to_y) / 2 - 5
    where, text = f'x="{_number(x)}" y="{_number(y)}"', _text(arrow.label)
    # Twice, since not everything that shows SVG can paint a letter's edge below the letter.
    return f'<text class="label halo" {where}>{text}</text><text class="label" {where}>{text}</text>'


def _point(x: float, y: float) -> str:
    return f"{_number(x)} {_number(y)}"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _text(text: str, longest: int | None = None) -> str:
    shown = shortened(text, longest or len(text) * 10)
    for character, escape in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        shown = shown.replace(character, escape)
    return shown
