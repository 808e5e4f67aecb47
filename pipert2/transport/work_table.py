"""The table of a work queue: which messages wait, who works on which, what waits for its descendants.

Pure arithmetic on words of shared memory; whoever calls holds the queue's lock (and that of the parent's queue where a
parent is named). The state word of a cell is the truth; the two rings of cell numbers beside it, one of cells that are
ready and one of cells that are free, are made anew from the states when a process has died in the middle of something.
A death half-way can only leave a cell in neither ring until then, never in two.

A cell's life: FREE -> READY (put) -> CLAIMED (a replica works on it) -> RETURNED (the routine is done; its descendants
are not) -> FREE. A cell is complete when it is RETURNED and nothing that came of it is left: then its parent has one
descendant less.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pipert2.graph.spec import MOST_REPLICAS

# words of the table
HEAD, TAIL, FREE_HEAD, FREE_TAIL, PUT, UNDONE, BYTES, CLAIMED_NOW = range(8)  # PUT is the last message's number, too
TAKEN, DONE, DROPPED, AGAIN, DEAD = range(8, 13)
ROOM_AWAITED = 13
"""1 where a replica of the source may wait for room: only then its words, one for each, need to be looked at."""
TAKERS = 14
"""How many replicas of the destination have ever been there: the highest one's number and one."""
HEADER_WORDS = 16
SENDER_WAITS = HEADER_WORDS
"""From here on a word for each replica of the source: 1 while it waits for room."""
SENDER_ENDED = SENDER_WAITS + MOST_REPLICAS
"""From here on a word for each replica of the source: 1 when its stream has ended."""
_CELLS = SENDER_ENDED + MOST_REPLICAS

# words of a cell
STATE, NUMBER, CLAIMER, ATTEMPT, DESCENDANTS, PARENT, PARENT_NUMBER, SIZE, SUSPECT, TURN = range(10)
CELL_WORDS = 10

FREE, READY, CLAIMED, RETURNED = range(4)

LOOKED_AT = 1 << 32
"""Added to a cell's word of descendants for each replica that still looks at the message's data in its slot."""
_CHILDREN = LOOKED_AT - 1
_MOST_TURNS = 0xFFFF


class Parent(NamedTuple):
    """A cell that a message comes from: *number* and *turn* tell whether it is still the same work on the same one."""

    queue: int
    cell: int
    number: int
    turn: int


class Claim(NamedTuple):
    """A message that was claimed: its cell, and what is needed to end its life there.

    Attributes:
        turn: how often it was claimed so far; not each turn is another *attempt*.
    """

    cell: int
    number: int
    attempt: int
    turn: int
    parent: Parent | None


def table_words(cells: int) -> int:
    """Words of a table with so many cells."""
    return _CELLS + cells * (CELL_WORDS + 2)


class WorkTable:
    """The words of one queue.

    Args:
        words: of the block, the table at its start.
        cells: how many messages may be under way at once.
    """

    __slots__ = ("_free", "_order", "_rows", "cells", "words")

    def __init__(self, words: memoryview, cells: int) -> None:
        self.words = words
        self.cells = cells
        self._rows = _CELLS
        self._order = _CELLS + cells * CELL_WORDS
        self._free = self._order + cells

    def row(self, cell: int) -> int:
        """Index of a cell's first word."""
        return self._rows + cell * CELL_WORDS

    @property
    def waiting(self) -> int:
        """How many messages are ready for somebody to claim."""
        return int(self.words[TAIL] - self.words[HEAD])

    @property
    def idle(self) -> bool:
        """Whether nothing is ready or claimed: nobody will ever get anything, unless more is put."""
        return self.words[TAIL] == self.words[HEAD] and not self.words[CLAIMED_NOW]

    # --- the sending end

    def has_room(self, capacity: int, size: int, most_bytes: int) -> bool:
        """Whether another message of *size* bytes in slots may be put.

        Large ones may have *most_bytes* in all, but two that wait or are worked on are always let in, since somebody
        may look at those that are done for as long as it likes.
        """
        words = self.words
        if words[TAIL] - words[HEAD] >= capacity or words[FREE_HEAD] == words[FREE_TAIL]:
            return False
        return not size or words[BYTES] + size <= most_bytes or words[TAIL] - words[HEAD] + words[CLAIMED_NOW] < 2

    def await_room(self, sender: int) -> None:
        """A replica of the source wants to be woken when there is room; in a ledger, when something is over."""
        self.words[SENDER_WAITS + sender] = self.words[ROOM_AWAITED] = 1

    def take_free(self) -> int:
        """A free cell to write a message to; :meth:`put` it under the same lock."""
        return int(self.words[self._free + self.words[FREE_HEAD] % self.cells])

    def put(self, cell: int, size: int = 0, parent: Parent | None = None, parents: WorkTable | None = None) -> int:
        """Make the cell of :meth:`take_free` ready; the message's number."""
        words, row = self.words, self._rows + cell * CELL_WORDS
        words[FREE_HEAD] += 1
        number: int = words[PUT] + 1
        words[row + NUMBER] = number
        words[row + CLAIMER] = words[row + DESCENDANTS] = 0
        words[row + ATTEMPT] = words[row + TURN] = 1
        words[row + SIZE] = size
        if parent is None:
            words[row + PARENT] = 0
        else:
            assert parents is not None
            words[row + PARENT] = (parent.queue + 1) << 32 | parent.cell
            words[row + PARENT_NUMBER] = parent.number << 16 | parent.turn
            if parents.is_alive(parent.cell, parent.number, parent.turn):
                parents.words[parents._rows + parent.cell * CELL_WORDS + DESCENDANTS] += 1
        words[UNDONE] += 1
        if size:
            words[BYTES] += size
        words[self._order + words[TAIL] % self.cells] = cell
        words[row + STATE] = READY
        words[PUT] = number  # not before it is there: whoever dies in between has not put it
        words[TAIL] += 1
        return number

    def put_done(self, cell: int) -> int:
        """Make the cell of :meth:`take_free` one that its routine is done with; the message's number.

        It is over with those that come of it, which are to be put under the same lock.
        """
        words, row = self.words, self._rows + cell * CELL_WORDS
        words[FREE_HEAD] += 1
        number: int = words[PUT] + 1
        words[row + NUMBER] = number
        words[row + CLAIMER] = words[row + DESCENDANTS] = words[row + SIZE] = words[row + PARENT] = 0
        words[row + ATTEMPT] = words[row + TURN] = 1
        words[UNDONE] += 1
        words[TAKEN] += 1
        words[row + STATE] = RETURNED
        words[PUT] = number
        return number

    def drop_oldest(self) -> int | None:
        """Give up the message that has waited longest (real-time queues); its cell, None if none waits."""
        claim = self._next()
        if claim is None:
            return None
        words = self.words
        words[HEAD] += 1
        words[DROPPED] += 1
        self._set_free(claim)
        return claim

    def is_alive(self, cell: int, number: int, turn: int) -> bool:
        """Whether the cell still holds the same message, and nobody else has claimed it since."""
        words, row = self.words, self._rows + cell * CELL_WORDS
        return bool(
            words[row + NUMBER] == number and words[row + TURN] == turn and words[row + STATE] in (CLAIMED, RETURNED)
        )

    # --- the receiving end

    def _next(self) -> int | None:
        words, cells, order = self.words, self.cells, self._order
        while words[HEAD] != words[TAIL]:
            cell: int = words[order + words[HEAD] % cells]
            if words[self._rows + cell * CELL_WORDS + STATE] == READY:
                return cell
            words[HEAD] += 1  # its claimer died before it could say so
        return None

    def claim(self, claimer: int) -> Claim | None:
        """The message that has waited longest, now *claimer*'s; None if none waits."""
        cell = self._next()
        return None if cell is None else self._claimed(cell, claimer)

    def _claimed(self, cell: int, claimer: int) -> Claim:
        words, row = self.words, self._rows + cell * CELL_WORDS
        words[row + CLAIMER] = claimer + 1
        words[row + STATE] = CLAIMED
        words[HEAD] += 1
        words[CLAIMED_NOW] += 1
        words[TAKEN] += 1
        return self.claim_of(cell)

    def claim_some(self, claimer: int, most: int) -> list[Claim]:
        """:meth:`claim`, for up to *most* messages: after the first one none that has data in slots."""
        found: list[Claim] = []
        while len(found) < most:
            cell = self._next()
            if cell is None or (found and self.words[self._rows + cell * CELL_WORDS + SIZE]):
                break
            found.append(self._claimed(cell, claimer))
        return found

    def claim_of(self, cell: int) -> Claim:
        """The claim of a message that was claimed."""
        words, row = self.words, self._rows + cell * CELL_WORDS
        return Claim(cell, words[row + NUMBER], words[row + ATTEMPT], words[row + TURN], self.parent_of(cell))

    def parent_of(self, cell: int) -> Parent | None:
        """What a cell's message came from."""
        words, row = self.words, self._rows + cell * CELL_WORDS
        packed: int = words[row + PARENT]
        if not packed:
            return None
        number: int = words[row + PARENT_NUMBER]
        return Parent((packed >> 32) - 1, packed & 0xFFFFFFFF, number >> 16, number & _MOST_TURNS)

    def returned(self, cell: int) -> bool:
        """The routine is done with the message; whether nothing of it is left, so that it can be completed."""
        words, row = self.words, self._rows + cell * CELL_WORDS
        if words[row + STATE] != CLAIMED:
            return False
        words[row + STATE] = RETURNED
        words[CLAIMED_NOW] -= 1
        return not words[row + DESCENDANTS]

    def complete(self, cell: int, parent: Parent | None, parents: WorkTable | None) -> bool:
        """Free a cell of which nothing is left; whether its parent (in *parents*) is complete now, too."""
        self.words[DONE] += 1
        self._set_free(cell)
        if parent is None or parents is None or not parents.is_alive(parent.cell, parent.number, parent.turn):
            return False
        above, row = parents.words, parents._rows + parent.cell * CELL_WORDS
        left = above[row + DESCENDANTS] - 1
        above[row + DESCENDANTS] = left
        return bool(not left and above[row + STATE] == RETURNED)

    def is_over(self, cell: int) -> bool:
        """Whether the routine is done with the message and nothing of it is left."""
        words, row = self.words, self.row(cell)
        return bool(words[row + STATE] == RETURNED and not words[row + DESCENDANTS])

    def under_way(self) -> list[int]:
        """All cells that are not free."""
        return [cell for cell, row in self._each() if self.words[row + STATE] != FREE]

    def _set_free(self, cell: int) -> None:
        words, row = self.words, self._rows + cell * CELL_WORDS
        words[UNDONE] -= 1
        if words[row + SIZE]:
            words[BYTES] -= words[row + SIZE]
        words[row + STATE] = FREE
        words[self._free + words[FREE_TAIL] % self.cells] = cell
        words[FREE_TAIL] += 1

    # --- after a death

    def claimed_by(self, claimer: int) -> list[int]:
        """The cells that *claimer* works on, oldest message first."""
        words = self.words
        found = [
            cell for cell, row in self._each() if words[row + STATE] == CLAIMED and words[row + CLAIMER] == claimer + 1
        ]
        return sorted(found, key=lambda cell: int(words[self.row(cell) + NUMBER]))

    def suspect(self, cell: int) -> None:
        """Note that the cell's message was in hand when a process died, which may be its doing."""
        row = self.row(cell)
        self.words[row + SUSPECT] = self.words[row + NUMBER]  # the cell's next message has another number

    def is_suspect(self, cell: int) -> bool:
        """Whether the cell's message was in hand when a process died."""
        row = self.row(cell)
        return bool(self.words[row + SUSPECT] == self.words[row + NUMBER])

    def look_away(self, claimer: int) -> None:
        """*claimer* has died, and looks at nothing any more."""
        words = self.words
        for _, row in self._each():
            if words[row + CLAIMER] == claimer + 1:
                words[row + DESCENDANTS] &= _CHILDREN

    def _each(self) -> Iterator[tuple[int, int]]:
        return ((cell, self.row(cell)) for cell in range(self.cells))

    def give_back(self, cell: int, *, again: bool = True) -> None:
        """Make a claimed message ready again, ahead of all others after :meth:`rebuild`; *again*: another attempt."""
        words, row = self.words, self.row(cell)
        words[row + ATTEMPT] += again
        words[row + TURN] = (words[row + TURN] + 1) & _MOST_TURNS
        words[row + CLAIMER] = 0
        words[row + DESCENDANTS] &= ~_CHILDREN  # what the last turn has made goes its own way
        words[row + STATE] = READY
        words[AGAIN] += 1

    def forget_waiting(self) -> None:
        """Free what is ready: in a ledger nothing waits, so its source has died before it could claim it."""
        for _, row in self._each():
            if self.words[row + STATE] == READY:
                self.words[row + STATE] = FREE

    def rebuild(self) -> None:
        """Make rings, sums and counts anew from the states: whoever has died may have been in the middle of it."""
        words = self.words
        ready: list[int] = []
        free: list[int] = []
        undone = size = claimed = 0
        number = words[PUT]
        for cell, row in self._each():
            state = words[row + STATE]
            if state == FREE:
                free.append(cell)
                continue
            undone += 1
            number = max(number, words[row + NUMBER])
            size += words[row + SIZE]
            claimed += state == CLAIMED
            if state == READY:
                ready.append(cell)
        ready.sort(key=lambda cell: (words[self.row(cell) + ATTEMPT] == 1, words[self.row(cell) + NUMBER]))
        words[HEAD] = words[FREE_HEAD] = 0
        for at, cell in enumerate(ready):
            words[self._order + at] = cell
        for at, cell in enumerate(free):
            words[self._free + at] = cell
        words[TAIL], words[FREE_TAIL] = len(ready), len(free)
        words[UNDONE], words[BYTES], words[CLAIMED_NOW] = undone, size, claimed
        # What was put and neither dropped nor waits has been taken, and was not given back.
        words[PUT], words[TAKEN] = number, max(0, number + words[AGAIN] - words[DROPPED] - len(ready))


def recount(tables: Mapping[int, WorkTable]) -> list[tuple[int, int]]:
    """Count the descendants of all cells of all queues (by number) anew, with all locks held.

    Returns:
        Queue and cell of each message that turns out to be complete.
    """
    counts: dict[tuple[int, int], int] = {}
    for table in tables.values():
        for cell, row in table._each():
            if table.words[row + STATE] == FREE:
                continue
            parent = table.parent_of(cell)
            if parent is not None and tables[parent.queue].is_alive(parent.cell, parent.number, parent.turn):
                key = (parent.queue, parent.cell)
                counts[key] = counts.get(key, 0) + 1
    complete = []
    for number, table in tables.items():
        for cell, row in table._each():
            if table.words[row + STATE] in (CLAIMED, RETURNED):
                looked_at = table.words[row + DESCENDANTS] & ~_CHILDREN
                table.words[row + DESCENDANTS] = looked_at | counts.get((number, cell), 0)
                if table.words[row + STATE] == RETURNED and not table.words[row + DESCENDANTS]:
                    complete.append((number, cell))
    return complete
