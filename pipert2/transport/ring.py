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
from pipert2.transport.codec import loads
from pipert2.transport.envelope import CELL, COUNT, HEAD, HERE, INDIRECT, PLACE, Message
from pipert2.transport.lease import Leases
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

    def sleep(self, waiting_for: str) -> None:
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


class RingSender:
    """The sending end. ``put`` publishes a finished cell; it waits for room if the edge is lossless."""

    __slots__ = (
        "_bell",
        "_board",
        "_capacity",
        "_cells",
        "_fence",
        "_large",
        "_lossless",
        "_number",
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
        self._cells = ring_cells(spec)
        self._capacity = spec.capacity
        self._lossless = spec.lossless
        self._number: int = self._words[self._row + b.W]
        self._seen: int = self._words[self._row + b.R]
        self._large: deque[tuple[int, int]] = deque()
        self._words[self._row + b.WAKE_AT] = NEVER
        self._words[self._row + b.BLOCKED_SINCE] = 0

    def put(self, cell: bytes, slots: Iterable[tuple[Segment, int]] = (), size: int = 0) -> None:
        """Publish *cell*, which refers to *slots* with *size* bytes of data in them.

        Raises:
            Interrupted: there was no room before the routine was told to stop; nothing was published.
        """
        number = self._number + 1
        words = self._words
        if self._lossless and (number - self._seen > self._capacity or (size and not self._admits(number, size))):
            self._wait_for_room(number, size)
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
                self._waiter.sleep("room")
        finally:
            words[row + b.WAKE_AT] = NEVER
            words[row + b.BLOCKED_SINCE] = 0
            words[row + b.BLOCKED_NS] += monotonic_ns() - began

    def end(self) -> None:
        """Say that no message follows, for now."""
        self._words[self._row + b.ENDED] = self._number + 1
        self._fence()
        self._bell.ring()

    def reopen(self) -> None:
        """Take :meth:`end` back: the source starts again."""
        self._words[self._row + b.ENDED] = 0

    def close(self) -> None:
        """Say that no message will ever follow: the edge was unlinked."""
        self._words[self._row + b.CLOSED] = 1
        self.end()

    def discard(self) -> None:
        """Count a message that could not be sent."""
        self._words[self._row + b.DISCARDED] += 1


class RingReceiver:
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

    def has_data(self) -> bool:
        """Whether there is something to take."""
        return bool(self._words[self._row] > self._taken)

    def ended(self) -> bool:
        """Whether everything was taken and nothing follows."""
        ended = self._words[self._row + b.ENDED]
        return bool(ended and self._taken >= ended - 1 and self._words[self._row] == ended - 1)

    @property
    def views(self) -> int:
        """Views into slots that are still alive."""
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
            stream_at = start + 32 + 24 * count
            cell_end = min(stream_at + length, start + CELL)
            if not count:
                stream: Any = bytes(view[stream_at:cell_end])
                if not self._lossless and self._passed(number):
                    continue
                self._took(number)
                return Message(self._decode(stream, ()), origin, born, sent, attempt)
            cell = bytes(view[start : start + CELL])
            if not self._lossless and self._passed(number):
                continue
            places = [PLACE.unpack_from(cell, 32 + 24 * index) for index in range(count)]
            slots = {(place[0], place[1]) for place in places if place[0] != HERE}
            self._leases.claim(slots, number)
            if not self._lossless:
                self._fence()
                if words[row] - self.spec.capacity >= number:
                    self._leases.withdraw(slots)
                    continue
            self._took(number)
            try:
                stream = cell[stream_at - start : cell_end - start]
                if kind == INDIRECT:
                    # All slots that the blob names are those of the cell's other places.
                    blob = self._bytes_at(places[0])
                    total = COUNT.unpack_from(blob)[0]
                    table_end = 4 + 24 * total
                    places = [PLACE.unpack_from(blob, 4 + 24 * index) for index in range(total)]
                    stream = blob[table_end : table_end + length]
                buffers = [self._buffer(cell, place) for place in places]
                return Message(self._decode(stream, buffers), origin, born, sent, attempt)
            finally:
                buffers = []
                self._leases.settle(slots)

    def _passed(self, number: int) -> bool:
        if WEAKLY_ORDERED:
            self._fence()
        return bool(self._words[self._row] - self.spec.capacity >= number)

    def _took(self, number: int) -> None:
        words, row = self._words, self._row
        gap = number - self._taken - 1
        # R first: what a death in between leaves uncounted is then the difference, never too much.
        words[row + b.R] = self._taken = number
        words[row + b.RECEIVED] += 1
        if gap:
            words[row + b.DROPPED] += gap
        if self._lossless:
            self._fence()
            if words[row + b.WAKE_AT] <= number:
                self._sender_bell.ring()

    def _bytes_at(self, place: tuple[int, int, int, int]) -> memoryview:
        segment = self._segments.get(place[0])
        start = segment.start(place[1]) + place[2]
        return segment.read_only[start : start + place[3]]

    def _buffer(self, cell: bytes, place: tuple[int, int, int, int]) -> Any:
        number, slot, offset, length = place
        if number == HERE:
            data: Any = cell[offset : offset + length]
        elif self._threshold is not None and length >= self._threshold:
            if self._leases.may_view(length):
                return self._leases.view((number, slot), offset, length)
            self._words[self._row + b.COPIED] += 1
            data = self._bytes_at(place)
        else:
            data = self._bytes_at(place)
        return bytes(data) if self._threshold is not None else bytearray(data)

    def _decode(self, stream: Any, buffers: Sequence[Any]) -> Any:
        try:
            data = loads(stream, buffers=buffers)
            return data if self._receive is None else self._receive(data)
        except Exception as error:
            raise UnreadableDataError(self._source, f"{type(error).__name__}: {error}") from error
