"""The two ends of a work queue in a routine, and the message between them that has to be brought to its end."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from time import monotonic_ns
from typing import Any

from pipert2.errors import UnreadableDataError
from pipert2.transport import board as b
from pipert2.transport import work_table as w
from pipert2.transport.board import Board
from pipert2.transport.codec import Encoded, loads, unflatten
from pipert2.transport.envelope import CELL, FLAT, HEAD, HERE, INDIRECT, PLACE, Message, Place, blob_of, places_of
from pipert2.transport.lease import MOST_VIEWS
from pipert2.transport.memory import Bell
from pipert2.transport.ring import LARGE_BYTES, Waiter
from pipert2.transport.segment import Root, Segment, Segments
from pipert2.transport.work_queue import WorkQueue, WorkQueues
from pipert2.transport.work_table import Claim, Parent


class Delivery:
    """A message that was claimed and is being worked on in this process; over when all who work on it are done.

    Attributes:
        queue, claim: where it lies.
    """

    __slots__ = ("_left", "_lock", "_queues", "claim", "queue")

    def __init__(self, queues: WorkQueues, queue: WorkQueue, claim: Claim) -> None:
        self._queues = queues
        self.queue = queue
        self.claim = claim
        self._left = 1
        self._lock: threading.Lock | None = None  # as long as a single one works on it

    @property
    def parent(self) -> Parent:
        """What comes of it names this as where it came from."""
        return Parent(self.queue.number, self.claim.cell, self.claim.number, self.claim.turn)

    def add(self) -> None:
        """Another routine of this process gets it, or something that was made of it."""
        if self._lock is None:
            self._lock = threading.Lock()
        with self._lock:
            self._left += 1

    def done(self) -> None:
        """One of those who work on it is done."""
        if self._leave():
            self._queues.finish(self.queue, self.claim)

    def done_for_next(self, claimer: int) -> Claim | None:
        """:meth:`done`, and the claim of the next message of the queue in the same step, if there is one."""
        if self._leave():
            return self._queues.finish(self.queue, self.claim, claimer)
        return self._queues.claim(self.queue, claimer)

    def _leave(self) -> bool:
        """One of those who work on it goes; whether it was the last."""
        if self._lock is None:
            self._left -= 1
            return not self._left
        with self._lock:
            self._left -= 1
            return not self._left

    @property
    def is_kept(self) -> bool:
        """Whether the message must not be lost."""
        return self.queue.spec.lossless

    @property
    def in_place(self) -> bool:
        """Whether nobody else can have the message, so that it is to be tried again where it failed."""
        return self.queue.spec.ledger

    @property
    def is_suspect(self) -> bool:
        """Whether the message was in hand when a process died."""
        return self.queue.table.is_suspect(self.claim.cell)


def end_all(deliveries: Sequence[Delivery]) -> None:
    """:meth:`Delivery.done` of all, those that lie together under one taking of their locks."""
    over = [delivery for delivery in deliveries if delivery._leave()]
    for (queue, _), group in groupby(over, key=lambda one: (one.queue, one.claim.parent and one.claim.parent.queue)):
        together = list(group)
        together[0]._queues.finish_all(queue, [one.claim for one in together])


class Kept:
    """The delivery of a message that lies in no queue yet: it has come from a source of the same process."""

    parent = None
    is_kept = in_place = True
    is_suspect = False

    def add(self) -> None:
        """Nobody waits for its end."""

    def done(self) -> None:
        """Nobody waits for its end."""


KEPT = Kept()
"""What a source on lossless wires sends with where no account is kept of what is acknowledged."""


class UnreadableMessage(UnreadableDataError):
    """A message of a queue that cannot be read here; *message* is what is known of it."""

    def __init__(self, source: str, reason: str, message: Message) -> None:
        super().__init__(source, reason)
        self.message = message


class WorkSender:
    """The sending end: puts cells into the queue, from the thread of its routine.

    Args:
        queues: this process's queues.
        queue: the one of this edge.
        replica: which of its routine's replicas sends here.
        waiter: how it sleeps when there is no room.
    """

    def __init__(self, queues: WorkQueues, queue: WorkQueue, board: Board, replica: int, waiter: Waiter) -> None:
        self.spec = queue.spec
        self._queues = queues
        self._queue = queue
        self._words = board.words
        self._row = board.edge(self.spec.index)
        self._replica = replica
        self._waiter = waiter
        self._closed = False
        self._word = queue.table.words
        self._word[w.SENDER_WAITS + replica] = 0

    def put(
        self,
        cell: bytes,
        slots: Iterable[tuple[Segment, int]] = (),
        size: int = 0,
        delivery: Delivery | Kept | None = None,
    ) -> None:
        """Put a message there; waits for room if the edge is lossless.

        Raises:
            Interrupted: there was no room before the routine was told to stop; nothing was put.
        """
        parent = above = None
        if delivery is not None and self.spec.lossless:  # a real-time message may be dropped: nothing waits for its end
            parent = delivery.parent
            above = self._queues.get(parent.queue) if parent is not None else None
        if self._put_now(cell, slots, size, parent, above):
            return
        words, row = self._words, self._row
        began = words[row + b.BLOCKED_SINCE] = monotonic_ns()
        try:
            while True:
                self._waiter.check()
                if not self._closed:  # unlinked by what was just looked at: nothing would ring for that again
                    self._waiter.wait_for_room("room")
                if self._put_now(cell, slots, size, parent, above):
                    return
        finally:
            words[row + b.BLOCKED_SINCE] = 0
            words[row + b.BLOCKED_NS] += monotonic_ns() - began

    def _put_now(
        self,
        cell: bytes,
        slots: Iterable[tuple[Segment, int]],
        size: int,
        parent: Parent | None,
        above: WorkQueue | None,
    ) -> bool:
        """Put a message there if there is room, else ask to be woken when there is."""
        queue, words, spec = self._queue, self._word, self.spec
        table = queue.table
        with queue.locked_with(above):
            ends = self._queues.ends(queue)
            if self._closed or self._queues.is_forsaken(ends):
                self.discard()  # unlinked, or nobody is left to take it
                return True
            if not spec.lossless:
                self._drop_old()
            if not table.has_room(spec.capacity, size if spec.lossless else 0, LARGE_BYTES):
                table.await_room(self._replica)
                return False
            at = table.take_free()
            for segment, slot in slots:
                segment.words[segment.given(slot) + spec.index] = words[w.PUT] + 1
            start = queue.start(at)
            queue.view[start : start + len(cell)] = cell
            table.put(at, size, parent, above.table if above is not None else None)
            self._queues.wake_one(queue, ends)
            return True

    def put_many(self, cells: Sequence[bytes], ledger: WorkQueue) -> list[tuple[int, int]]:
        """Put messages without slots there that have come of no other, as many as there is room for, now.

        Returns:
            Of each that was put, cell and number of its account in *ledger*, where it is over when it is done.
        """
        queue, table, accounts = self._queue, self._queue.table, ledger.table
        opened: list[tuple[int, int]] = []
        with queue.locked_with(ledger):
            ends = self._queues.ends(queue)
            if self._closed or self._queues.is_forsaken(ends):
                return opened
            for cell in cells:
                if not table.has_room(self.spec.capacity, 0, LARGE_BYTES):
                    break
                account = accounts.take_free()
                number = accounts.put_done(account)
                opened.append((account, number))
                at = table.take_free()
                start = queue.start(at)
                queue.view[start : start + len(cell)] = cell
                table.put(at, 0, Parent(ledger.number, account, number, 1), accounts)
            if opened:
                self._queues.wake_one(queue, ends)
        return opened

    def _drop_old(self) -> None:
        """Let the newest count: give up what has waited longest until there is room."""
        queue, table = self._queue, self._queue.table
        while not table.has_room(self.spec.capacity, 0, 0):
            dropped = table.drop_oldest()
            if dropped is None:
                return
            self._queues.free_slots(queue, dropped, self._word[table.row(dropped) + w.NUMBER])

    def end(self) -> None:
        """Say that no message follows from this replica, for now."""
        with self._queue.lock:
            self._word[w.SENDER_ENDED + self._replica] = 1
        self._queues.wake_all(self._queue)

    def reopen(self) -> None:
        """Take :meth:`end` back."""
        self._word[w.SENDER_ENDED + self._replica] = 0

    def close(self) -> None:
        """Say that no message will follow: the edge was unlinked."""
        self._closed = True
        self._words[self._row + b.CLOSED] = 1
        self._queues.wake_all(self._queue)

    def discard(self) -> None:
        """Count a message that could not be sent."""
        self._words[self._row + b.DISCARDED] += 1

    def leave_out(self) -> None:
        """Count a message that the wire's condition keeps from it."""
        self._words[self._row + b.FILTERED] += 1


class _Viewed:
    """A message whose arrays are looked at: it is not over before the last of these views is gone."""

    __slots__ = ("claim", "views")

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.views = 0


class WorkReceiver:
    """The receiving end of one replica: claims messages.

    Args:
        board: for the count of arrays that were copied.
        bell: the replica's own; rung when a view is gone, so that its message can be ended.
        routine: the replica's index.
        source: name of the routine that sends, for errors.
        circle: messages come back to the routine on other edges: its input has ended when all is acknowledged.
        receive: what the wire's transmitter makes of what arrives.
        encoded: the routine takes data without arrays as it is.
    """

    def __init__(
        self,
        queues: WorkQueues,
        queue: WorkQueue,
        segments: Segments,
        board: Board,
        bell: Bell,
        routine: int,
        source: str,
        receive: Callable[[Any], Any] | None,
        *,
        circle: bool = False,
        encoded: bool = False,
    ) -> None:
        self._circle = circle
        self._as_it_is = encoded and receive is None
        self.spec = queue.spec
        self._queues = queues
        self._queue = queue
        self._segments = segments
        self._routine = routine
        self._source = source
        self._receive = receive
        self._words = board.words
        self._row = board.edge(queue.spec.index)
        self._bell = bell
        self._threshold = queue.spec.transmitter.view_threshold
        self._looked_at: set[_Viewed] = set()
        self._gone: deque[_Viewed] = deque()
        queues.open(queue, routine)

    @property
    def views(self) -> int:
        """Messages that views are still alive of."""
        return len(self._looked_at)

    def has_data(self) -> bool:
        """Whether there is something to claim."""
        if self._gone:
            self._end_viewed()
        return bool(self._queue.table.waiting)

    def ended(self) -> bool:
        """Whether nothing will ever come: nobody sends, nothing waits, and nobody works on what might come back."""
        table = self._queue.table
        idle = not table.words[w.UNDONE] if self._circle else table.idle
        return idle and self._queues.has_ended(self._queue)

    def wake_sender(self) -> None:
        """Let senders that wait for room look again: this replica is killed."""

    def take(self) -> Message | None:
        """Claim the message that has waited longest; None if there is none.

        Raises:
            UnreadableMessage: it cannot be turned into data here; whoever takes it sees to its delivery.
        """
        if self._gone:
            self._end_viewed()
        if not self._queue.table.waiting:
            return None
        claim = self._queues.claim(self._queue, self._routine)
        return None if claim is None else self.message(claim)

    def claim_some(self, most: int) -> list[Claim]:
        """Claim those that have waited longest, *most* at most; each is to be made a :meth:`message`."""
        if self._gone:
            self._end_viewed()
        if not self._queue.table.waiting:
            return []
        return self._queues.claim_some(self._queue, self._routine, most)

    def take_after(self, done: Delivery) -> Message | None:
        """Be done with a message, and :meth:`take` the next one: a single step, if both are of this queue."""
        if done.queue is not self._queue:
            done.done()
            return self.take()
        if self._gone:
            self._end_viewed()
        claim = done.done_for_next(self._routine)
        return None if claim is None else self.message(claim)

    def message(self, claim: Claim) -> Message:
        """The message that was claimed.

        Raises:
            UnreadableMessage: as :meth:`take`.
        """
        queue = self._queue
        view, start = queue.view, queue.start(claim.cell)
        kind, count, _, length, origin, born, sent = HEAD.unpack_from(view, start)
        delivery = Delivery(self._queues, queue, claim)
        try:
            if not count:
                at = start + HEAD.size
                stream = view[at : at + length]
                data = Encoded(bool(kind & FLAT), bytes(stream)) if self._as_it_is else self._decode(kind, stream, ())
            else:
                data = self._decode(kind, *self._parts(claim, bytes(view[start : start + CELL]), count, length))
        except Exception as error:
            message = Message(None, origin, born, sent, claim.attempt, delivery)
            raise UnreadableMessage(self._source, f"{type(error).__name__}: {error}", message) from error
        return Message(data, origin, born, sent, claim.attempt, delivery)

    def _parts(self, claim: Claim, cell: bytes, count: int, length: int) -> tuple[Any, list[Any]]:
        """The stream of a message, of *length* bytes, and what lies at its *count* places."""
        places = places_of(cell, count)
        if cell[0] & INDIRECT:
            segment, slot, offset, size = places[0]
            places, stream = blob_of(bytes(self._segments.get(segment).bytes_of(slot, offset, size)), length)
        else:
            at = HEAD.size + PLACE.size * count
            stream = cell[at : at + length]
        return stream, self._buffers(cell, places, claim)

    def _buffers(self, cell: bytes, places: Sequence[Place], claim: Claim) -> list[Any]:
        """What lies at the places, as views or copies."""
        found: list[Any] = []
        viewed: _Viewed | None = None
        threshold = self._threshold
        for number, slot, offset, length in places:
            if number == HERE:
                data: Any = cell[offset : offset + length]
            else:
                segment = self._segments.get(number)
                data = segment.bytes_of(slot, offset, length)
                if threshold is not None and length >= threshold:
                    if viewed is not None or len(self._looked_at) < MOST_VIEWS:
                        viewed = viewed or self._view(claim)
                        viewed.views += 1
                        self._segments.watch(data, segment, slot, offset, viewed, self._died)
                        found.append(data)
                        continue
                    self._words[self._row + b.COPIED] += 1
            found.append(bytearray(data) if threshold is None else bytes(data))
        return found

    def _view(self, claim: Claim) -> _Viewed:
        viewed = _Viewed(claim)
        self._looked_at.add(viewed)
        self._queues.hold(self._queue, claim)
        return viewed

    def _died(self, root: Root) -> None:
        # Called wherever the last reference goes, perhaps inside the garbage collector: only note it and ring.
        self._segments.forget(root)
        root.owner.views -= 1
        if not root.owner.views:
            self._gone.append(root.owner)
            self._bell.ring()

    def _end_viewed(self) -> None:
        while self._gone:
            viewed = self._gone.popleft()
            self._looked_at.discard(viewed)
            self._queues.let_go(self._queue, viewed.claim)

    def _decode(self, kind: int, stream: Any, buffers: Sequence[Any]) -> Any:
        data = unflatten(stream, buffers) if kind & FLAT else loads(stream, buffers=buffers)
        return data if self._receive is None else self._receive(data)
