"""Where the parts of a drawn pipe stand: routines in columns by their distance from the sources, flows as boxes.

Columns are the longest way from a source, as in the layered drawings of Sugiyama, Tagawa and Toda (1981). A flow takes
the columns from its first to its last routine; flows whose columns do not overlap stand side by side in one
band, the others below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from unicodedata import east_asian_width

from pipert2.graph.render import Arrow, Drawing, visible

MARGIN = 24
TITLE = 30
NODE_HEIGHT = 38
ROW_GAP = 26
COLUMN_GAP = 116
FLOW_PADDING = 16
FLOW_TITLE = 22
BAND_GAP = 30
LANE_GAP = 14
CHARACTER = 7.4
LONGEST = 26
LONGEST_TITLE = 80


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


@dataclass(frozen=True, slots=True)
class Path:
    """The points that an arrow passes through. *back*: it leads back, round the outside and with corners."""

    points: tuple[tuple[float, float], ...]
    back: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """Boxes of routines and flows by name, and the path of each arrow."""

    width: float
    height: float
    routines: Mapping[str, Box]
    flows: Mapping[str, Box]
    paths: Mapping[Arrow, Path]


def lay_out(drawing: Drawing) -> Layout:
    """Find a place for everything in *drawing*."""
    columns = _columns(drawing)
    rows, bands = _rows(drawing, columns)
    count = max(columns.values(), default=0) + 1
    widths = [
        max((_node_width(node.name) for node in drawing.nodes if columns[node.name] == column), default=90.0)
        for column in range(count)
    ]
    lefts = [MARGIN + FLOW_PADDING + sum(widths[:column]) + column * COLUMN_GAP for column in range(count)]
    tops: list[float] = []
    top = float(MARGIN + TITLE)
    for height in bands:
        tops.append(top)
        top += FLOW_TITLE + FLOW_PADDING + height * NODE_HEIGHT + max(0, height - 1) * ROW_GAP + BAND_GAP
    boxes: dict[str, Box] = {}
    for node in drawing.nodes:
        column, (band, row) = columns[node.name], rows[node.name]
        y = tops[band] + FLOW_TITLE + row * (NODE_HEIGHT + ROW_GAP)
        boxes[node.name] = Box(lefts[column], y, widths[column], NODE_HEIGHT)
    flows = {flow: _around([boxes[node.name] for node in nodes]) for flow, nodes in drawing.flows.items()}
    paths, bottom = _paths(drawing, boxes, columns, top - BAND_GAP)
    right = max((box.right for box in flows.values()), default=float(MARGIN))
    title = MARGIN + text_width(shortened(drawing.name, LONGEST_TITLE)) * 1.3
    return Layout(max(right, title, 300.0) + MARGIN, bottom + MARGIN, boxes, flows, paths)


def shortened(text: str, longest: int) -> str:
    """*text* as it is shown, cut off after so many characters."""
    shown = visible(text)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def text_width(text: str) -> float:
    """About how wide *text* is; the letters of East Asia are twice as wide as others."""
    return sum(2 * CHARACTER if east_asian_width(one) in "WF" else CHARACTER for one in text)


def _node_width(name: str) -> float:
    return max(90.0, text_width(shortened(name, LONGEST)) + 40)


def _around(boxes: Sequence[Box]) -> Box:
    x, y = min(box.x for box in boxes) - FLOW_PADDING, min(box.y for box in boxes) - FLOW_TITLE
    right, bottom = max(box.right for box in boxes) + FLOW_PADDING, max(box.bottom for box in boxes) + FLOW_PADDING
    return Box(x, y, right - x, bottom - y)


def _columns(drawing: Drawing) -> dict[str, int]:
    """For each routine the longest way from a source, without arrows that close circles."""
    following: dict[str, list[str]] = {node.name: [] for node in drawing.nodes}
    for arrow in drawing.arrows:
        following[arrow.source].append(arrow.destination)
    fed = {arrow.destination for arrow in drawing.arrows}
    # Depth first, from the sources on: an arrow to a routine that is still open closes a circle.
    order: list[str] = []
    state: dict[str, int] = {}
    forward: list[tuple[str, str]] = []
    starts = [node.name for node in drawing.nodes if node.name not in fed] + [node.name for node in drawing.nodes]
    for start in starts:
        if start in state:
            continue
        state[start] = 1
        stack = [(start, iter(following[start]))]
        while stack:
            name, ends = stack[-1]
            end = next(ends, None)
            if end is None:
                state[name] = 2
                order.append(name)
                stack.pop()
            elif state.get(end) != 1:
                forward.append((name, end))
                if end not in state:
                    state[end] = 1
                    stack.append((end, iter(following[end])))
    columns = dict.fromkeys(order, 0)
    ahead: dict[str, list[str]] = {}
    for source, end in forward:
        ahead.setdefault(source, []).append(end)
    for name in reversed(order):
        for end in ahead.get(name, ()):
            columns[end] = max(columns[end], columns[name] + 1)
    return columns


def _rows(drawing: Drawing, columns: Mapping[str, int]) -> tuple[dict[str, tuple[int, int]], list[int]]:
    """For each routine its band and its row in that, and for each band how many rows it has."""
    sources: dict[str, list[str]] = {}
    for arrow in drawing.arrows:
        sources.setdefault(arrow.destination, []).append(arrow.source)
    rows: dict[str, tuple[int, int]] = {}
    taken: list[list[tuple[int, int]]] = []
    heights: list[int] = []
    flows = sorted(drawing.flows.values(), key=lambda nodes: min(columns[node.name] for node in nodes))
    for nodes in flows:
        first, last = min(columns[node.name] for node in nodes), max(columns[node.name] for node in nodes)
        band = next(
            (number for number, spans in enumerate(taken) if all(last < start or end < first for start, end in spans)),
            len(taken),
        )
        if band == len(taken):
            taken.append([])
            heights.append(0)
        taken[band].append((first, last))
        for column in range(first, last + 1):
            members = [node.name for node in nodes if columns[node.name] == column]
            members.sort(key=lambda name: _mean([rows[source] for source in sources.get(name, ()) if source in rows]))
            for row, name in enumerate(members):
                rows[name] = (band, row)
            heights[band] = max(heights[band], len(members))
    return rows, heights


def _mean(places: Sequence[tuple[int, int]]) -> float:
    """How far down the sources of a routine are, on average."""
    return sum(band * 1000 + row for band, row in places) / len(places) if places else 0.0


def _paths(
    drawing: Drawing, boxes: Mapping[str, Box], columns: Mapping[str, int], bottom: float
) -> tuple[dict[Arrow, Path], float]:
    """The points of each arrow; *bottom* is the end of the bands, below which arrows lead back."""
    by_column: dict[int, list[Box]] = {}
    for name, box in boxes.items():
        by_column.setdefault(columns[name], []).append(box)
    lanes: dict[tuple[int, int], int] = {}
    paths: dict[Arrow, Path] = {}
    back = 0
    for arrow in drawing.arrows:
        start, end = boxes[arrow.source], boxes[arrow.destination]
        first, last = columns[arrow.source], columns[arrow.destination]
        points = [(start.right, start.middle)]
        if first < last:
            for column in range(first + 1, last):
                boxes_there = by_column[column]
                share = (column - first) / (last - first)
                wanted = start.middle + (end.middle - start.middle) * share
                y = _free(wanted, boxes_there)
                key = (column, round(y))
                y += lanes.get(key, 0) * 6
                lanes[key] = lanes.get(key, 0) + 1
                points += [(boxes_there[0].x - 8, y), (boxes_there[0].right + 8, y)]
        else:
            bottom += LANE_GAP
            aside = 20 + 5 * (back % 4)
            back += 1
            points += [(start.right + aside, start.middle), (start.right + aside, bottom)]
            points += [(end.x - aside, bottom), (end.x - aside, end.middle)]
        points.append((end.x, end.middle))
        paths[arrow] = Path(tuple(points), back=first >= last)
    return paths, bottom


def _free(wanted: float, boxes: Sequence[Box]) -> float:
    """The height nearest to *wanted* at which an arrow passes between the boxes of a column."""
    clear = 9.0

    def hits(y: float) -> bool:
        return any(box.y - clear < y < box.bottom + clear for box in boxes)

    if not hits(wanted):
        return wanted
    candidates = [box.y - clear for box in boxes] + [box.bottom + clear for box in boxes]
    return min((y for y in candidates if not hits(y)), key=lambda y: abs(y - wanted), default=wanted)
