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
"""Views that a routine may hold for each of its inputs; from then on it gets copies."""
MOST_BYTES = 256 * 1024 * 1024
"""Bytes that these views may look at in all; the first one may be larger."""


class _Ref(weakref.ref["np.ndarray[Any, Any]"]):
    __slots__ = ("key", "length")

    key: tuple[int, int]
    length: int


class _Use:
    __slots__ = ("count", "hold", "number", "segment")

    def __init__(self, segment: Segment, hold: int) -> None:
        self.segment = segment
        self.hold = hold
        self.count = 0
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
        self._uses: dict[tuple[int, int], _Use] = {}
        self._refs: dict[int, _Ref] = {}
        self._dead: deque[_Ref] = deque()
        self._lock = threading.Lock()
        self._fence = Fence()
        self._bytes = 0

    def claim(self, slots: set[tuple[int, int]], number: int) -> None:
        """Mark the slots as taken by message *number*; :meth:`settle` or :meth:`withdraw` follows."""
        with self._lock:
            for key in slots:
                use = self._uses.get(key)
                if use is None:
                    segment = self._segments.get(key[0])
                    use = self._uses[key] = _Use(segment, segment.hold(key[1]) + self._column)
                use.count += 1
                use.number = number
                use.segment.words[use.hold] = number | TAKEN

    def settle(self, slots: set[tuple[int, int]]) -> None:
        """End the claims; what has views stays taken until they are gone."""
        with self._lock:
            for key in slots:
                self._drop(key)
        if self._dead:
            self._work_off()

    withdraw = settle
    """End the claims of a message that passed: a slot with an earlier use still alive stays taken for that."""

    def may_view(self, length: int) -> bool:
        """Whether another view of *length* bytes may be had, or the receiver must take a copy."""
        held = len(self._refs)
        return held == 0 or (held < MOST_VIEWS and self._bytes + length <= MOST_BYTES)

    def view(self, key: tuple[int, int], offset: int, length: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """A read-only array over part of a claimed slot, which stays taken for as long as anything looks at it."""
        use = self._uses[key]
        root = use.segment.bytes_of(key[1], offset, length)
        ref = _Ref(root, self._died)
        ref.key = key
        ref.length = length
        with self._lock:
            self._refs[id(ref)] = ref
            self._bytes += length
            use.count += 1
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
                    self._bytes -= ref.length
                    self._drop(ref.key)
            finally:
                self._lock.release()

    def _drop(self, key: tuple[int, int]) -> None:
        use = self._uses[key]
        use.count -= 1
        if not use.count:
            del self._uses[key]
            self._segments.give_back(use.segment, use.hold, use.number, self._fence)

    @property
    def held(self) -> int:
        """How many views are alive."""
        return len(self._refs)
