"""Leases: which slots this receiver still looks at, given back when the last view is gone."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from typing import Any

import numpy as np

from pipert2.transport.memory import Fence
from pipert2.transport.segment import TAKEN, Segment, Segments

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


class _Ref(weakref.ref["np.ndarray[Any, Any]"]):
    __slots__ = ("use",)

    use: Use


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
        self._refs: dict[int, _Ref] = {}
        self._viewed: dict[tuple[int, int], Use] = {}
        self._dead: deque[_Ref] = deque()
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
        held = sum(other.segment.slot_size for other in tuple(viewed.values()))
        return len(viewed) < MOST_VIEWS and held + use.segment.slot_size <= MOST_BYTES

    def view(self, use: Use, offset: int, length: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Turn a claim into a read-only array over part of the slot, which stays taken while anything looks at it."""
        root = use.segment.bytes_of(use.slot, offset, length)
        ref = _Ref(root, self._died)
        ref.use = use
        with self._lock:
            self._refs[id(ref)] = ref
            use.views += 1
            self._viewed[(use.segment.number, use.slot)] = use
        return root

    def _died(self, ref: weakref.ref[Any]) -> None:
        self._dead.append(ref)  # type: ignore[arg-type]
        self._work_off()

    def _work_off(self) -> None:
        # Whoever holds the lock looks at the queue again after letting go of it, so nothing stays behind.
        while self._dead and self._lock.acquire(blocking=False):
            try:
                while self._dead:
                    ref = self._dead.popleft()
                    del self._refs[id(ref)]
                    use = ref.use
                    use.views -= 1
                    if not use.views:
                        del self._viewed[(use.segment.number, use.slot)]
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
