"""Segments: the shared memory that slots lie in, and each process's directory of the ones it has mapped."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from pipert2.transport.memory import Arena, Bell, Block, Fence

PAGE = 4096
TAKEN = 1 << 63

# words at the start of a segment
_SLOTS, _SLOT_SIZE, _COLUMNS, _OWNER, WAITING, _DATA = range(6)
_HEADER_WORDS = 8


def segment_key(number: int) -> str:
    """The key of a segment in its arena."""
    return f"s{number:x}"


def data_start(slots: int, columns: int) -> int:
    """Where the first slot begins, in bytes."""
    words = _HEADER_WORDS + slots * columns * 2
    return -(-words * 8 // PAGE) * PAGE


def create_segment(arena: Arena, number: int, *, owner: int, columns: int, slot_size: int, slots: int) -> Block:
    """Make a segment of *slots* slots of *slot_size* bytes (a multiple of the page size) for the routine *owner*.

    Raises:
        SharedMemoryFullError: there is no room for it.
    """
    start = data_start(slots, columns)
    block = arena.create(segment_key(number), start + slots * slot_size)
    for word, value in ((_SLOTS, slots), (_SLOT_SIZE, slot_size), (_COLUMNS, columns), (_OWNER, owner), (_DATA, start)):
        block.words[word] = value
    return block


class Segment:
    """A mapped segment. ``given(slot)`` and ``hold(slot)`` are the indices of a slot's rows of words."""

    __slots__ = (
        "block",
        "columns",
        "data",
        "number",
        "owner",
        "read_only",
        "size",
        "slot_size",
        "slots",
        "words",
    )

    def __init__(self, number: int, block: Block) -> None:
        words = block.words
        self.number = number
        self.block = block
        self.words = words
        self.slots: int = words[_SLOTS]
        self.slot_size: int = words[_SLOT_SIZE]
        self.columns: int = words[_COLUMNS]
        self.owner: int = words[_OWNER]
        self.data: int = words[_DATA]
        self.size = block.size
        self.read_only = block.view.toreadonly()

    def given(self, slot: int) -> int:
        return _HEADER_WORDS + slot * self.columns * 2

    def hold(self, slot: int) -> int:
        return _HEADER_WORDS + slot * self.columns * 2 + self.columns

    def start(self, slot: int) -> int:
        """Where a slot's bytes begin in the segment."""
        return self.data + slot * self.slot_size

    def bytes_of(self, slot: int, offset: int, length: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """A read-only array over part of a slot. Its base is a memoryview: it is the root of all views made of it."""
        return np.frombuffer(self.read_only, np.uint8, length, self.start(slot) + offset)


class Root(weakref.ref["np.ndarray[Any, Any]"]):
    """Watches an array over part of a slot that views are made of: where they lie, and until when."""

    __slots__ = ("key", "length", "loaned", "offset", "owner", "segment", "slot")

    key: int
    loaned: bool
    segment: Segment
    slot: int
    offset: int
    length: int
    owner: Any


class Segments:
    """The segments one process has mapped, and the arrays of this process that lie in them.

    Args:
        arena: where they come from.
        owner_bell: gives the bell of the routine that owns a segment.
    """

    def __init__(self, arena: Arena, owner_bell: Callable[[int], Bell]) -> None:
        self._arena = arena
        self._owner_bell = owner_bell
        self._known: dict[int, Segment] = {}
        self._roots: dict[int, Root] = {}

    def get(self, number: int) -> Segment:
        """The segment of this number; maps it when it is met first."""
        segment = self._known.get(number)
        if segment is None:
            segment = self._known.setdefault(number, Segment(number, self._arena.open(segment_key(number))))
        return segment

    def watch(
        self,
        array: np.ndarray[Any, np.dtype[np.uint8]],
        segment: Segment,
        slot: int,
        offset: int,
        owner: Any,
        died: Callable[[Any], None],
        *,
        loaned: bool = False,
    ) -> None:
        """Remember where an array lies; *died* is called with its :class:`Root` when nothing looks at it any more.

        Args:
            loaned: to write to, by this process; else it was received.
        """
        root = Root(array, died)
        root.loaned = loaned
        root.key = id(array)
        root.segment, root.slot, root.offset, root.length, root.owner = segment, slot, offset, array.nbytes, owner
        self._roots[root.key] = root

    def forget(self, root: Root) -> None:
        """Called when an array that was watched is gone."""
        if self._roots.get(root.key) is root:  # else its number belongs to a newer array already
            del self._roots[root.key]

    def find(self, array: np.ndarray[Any, Any]) -> tuple[Segment, int, int] | None:
        """Segment, slot and offset of an array, if its memory lies in a slot as it is."""
        root = self._roots.get(id(array.base))
        base = None if root is None else root()
        if root is None or base is None or base is not array.base or not array.flags.forc:
            return None
        if array.nbytes == root.length:
            return root.segment, root.slot, root.offset
        within: int = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        return root.segment, root.slot, root.offset + within

    def is_loaned(self, array: np.ndarray[Any, Any]) -> bool:
        """Whether an array that :meth:`find` has found was loaned in this process."""
        return self._roots[id(array.base)].loaned

    def give_back(self, segment: Segment, hold: int, number: int, fence: Fence) -> None:
        """Say that message *number*'s slot is no longer used, and wake the owner if it waits for one."""
        segment.words[hold] = number
        fence()
        if segment.words[WAITING]:
            self._owner_bell(segment.owner).ring()
