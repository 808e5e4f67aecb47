"""Rings: the two ends of an edge between flows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from time import monotonic_ns
from typing import Any, Protocol

from pipert2.errors import UnreadableDataError
from pipert2.graph.spec import EdgeSpec
from pipert2.transport import board as b
from pipert2.transport.board import NEVER, Board
from pipert2.transport.codec import loads, unflatten
from pipert2.transport.edge_words import ReceivingWords, SendingWords
from pipert2.transport.envelope import CELL, FLAT, HEAD, HERE, INDIRECT, PLACE, Message, Place, blob_of
from pipert2.transport.lease import Leases, Use
from pipert2.transport.memory import WEAKLY_ORDERED, Bell, Block, Fence
from pipert2.transport.segment import Segment, Segments

LARGE_BYTES = 32 * 1024 * 1024
"""How much data in slots may wait on a lossless edge; two messages always may."""


class Interrupted(Exception):
    """A wait inside a send ended because the routine is to stop; what was to be sent is kept."""


class Waiter(Protocol):
    """How a sender sleeps: on its routine's bell, until that rings."""

    def check(self) -> None:
        """Raise :class:`Interrupted` if the routine is to stop."""

    def wait_for_room(self, waiting_for: str) -> None:
        """Wait for the bell; says so in the log when it takes long."""

    def wake(self) -> None:
        """Ring the bell, from any thread."""


def ring_key(edge: int) -> str:
    """The key of an edge's ring in its arena."""
    return f"r{edge:x}"


def ring_cells(edge: EdgeSpec) -> int:
    """Cells in an edge's ring; one more than may wait, so that the one being read is not the one being written."""
    return edge.capacity + 1


def ring_size(edge: EdgeSpec) -> int:
    """Bytes of an edge's ring."""
    return ring_cells(edge) * CELL


class RingSender(SendingWords):
    """The sending end. ``put`` publishes a finished cell; it waits for room if the edge is lossless."""

    __slots__ = (
        "_bell",
        "_board",
        "_capacity",
        "_cells",
        "_closed",
        "_fence",
        "_large",
        "_lossless",
        "_number",
        "_receiver_gone",
        "_row",
        "_seen",
        "_sleeping",
        "_view",
        "_waiter",
        "_words",
        "spec",
    )

    def __init__(self, spec: EdgeSpec, board: Board, ring: Block, bell: Bell, fence: Fence, waiter: Waiter) -> None:
        self.spec = spec
        self._board = board
        self._words = board.words
        self._view = ring.view
        self._bell = bell
        self._fence = fence
        self._waiter = waiter
        self._row = board.edge(spec.index)
        self._sleeping = board.routine(spec.destination) + b.SLEEPING
        self._receiver_gone = board.routine(spec.destination) + b.GONE
        self._cells = ring_cells(spec)
        self._capacity = spec.capacity
        self._lossless = spec.lossless
        self._number: int = self._words[self._row + b.W]
        self._seen: int = self._words[self._row + b.R]
        self._large: deque[tuple[int, int]] = deque()
        self._closed = False
        self._words[self._row + b.WAKE_AT] = NEVER
        self._words[self._row + b.BLOCKED_SINCE] = 0

    def put(self, cell: bytes, slots: Iterable[tuple[Segment, int]] = (), size: int = 0) -> None:
        """Publish *cell*, which refers to *slots* with *size* bytes of data in them.

        Raises:
            Interrupted: there was no room before the routine was told to stop; nothing was published.
        """
        number = self._number + 1
        words = self._words
        waited = False
        if self._lossless and (number - self._seen > self._capacity or (size and not self._admits(number, size))):
            self._wait_for_room(number, size)
            waited = True
        if self._closed or (waited and words[self._receiver_gone]):
            self.discard()  # unlinked, or nobody is left to take it
            return
        column = self.spec.index
        for segment, slot in slots:
            segment.words[segment.given(slot) + column] = number
        start = number % self._cells * CELL
        self._view[start : start + len(cell)] = cell
        if WEAKLY_ORDERED:
            self._fence()
        words[self._row] = number
        self._number = number
        if size and self._lossless:
            self._large.append((number, size))
        self._fence()
        if words[self._sleeping]:
            self._bell.ring()

    def _admits(self, number: int, size: int) -> bool:
        large = self._large
        if len(large) < 2:
            return True
        self._seen = seen = self._words[self._row + b.R]
        while large and large[0][0] <= seen:
            large.popleft()
        return len(large) < 2 or sum(waiting for _, waiting in large) + size <= LARGE_BYTES

    def _has_room(self, number: int, size: int) -> bool:
        self._seen = self._words[self._row + b.R]
        return number - self._seen <= self._capacity and (not size or self._admits(number, size))

    def _wait_for_room(self, number: int, size: int) -> None:
        if self._has_room(number, size):
            return
        words, row = self._words, self._row
        began = words[row + b.BLOCKED_SINCE] = monotonic_ns()
        try:
            while True:
                # Not woken for each message but when half of what waits is taken: a quarter of the wake-ups' cost.
                waiting = number - 1 - self._seen
                words[row + b.WAKE_AT] = self._seen + max(1, waiting // 2)
                self._fence()
                if self._has_room(number, size):
                    return
                self._waiter.check()
                if self._closed or words[self._receiver_gone]:
                    return
                self._waiter.wait_for_room("room")
        finally:
            words[row + b.WAKE_AT] = NEVER
            words[row + b.BLOCKED_SINCE] = 0
            words[row + b.BLOCKED_NS] += monotonic_ns() - began


class RingReceiver(ReceivingWords):
    """The receiving end. ``take`` gives the next message, or None if there is none.

    Args:
        unreadable: told of each message that cannot be turned into data here.
    """

    __slots__ = (
        "_cells",
        "_fence",
        "_leases",
        "_lossless",
        "_receive",
        "_row",
        "_segments",
        "_sender_bell",
        "_source",
        "_taken",
        "_threshold",
        "_view",
        "_words",
        "spec",
    )

    def __init__(
        self,
        spec: EdgeSpec,
        board: Board,
        ring: Block,
        segments: Segments,
        sender_bell: Bell,
        source: str,
        receive: Callable[[Any], Any] | None = None,
    ) -> None:
        self.spec = spec
        self._words = board.words
        self._row = board.edge(spec.index)
        self._view = ring.view
        self._cells = ring_cells(spec)
        self._segments = segments
        self._leases = Leases(segments, spec.index)
        self._fence = Fence()
        self._sender_bell = sender_bell
        self._source = source
        self._receive = receive
        self._lossless = spec.lossless
        self._threshold = spec.transmitter.view_threshold
        self._taken: int = self._words[self._row + b.R]

    @property
    def views(self) -> int:
        """Slots that views are still alive of."""
        return self._leases.held

    def take(self) -> Message | None:
        """The next message.

        Raises:
            UnreadableDataError: it cannot be turned into data in this process; it counts as taken.
        """
        words, row, view = self._words, self._row, self._view
        while True:
            published = words[row]
            number = self._taken + 1
            if number > published:
                return None
            if WEAKLY_ORDERED:
                self._fence()
            oldest = 0 if self._lossless else published - self.spec.capacity + 1
            if number < oldest:
                number = oldest
            start = number % self._cells * CELL
            kind, count, attempt, length, origin, born, sent = HEAD.unpack_from(view, start)
            end = CELL if count else HEAD.size + length
            cell = bytes(view[start : start + min(end, CELL)])
            if not self._lossless and self._passed(number):
                continue
            if not count:
                self._took(number)
                return Message(self._decode(kind, cell[HEAD.size :], ()), origin, born, sent, attempt)
            places = [PLACE.unpack_from(cell, HEAD.size + PLACE.size * index) for index in range(count)]
            claim = self._leases.claim
            uses = [None if place[0] == HERE else claim(place[0], place[1], number) for place in places]
            if not self._lossless:
                self._fence()
                if words[row] - self.spec.capacity >= number:
                    for use in uses:
                        if use is not None:
                            self._leases.drop(use)
                    continue
            self._took(number)
            if kind & INDIRECT:
                data = self._decode_indirect(kind, places, uses, number, length)
            else:
                at = HEAD.size + PLACE.size * count
                data = self._decode(kind, cell[at : at + length], self._buffers(cell, places, uses))
            return Message(data, origin, born, sent, attempt)

    def _buffers(self, cell: bytes, places: Sequence[Place], uses: Sequence[Use | None]) -> list[Any]:
        """What lies at the places, as views or copies. Ends the claims *uses*, whatever happens."""
        found: list[Any] = []
        threshold = self._threshold
        leases = self._leases
        failure: MemoryError | None = None
        for (_, _, offset, length), use in zip(places, uses, strict=True):
            if use is None:
                data: Any = cell[offset : offset + length]
            else:
                if threshold is not None and length >= threshold:
                    if leases.may_view(use):
                        found.append(leases.view(use, offset, length))
                        continue
                    self._words[self._row + b.COPIED] += 1
                data = use.segment.bytes_of(use.slot, offset, length)
            try:
                found.append(bytearray(data) if threshold is None else bytes(data))
            except MemoryError as error:
                failure = error
            finally:
                if use is not None:
                    leases.drop(use)
        if failure is not None:
            raise UnreadableDataError(self._source, "there is no memory for a copy of it") from failure
        return found

    def _decode_indirect(
        self, kind: int, named: Sequence[Place], uses: Sequence[Use | None], number: int, length: int
    ) -> Any:
        """The data of a message whose places and stream lie in a slot; *uses* are the claims on all its slots."""
        first = uses[0]
        assert first is not None
        start = first.segment.start(first.slot) + named[0][2]
        blob = first.segment.read_only[start : start + named[0][3]]
        places, stream = blob_of(blob, length)
        try:
            again = [self._leases.claim(place[0], place[1], number) for place in places]
            return self._decode(kind, stream, self._buffers(b"", places, again))
        finally:
            for use in uses:
                if use is not None:
                    self._leases.drop(use)

    def _passed(self, number: int) -> bool:
        if WEAKLY_ORDERED:
            self._fence()
        return bool(self._words[self._row] - self.spec.capacity >= number)

    def _took(self, number: int) -> None:
        words, row = self._words, self._row
        gap = number - self._taken - 1
        # R first: what a death in between leaves uncounted is then the difference, never too much. Who looks in between
        # knows what the difference is: one message that is received, and before it those that passed.
        words[row + b.R] = self._taken = number
        if gap:
            words[row + b.DROPPED] += gap
        words[row + b.RECEIVED] += 1
        if self._lossless:
            self._fence()
            if words[row + b.WAKE_AT] <= number:
                self._sender_bell.ring()

    def _decode(self, kind: int, stream: Any, buffers: Sequence[Any]) -> Any:
        try:
            data = unflatten(stream, buffers) if kind & FLAT else loads(stream, buffers=buffers)
            return data if self._receive is None else self._receive(data)
        except Exception as error:
            raise UnreadableDataError(self._source, f"{type(error).__name__}: {error}") from error
