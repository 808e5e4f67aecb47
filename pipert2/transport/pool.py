"""Pools: the slots that one routine writes its data to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

import numpy as np

from pipert2.errors import SharedMemoryFullError
from pipert2.graph.spec import EdgeSpec
from pipert2.transport import board as b
from pipert2.transport.board import Board
from pipert2.transport.codec import order_of
from pipert2.transport.lease import MOST_VIEWS
from pipert2.transport.memory import Fence
from pipert2.transport.ring import Waiter
from pipert2.transport.segment import PAGE, TAKEN, WAITING, Root, Segment, Segments
from pipert2.transport.work_queue import UNDER_WAY

STEP_BYTES = 4 * 1024 * 1024
"""A pool grows by at least this much at a time, 16 slots at most."""
_ASK_AGAIN = 1.0
"""Seconds after which a pool that was told there is no memory asks again, for one who does not wait."""
LONGEST_WAIT = 5.0
"""Seconds that a source waits for a slot when there is no memory for another one."""


def size_class(size: int) -> int:
    """The slot size for *size* bytes: whole pages, four steps to each doubling, so that a quarter is wasted at most."""
    if size <= PAGE:
        return PAGE
    step = max(PAGE, 1 << ((size - 1).bit_length() - 3))
    return -(-size // step) * step


class Slot:
    """A slot of one's own pool."""

    __slots__ = ("given", "hold", "index", "loaned", "segment", "size", "start")

    def __init__(self, segment: Segment, index: int) -> None:
        self.segment = segment
        self.start = segment.start(index)
        self.index = index
        self.size = segment.slot_size
        self.given = segment.given(index)
        self.hold = segment.hold(index)
        self.loaned = False

    def write(self, offset: int, array: np.ndarray[Any, Any]) -> None:
        """Copy an array into the slot, its memory in its own order."""
        start = self.start + offset
        # numpy lets go of the GIL while it copies, so that the flow's other routines go on.
        np.ndarray(array.shape, array.dtype, self.segment.block.view, start, None, order_of(array))[...] = array

    def __repr__(self) -> str:
        return f"<Slot {self.segment.number}:{self.index}, {self.size} bytes>"


class SlotPool:
    """Gives out free slots, the one that was used last first: it is still in the processor's cache.

    Args:
        owner: the routine that writes to the slots.
        carriers: the crossing edges that its data can travel on, its own and those of routines that pass it on.
        grow: makes a segment of so many slots of such a size and returns its number; may raise SharedMemoryFullError.
    """

    def __init__(
        self,
        owner: int,
        carriers: Sequence[EdgeSpec],
        board: Board,
        segments: Segments,
        fence: Fence,
        waiter: Waiter,
        grow: Callable[[int, int], int],
    ) -> None:
        self._board = board
        self._segments = segments
        self._fence = fence
        self._waiter = waiter
        self._grow = grow
        self._owner = owner
        self.watch(carriers)
        self._slots: dict[int, list[Slot]] = {}
        self.loans = 0
        self._full_until = 0.0

    def watch(self, carriers: Sequence[EdgeSpec]) -> None:
        """Look at these edges when a slot is to be free; before anybody can send this pool's slots on a new one."""
        self._edges = [
            (
                edge.index,
                self._board.edge(edge.index) + b.W,
                0 if edge.lossless or edge.shared else edge.capacity,
            )
            for edge in carriers
        ]
        self._two_looks = any(edge.source != self._owner for edge in carriers)
        self._most = 4 + sum(edge.capacity + (UNDER_WAY if edge.shared else MOST_VIEWS + 2) for edge in carriers)

    def adopt(self, numbers: Sequence[int]) -> None:
        """Take over the segments of a process that died."""
        for number in numbers:
            self._add(self._segments.get(number))

    def _add(self, segment: Segment) -> None:
        slots = self._slots.setdefault(segment.slot_size, [])
        slots[:0] = [Slot(segment, index) for index in reversed(range(segment.slots))]

    def acquire(self, size: int) -> Slot:
        """A free slot of at least *size* bytes; makes more, or waits for one to become free, where it has to.

        Raises:
            SharedMemoryFullError: there is no memory, and no slot became free in time.
            Interrupted: the routine is to stop.
        """
        slots, slot, full = self._find_or_make(size)
        return slot if slot is not None else self._wait(slots, size_class(size), full)

    def acquire_now(self, size: int) -> Slot | None:
        """A free slot of at least *size* bytes; makes more where it can. None if all are taken."""
        if monotonic() < self._full_until:
            return self._find(self._slots.get(size_class(size), []))
        _, slot, full = self._find_or_make(size)
        if full is not None:
            self._full_until = monotonic() + _ASK_AGAIN
        return slot

    def _find_or_make(self, size: int) -> tuple[list[Slot], Slot | None, SharedMemoryFullError | None]:
        """Slots of the size, or larger ones, one of them that is free, and why there are not more."""
        wanted = size_class(size)
        slots = self._slots.setdefault(wanted, [])
        slot = self._find(slots)
        if slot is not None or len(slots) >= self._most:
            return slots, slot, None
        try:
            number = self._grow(wanted, max(1, min(16, STEP_BYTES // wanted)))
        except SharedMemoryFullError as error:
            return slots or self._larger(wanted), None, error
        self._add(self._segments.get(number))
        return slots, self._find(slots), None

    def _larger(self, wanted: int) -> list[Slot]:
        """The smallest slots above a size: one that is too large is better than none."""
        return next((self._slots[size] for size in sorted(self._slots) if size > wanted and self._slots[size]), [])

    def _wait(self, slots: list[Slot], wanted: int, full: SharedMemoryFullError | None) -> Slot:
        if not slots:
            raise full or SharedMemoryFullError(wanted, 0)
        segments = {slot.segment for slot in slots}
        deadline = monotonic() + LONGEST_WAIT
        try:
            for segment in segments:
                segment.words[WAITING] = 1
            while True:
                self._fence()
                slot = self._find(slots)
                if slot is not None:
                    return slot
                self._waiter.check()
                if monotonic() > deadline:
                    raise full or SharedMemoryFullError(wanted, 0, "this routine's pool of slots")
                self._waiter.wait_for_room("a free slot")
        finally:
            for segment in segments:
                segment.words[WAITING] = 0

    def _find(self, slots: list[Slot]) -> Slot | None:
        for at in range(len(slots) - 1, -1, -1):
            slot = slots[at]
            if not slot.loaned and self._is_free(slot):
                if at != len(slots) - 1:
                    slots.append(slots.pop(at))
                return slot
        return None

    def _is_free(self, slot: Slot) -> bool:
        given = self._quiet(slot)
        if given is None:
            return False
        # A middle may have passed the slot on between our looks at its two edges; then `given` has changed.
        return not self._two_looks or self._quiet(slot) == given

    def _quiet(self, slot: Slot) -> list[int] | None:
        """The ``given`` words if all edges are quiet for the slot, else None."""
        words = slot.segment.words
        board = self._board.words
        seen = []
        for column, published, capacity in self._edges:
            given = words[slot.given + column]
            if words[slot.hold + column] != given:
                if not capacity or given + capacity > board[published]:
                    return None
                # It has passed; but its receiver may hold it for this message or for an earlier one.
                if words[slot.hold + column] & TAKEN:
                    return None
            seen.append(given)
        return seen

    def loan(self, slot: Slot, length: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """A writable array over the first *length* bytes; the slot is not reused while anything looks at it."""
        array = np.frombuffer(slot.segment.block.view, np.uint8, length, slot.segment.start(slot.index))
        slot.loaned = True
        self.loans += 1
        self._segments.watch(array, slot.segment, slot.index, 0, slot, self._loan_ended, loaned=True)
        return array

    def _loan_ended(self, root: Root) -> None:
        # Called wherever the last view goes, perhaps in another thread than the one that waits for a slot.
        self._segments.forget(root)
        root.owner.loaned = False
        if root.segment.words[WAITING]:
            self._waiter.wake()
