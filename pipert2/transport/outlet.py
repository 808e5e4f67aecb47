"""Outlets: what a routine returns, written once and handed to all edges behind it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from time import monotonic_ns
from typing import Any, NamedTuple

import numpy as np

from pipert2.graph.spec import EdgeSpec
from pipert2.transport.codec import Encoder, order_of
from pipert2.transport.envelope import (
    COUNT,
    DIRECT,
    FLAT,
    HEAD,
    HEAD_AND_PLACE,
    HERE,
    INDIRECT,
    PLACE,
    ROOM,
    Message,
    aligned,
)
from pipert2.transport.local import LocalEdge, separate
from pipert2.transport.pool import Slot, SlotPool
from pipert2.transport.ring import Interrupted, RingSender
from pipert2.transport.segment import Segment, Segments
from pipert2.transport.work_ends import Delivery, Kept, WorkSender

FORWARD_BYTES = 1024
"""Arrays of fewer bytes are copied rather than looked up in the slots that this process holds."""
LOAN_MARGIN = 4096
"""Room behind a loaned array for what is sent beside it."""
_MOST_SLOTS = ROOM // PLACE.size - 1

_Crossing = RingSender | WorkSender
_Sender = _Crossing | LocalEdge
_Array = np.ndarray[Any, np.dtype[Any]]


class _Unsent(NamedTuple):
    """A message that some edges still have to get. Without a cell it is not written yet."""

    message: Message
    todo: Sequence[_Sender]
    cell: bytes = b""
    slots: Collection[tuple[Segment, int]] = ()
    size: int = 0


class Outlet:
    """The sending side of one routine.

    Args:
        senders: its edges.
        pool: where its data is placed.
        carries: whether data in a segment of routine *owner* may travel on an edge; see :meth:`PipeSpec.carriers`.
        forwards: whether data in slots may come from elsewhere in this process and be passed on.

    Attributes:
        takes_encoded: whether none of the edges looks at the data, so that :class:`Encoded` may be sent.
        only_queue: the queue of the only edge, if that is lossless and takes what is encoded.
    """

    def __init__(
        self,
        senders: Sequence[_Sender],
        pool: SlotPool,
        segments: Segments,
        carries: Callable[[int, int], bool],
        forwards: bool,
    ) -> None:
        self._pool = pool
        self._segments = segments
        self._carries = carries
        self._forwards = forwards
        self._encode = Encoder()
        self._loaned: dict[tuple[int, int], tuple[Slot, int]] = {}
        self._unsent: _Unsent | None = None
        self.senders: list[_Sender] = []
        self._rings: list[_Crossing] = []
        self.takes_encoded = False
        self.only_queue: WorkSender | None = None
        self._copies = False
        self._transforms = False
        self._selects = False
        self._delivering = False
        self._arrange(senders)

    def _arrange(self, senders: Sequence[_Sender]) -> None:
        # Real-time edges first: they never wait, so a full lossless edge cannot hold them up.
        self.senders = sorted(senders, key=lambda sender: sender.spec.lossless)
        self._rings = [sender for sender in self.senders if not isinstance(sender, LocalEdge)]
        self._copies = any(isinstance(ring, WorkSender) for ring in self._rings)
        self._transforms = any(ring.spec.transmitter.transmit() is not None for ring in self._rings)
        self._selects = any(sender.spec.where is not None for sender in self.senders)
        self.takes_encoded = not (self._transforms or self._selects or len(self._rings) < len(self.senders))
        lossless = [ring for ring in self._rings if isinstance(ring, WorkSender) and ring.spec.lossless]
        self.only_queue = lossless[0] if self.takes_encoded and len(lossless) == len(self.senders) == 1 else None

    def send(
        self, data: Any, origin: int, born: int, attempt: int = 0, delivery: Delivery | Kept | None = None
    ) -> None:
        """Send *data* to all edges.

        Raises:
            UnsendableDataError, SharedMemoryFullError: no edge got it; each has counted it.
            what a wire's condition raises: no edge got it.
            Interrupted: some edges have it; :meth:`resume` goes on with the others.
        """
        message = Message(data, origin, born, monotonic_ns(), attempt, delivery)
        senders, rings = self.senders, self._rings
        if self._selects:
            senders = self._selected(data)
            rings = [ring for ring in rings if ring in senders]
        if not rings:
            self._deliver(message, senders)
        elif self._transforms:
            self._send_transformed(message, senders)
        else:
            self._send_to(message, senders, rings)

    def _selected(self, data: Any) -> list[_Sender]:
        """The edges whose conditions let *data* travel; the others count it."""
        chosen = [sender for sender in self.senders if sender.spec.where is None or sender.spec.where(data)]
        for sender in self.senders:
            if sender not in chosen:
                sender.leave_out()
        return chosen

    def _send_to(self, message: Message, senders: Sequence[_Sender], rings: Sequence[_Crossing]) -> None:
        try:
            flat, stream, arrays = self._encode(message.data)
            kind = FLAT if flat else DIRECT
            if not arrays and len(stream) <= ROOM:
                _, origin, born, sent, attempt, _ = message
                cell = HEAD.pack(kind, 0, attempt, len(stream), origin, born, sent) + stream
                self._deliver(message, senders, cell)
            elif len(arrays) == 1 and len(stream) <= ROOM - PLACE.size and arrays[0].nbytes > ROOM:
                self._deliver(message, senders, *self._place_one(message, rings, kind, stream, arrays[0]))
            else:
                self._deliver(message, senders, *self._place(message, rings, kind, stream, arrays))
        except Interrupted:
            if self._unsent is None:
                self._unsent = _Unsent(message, senders)
            raise
        except Exception:
            if not self._transforms:
                for sender in senders:
                    sender.discard()
            raise

    def _send_transformed(self, message: Message, senders: Sequence[_Sender]) -> None:
        """Send with transmitters of the user's own: each makes something else of the data."""
        failure: Exception | None = None
        for at, sender in enumerate(senders):
            try:
                if not isinstance(sender, LocalEdge):
                    transmit = sender.spec.transmitter.transmit()
                    own = message if transmit is None else message._replace(data=transmit(message.data))
                    self._send_to(own, [sender], [sender])
                else:
                    self._deliver(message, [sender])
            except Interrupted:
                self._unsent = _Unsent(message, senders[at:])  # it is transformed again when it is resumed
                raise
            except Exception as error:
                sender.discard()
                failure = error
        if failure is not None:
            raise failure

    def _deliver(
        self,
        message: Message,
        senders: Sequence[_Sender],
        cell: bytes = b"",
        slots: Collection[tuple[Segment, int]] = (),
        size: int = 0,
    ) -> None:
        done = 0
        self._delivering = True
        try:
            for sender in senders:
                if isinstance(sender, RingSender):
                    sender.put(cell, slots, size)
                elif isinstance(sender, WorkSender):
                    sender.put(cell, slots, size, message.delivery)
                elif len(self.senders) > 1:
                    sender.put(message._replace(data=separate(message.data)))
                else:
                    sender.put(message)
                done += 1
        except Interrupted:
            self._unsent = _Unsent(message, senders[done:], cell, slots, size)
            raise
        finally:
            self._delivering = False

    def _place_one(
        self, message: Message, rings: Sequence[_Crossing], kind: int, stream: bytes, array: _Array
    ) -> tuple[bytes, Collection[tuple[Segment, int]], int]:
        """:meth:`_place` for the usual case, one large array and a small stream."""
        length = array.nbytes
        found = self._find(array, rings)
        if found is not None:
            segment, number, at = found
            self._loaned.pop((segment.number, number), None)
        else:
            slot = self._pool.acquire(length)
            slot.write(0, array)
            segment, number, at = slot.segment, slot.index, 0
        _, origin, born, sent, attempt, _ = message
        head = HEAD_AND_PLACE.pack(
            kind, 1, attempt, len(stream), origin, born, sent, segment.number, number, at, length
        )
        return head + stream, ((segment, number),), length

    def _place(
        self, message: Message, rings: Sequence[_Crossing], kind: int, stream: bytes, arrays: Sequence[_Array]
    ) -> tuple[bytes, Collection[tuple[Segment, int]], int]:
        """Write the arrays where receivers will find them: cell, slots referred to, bytes in slots.

        An array that lies in a slot already (it was loaned, or received and is passed on) stays where it is.
        """
        table = PLACE.size * len(arrays)
        places: list[tuple[int, int, int, int] | None] = [None] * len(arrays)
        slots: set[tuple[Segment, int]] = set()
        slot: Slot | None = None
        offset = size = 0
        for index, array in enumerate(arrays):
            found = self._find(array, rings) if array.nbytes >= FORWARD_BYTES else None
            if found is None or (len(slots) >= _MOST_SLOTS and found[:2] not in slots):
                continue
            segment, number, at = found
            slots.add((segment, number))
            size += array.nbytes
            places[index] = (segment.number, number, at, array.nbytes)
            slot, offset = self._loaned.pop((segment.number, number), (slot, offset))
        missing = [index for index, place in enumerate(places) if place is None]
        tail = b""
        if table + len(stream) + sum(arrays[index].nbytes for index in missing) <= ROOM:
            for index in missing:
                places[index] = (HERE, 0, HEAD.size + table + len(stream) + len(tail), arrays[index].nbytes)
                tail += arrays[index].tobytes(order_of(arrays[index]))
        else:
            needed = sum(aligned(arrays[index].nbytes) for index in missing)
            if table + len(stream) > ROOM:
                kind |= INDIRECT
                needed += aligned(COUNT.size + table + len(stream))
            if slot is None or offset + needed > slot.size:
                slot, offset = (self._pool.acquire(needed), 0) if needed else (None, 0)
            for index in missing:
                assert slot is not None
                length = arrays[index].nbytes
                slot.write(offset, arrays[index])
                places[index] = (slot.segment.number, slot.index, offset, length)
                offset += aligned(length)
            if slot is not None:
                slots.add((slot.segment, slot.index))
            size += needed
        packed = b"".join(PLACE.pack(*place) for place in places if place is not None)
        count = len(arrays)
        length = len(stream)
        if kind & INDIRECT:
            assert slot is not None
            blob = COUNT.pack(count) + packed + stream
            slot.write(offset, np.frombuffer(blob, np.uint8))
            named = [(slot.segment.number, slot.index, offset, len(blob))]
            named += [(segment.number, number, 0, 0) for segment, number in slots - {(slot.segment, slot.index)}]
            packed = b"".join(PLACE.pack(*place) for place in named)
            count, stream = len(named), b""
        head = HEAD.pack(kind, count, message.attempt, length, message.origin, message.born, message.sent)
        return head + packed + stream + tail, slots, size

    def _find(self, array: _Array, rings: Sequence[_Crossing]) -> tuple[Segment, int, int] | None:
        """Where *array* lies already, if it lies in a slot that this process holds and may travel on these edges."""
        if not (self._forwards or self._pool.loans):
            return None
        found = self._segments.find(array)
        if found is None or not all(self._carries(found[0].owner, ring.spec.index) for ring in rings):
            return None
        if self._copies and not self._is_first(array, found[0], found[1], rings):
            return None
        return found

    def _is_first(self, array: _Array, segment: Segment, slot: int, rings: Sequence[_Crossing]) -> bool:
        """Whether a slot was loaned in this process and no message in a queue has it: a queue frees the slots of a
        message when that is over, whatever other message of the same queue still has their data."""
        words, given, hold = segment.words, segment.given(slot), segment.hold(slot)
        return self._segments.is_loaned(array) and all(
            words[given + ring.spec.index] == words[hold + ring.spec.index]
            for ring in rings
            if isinstance(ring, WorkSender)
        )

    def resume(self) -> None:
        """Send what :class:`Interrupted` left unsent."""
        unsent, self._unsent = self._unsent, None
        if unsent is None:
            return
        if self._transforms:
            self._send_transformed(unsent.message, unsent.todo)
        elif unsent.cell or not self._rings:
            self._deliver(*unsent)
        else:
            self._send_to(unsent.message, unsent.todo, [ring for ring in self._rings if ring in unsent.todo])

    def abandon(self) -> None:
        """Give up what is unsent, and count it."""
        unsent, self._unsent = self._unsent, None
        if unsent is not None:
            for sender in unsent.todo:
                sender.discard()

    @property
    def has_unsent(self) -> bool:
        """Whether a message waits for :meth:`resume`."""
        return self._unsent is not None

    def loan(self, shape: tuple[int, ...], dtype: np.dtype[Any], *, wait: bool = True) -> np.ndarray[Any, Any]:
        """An array in a free slot; plain memory while a message in a slot still waits to be given to somebody.

        Args:
            wait: until a slot is free; else it is plain memory, too, if there is none.
        """
        if self._delivering or self._unsent is not None:
            return np.empty(shape, dtype)
        length = math.prod(shape) * dtype.itemsize
        margin = aligned(length)
        slot = (self._pool.acquire if wait else self._pool.acquire_now)(margin + LOAN_MARGIN)
        if slot is None:
            return np.empty(shape, dtype)
        self._loaned[(slot.segment.number, slot.index)] = (slot, margin)
        return self._pool.loan(slot, length).view(dtype).reshape(shape)

    def watch(self, carriers: Sequence[EdgeSpec]) -> None:
        """Data may from now on travel on these edges; see :meth:`SlotPool.watch`."""
        self._pool.watch(carriers)

    def link(self, sender: _Sender) -> None:
        """Send on a further edge from now on."""
        if all(sender.spec.index != known.spec.index for known in self.senders):
            self._arrange([*self.senders, sender])

    def unlink(self, destination: int) -> bool:
        """Close the edges to a routine and send to it no more; False if there are none."""
        return self.shut([sender.spec.index for sender in self.senders if sender.spec.destination == destination])

    def shut(self, numbers: Collection[int]) -> bool:
        """Close these edges and send on them no more; False if none of them was open."""
        gone = [sender for sender in self.senders if sender.spec.index in numbers]
        for sender in gone:
            sender.close()
        self._arrange([sender for sender in self.senders if sender not in gone])
        if self._unsent is not None:
            self._unsent = self._unsent._replace(todo=[sender for sender in self._unsent.todo if sender not in gone])
        return bool(gone)

    def end(self) -> None:
        """Say on all edges that no message follows."""
        for sender in self.senders:
            sender.end()

    def reopen(self) -> None:
        """Take :meth:`end` back: the routine starts again, and may have taught pickle new types in its setup."""
        self._encode = Encoder()
        for sender in self.senders:
            sender.reopen()
