"""Leases: which slots this receiver still looks at, given back when the last view is gone."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import numpy as np

from pipert2.transport.memory import Fence
from pipert2.transport.segment import TAKEN, Root, Segment, Segments

MOST_VIEWS = 8
"""Slots that a routine may hold views of, for each of its inputs; from then on it gets copies."""
MOST_BYTES = 256 * 1024 * 1024
"""Bytes that these slots may have in all; the first one may be larger."""


class Use:
    """What this receiver does with one slot: how many claims and views there are, and for which message last."""

    __slots__ = ("count", "hold", "number", "segment", "slot", "views")

    def __init__(self, segment: Segment, slot: int, column: int) -> None:
        self.segment = segment
        self.slot = slot
        self.hold = segment.hold(slot) + column
        self.count = 0
        self.views = 0
        self.number = 0


class Leases:
    """The slots that one receiver of one edge uses.

    Claims are made by the receiving thread; views die wherever the last reference to them goes, also inside the garbage
    collector in the middle of anything. So a dying view only queues its slot and tries, without ever waiting, to work
    the queue off.
    """

    def __init__(self, segments: Segments, column: int) -> None:
        self._segments = segments
        self._column = column
        self._uses: dict[tuple[int, int], Use] = {}
        self._viewed: dict[tuple[int, int], Use] = {}
        self._bytes = 0  # of the slots in _viewed
        self._dead: deque[Use] = deque()
        self._lock = threading.Lock()
        self._fence = Fence()

    def claim(self, segment: int, slot: int, number: int) -> Use:
        """Mark a slot as taken by message *number*, until :meth:`drop` or the death of the :meth:`view` made of it."""
        use = self._uses.get((segment, slot))
        if use is None:
            use = self._uses[(segment, slot)] = Use(self._segments.get(segment), slot, self._column)
        with self._lock:
            use.count += 1
            use.number = number
            use.segment.words[use.hold] = number | TAKEN
        if self._dead:
            self._work_off()
        return use

    def drop(self, use: Use) -> None:
        """End a claim. A slot with an earlier use still alive stays taken for that."""
        with self._lock:
            self._end(use)
        if self._dead:
            self._work_off()

    def may_view(self, use: Use) -> bool:
        """Whether another view may be had of this slot, or the receiver must take a copy."""
        viewed = self._viewed
        if use.views or not viewed:
            return True
        return len(viewed) < MOST_VIEWS and self._bytes + use.segment.slot_size <= MOST_BYTES

    def view(self, use: Use, offset: int, length: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Turn a claim into a read-only array over part of the slot, which stays taken while anything looks at it."""
        array = use.segment.bytes_of(use.slot, offset, length)
        with self._lock:
            if not use.views:
                self._viewed[(use.segment.number, use.slot)] = use
                self._bytes += use.segment.slot_size
            use.views += 1
        self._segments.watch(array, use.segment, use.slot, offset, use, self._died)
        return array

    def _died(self, root: Root) -> None:
        self._segments.forget(root)
        self._dead.append(root.owner)
        self._work_off()

    def _work_off(self) -> None:
        # Whoever holds the lock looks at the queue again after letting go of it, so nothing stays behind.
        while self._dead and self._lock.acquire(blocking=False):
            try:
                while self._dead:
                    use = self._dead.popleft()
                    use.views -= 1
                    if not use.views:
                        del self._viewed[(use.segment.number, use.slot)]
                        self._bytes -= use.segment.slot_size
                    self._end(use)
            finally:
                self._lock.release()

    def _end(self, use: Use) -> None:
        use.count -= 1
        if not use.count:
            self._segments.give_back(use.segment, use.hold, use.number, self._fence)

    @property
    def held(self) -> int:
        """How many slots are looked at."""
        return len(self._viewed)
