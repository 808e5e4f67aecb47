"""Segments: the shared memory that slots lie in, and each process's directory of the ones it has mapped."""

from __future__ import annotations

import bisect
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
        "address",
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
        self.address: int = np.frombuffer(block.view, np.uint8).__array_interface__["data"][0]

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


class Segments:
    """The segments one process has mapped, by number and by address; maps them as they are met.

    Args:
        arena: where they come from.
        owner_bell: gives the bell of the routine that owns a segment.
    """

    def __init__(self, arena: Arena, owner_bell: Callable[[int], Bell]) -> None:
        self._arena = arena
        self._owner_bell = owner_bell
        self._known: dict[int, Segment] = {}
        self._addresses: list[int] = []
        self._by_address: list[Segment] = []

    def get(self, number: int) -> Segment:
        segment = self._known.get(number)
        return segment if segment is not None else self._open(number)

    def _open(self, number: int) -> Segment:
        segment = Segment(number, self._arena.open(segment_key(number)))
        at = bisect.bisect(self._addresses, segment.address)
        self._by_address.insert(at, segment)
        self._addresses.insert(at, segment.address)
        return self._known.setdefault(number, segment)

    def locate(self, address: int, length: int) -> tuple[Segment, int, int] | None:
        """Segment, slot and offset of memory at an address, None if it does not lie in one slot."""
        at = bisect.bisect(self._addresses, address) - 1
        if at < 0:
            return None
        segment = self._by_address[at]
        offset = address - segment.address - segment.data
        if offset < 0:
            return None
        slot, within = divmod(offset, segment.slot_size)
        if slot >= segment.slots or within + length > segment.slot_size:
            return None
        return segment, slot, within

    def give_back(self, segment: Segment, hold: int, number: int, fence: Fence) -> None:
        """Say that message *number*'s slot is no longer used, and wake the owner if it waits for one."""
        segment.words[hold] = number
        fence()
        if segment.words[WAITING]:
            self._owner_bell(segment.owner).ring()

    def __len__(self) -> int:
        return len(self._known)
