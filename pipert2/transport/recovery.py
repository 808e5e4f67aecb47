"""What a supervisor does to the words of a process that died: only to its own words, and only once it is dead."""

from __future__ import annotations

from collections.abc import Iterable

from pipert2.graph.spec import EdgeSpec
from pipert2.transport import board as b
from pipert2.transport.board import Board
from pipert2.transport.envelope import CELL, COUNT, HEAD, HERE, INDIRECT, PLACE
from pipert2.transport.memory import Block
from pipert2.transport.ring import ring_cells
from pipert2.transport.segment import TAKEN, Segment


def release_receiver(edge: EdgeSpec, board: Board, segments: Iterable[Segment]) -> None:
    """Give back what the dead receiver of *edge* had taken; what it had not is left for its successor."""
    row = board.edge(edge.index)
    words = board.words
    rows = [(segment, segment.given(slot), segment.hold(slot)) for segment in segments for slot in range(segment.slots)]
    column = edge.index
    for segment, _, hold in rows:
        held = segment.words[hold + column]
        if held & TAKEN:
            words[row + b.R] = max(words[row + b.R], held & ~TAKEN)
            segment.words[hold + column] = held & ~TAKEN
    taken = words[row + b.R]
    for segment, given, hold in rows:
        number = segment.words[given + column]
        if number <= taken:
            segment.words[hold + column] = number
    counted = words[row + b.RECEIVED] + words[row + b.DROPPED] + words[row + b.LOST]
    words[row + b.LOST] += max(0, taken - counted)


def retract_sender(edge: EdgeSpec, board: Board, ring: Block, segments: Iterable[Segment]) -> None:
    """Take back the slots that the dead sender of *edge* had given to a message it did not publish."""
    published = board.words[board.edge(edge.index) + b.W]
    column = edge.index
    numbers = {segment.number: segment for segment in segments}
    shown: dict[tuple[int, int], int] | None = None
    for segment in numbers.values():
        for slot in range(segment.slots):
            given = segment.given(slot) + column
            if segment.words[given] > published:
                if shown is None:
                    shown = _shown(edge, ring, published, numbers)
                held = segment.words[segment.hold(slot) + column] & ~TAKEN
                segment.words[given] = max(held, shown.get((segment.number, slot), 0))


def _shown(edge: EdgeSpec, ring: Block, published: int, segments: dict[int, Segment]) -> dict[tuple[int, int], int]:
    """For each slot that the published cells refer to, the number of the last message that does."""
    found: dict[tuple[int, int], int] = {}
    cells = ring_cells(edge)
    # The cell after the last published one may be half written: it stands where message published + 1 - cells stood.
    for number in range(max(1, published + 2 - cells), published + 1):
        start = number % cells * CELL
        kind, count, _, _, _, _, _ = HEAD.unpack_from(ring.view, start)
        places = [PLACE.unpack_from(ring.view, start + HEAD.size + PLACE.size * index) for index in range(count)]
        if kind & INDIRECT and places and places[0][0] in segments:
            segment = segments[places[0][0]]
            blob = segment.start(places[0][1]) + places[0][2]
            total = COUNT.unpack_from(segment.block.view, blob)[0]
            if total <= segment.slot_size // PLACE.size:
                places += [
                    PLACE.unpack_from(segment.block.view, blob + COUNT.size + PLACE.size * at) for at in range(total)
                ]
        for segment_number, slot, _, _ in places:
            if segment_number != HERE:
                found[(segment_number, slot)] = number
    return found
