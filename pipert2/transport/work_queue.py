"""Work queues: the ends of an edge whose destination has replicas, or whose messages are acknowledged.

A queue is one block of shared memory, a :class:`WorkTable` and its cells, under one lock. Whoever has something puts
it there, whoever has time claims it: nothing is handed out ahead of that, so a slow replica holds up nobody.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from pipert2.graph.spec import EdgeSpec, PipeSpec
from pipert2.transport import board as b
from pipert2.transport import work_table as w
from pipert2.transport.board import Board
from pipert2.transport.envelope import CELL, HEAD, HERE, PLACE, Place
from pipert2.transport.memory import Arena, Bell, Block, Fence
from pipert2.transport.segment import WAITING, Segment
from pipert2.transport.work_lock import MUTEX_BYTES, Both, QueueLock, make_mutex, queue_lock
from pipert2.transport.work_table import Claim, Parent, WorkTable, recount

UNDER_WAY = 256
"""Messages of a queue that may be claimed, or wait for what came of them, besides those that wait to be claimed."""


class Mapped(Protocol):
    """Finds segments by their numbers."""

    def get(self, number: int) -> Segment: ...


def queue_key(edge: int) -> str:
    """The key of a queue in its arena."""
    return f"q{edge:x}"


def queue_cells(edge: EdgeSpec) -> int:
    """Cells of a queue."""
    return edge.capacity + UNDER_WAY


def _cells_start(cells: int) -> int:
    return -(-8 * w.table_words(cells) // CELL) * CELL


def _mutex_start(cells: int) -> int:
    return _cells_start(cells) + cells * CELL


def queue_size(edge: EdgeSpec) -> int:
    """Bytes of a queue."""
    cells = queue_cells(edge)
    return _mutex_start(cells) + MUTEX_BYTES


def make_queue(block: Block, edge: EdgeSpec) -> None:
    """Make an empty queue of a new block."""
    cells = queue_cells(edge)
    make_mutex(block.view[_mutex_start(cells) :])
    WorkTable(block.words, cells).rebuild()


class Ends(NamedTuple):
    """Who is at the two ends of a queue, as far as *spec* describes the pipe as it is now.

    Attributes:
        known: how many replicas of the destination have been there, of all that there may ever be.
        sleepers: these, each with the word that says whether it sleeps.
        takers: all of them.
        gone: their words that say whether they are gone for good.
        givers: the replicas of the source, each with the words that say whether it waits for room, and has ended.
    """

    spec: PipeSpec
    known: int
    sleepers: tuple[tuple[int, int], ...]
    takers: tuple[int, ...]
    gone: tuple[int, ...]
    givers: tuple[tuple[int, int, int], ...]


class WorkQueue:
    """One queue as this process sees it. Its *fence* is for who holds its *lock*."""

    def __init__(self, spec: EdgeSpec, block: Block, lock_file: int | None) -> None:
        self.spec = spec
        self.number = spec.index
        self.table = WorkTable(block.words, queue_cells(spec))
        self.lock = queue_lock(block.view[_mutex_start(self.table.cells) :], lock_file, self.number, block.lock)
        self.fence = Fence()
        self.view = block.view
        self.ends: Ends | None = None
        self._with: dict[int, Both] = {}
        self._start = _cells_start(self.table.cells)

    def locked_with(self, other: WorkQueue | None) -> QueueLock | Both:
        """Hold the locks of this queue and another one, always taken in the same order."""
        if other is None or other is self:
            return self.lock
        both = self._with.get(other.number)
        if both is None:
            first, second = (self, other) if self.number < other.number else (other, self)
            both = self._with[other.number] = Both(first.lock, second.lock)
        return both

    def is_first(self, cell: int) -> bool:
        """Whether a cell's message has come from no other."""
        return not self.table.words[self.table.row(cell) + w.PARENT]

    def start(self, cell: int) -> int:
        """Where a cell's bytes begin in the block."""
        return self._start + cell * CELL

    def places(self, cell: int) -> list[Place]:
        """The slots that a cell refers to."""
        start = self.start(cell)
        count = self.view[start + 1]
        if not count:
            return []
        at = start + HEAD.size
        return [place for i in range(count) if (place := PLACE.unpack_from(self.view, at + PLACE.size * i))[0] != HERE]


class Recovered(NamedTuple):
    """What was in the hands of a process that has died.

    Attributes:
        spent: queue and cell of each message that has had all its attempts: it is still claimed, and somebody has to
            keep it elsewhere and :meth:`WorkQueues.bury` it.
        attempts: the most attempts that one of the others, which were given back, has had; 0 if there are none.
    """

    spent: list[tuple[WorkQueue, int]]
    attempts: int


class WorkQueues:
    """All queues that this process has to do with, and what is done to several of them at once.

    Args:
        arena: where they are found.
        board: for the words of who sleeps.
        segments: where slots are given back.
        bell: gives the bell of a routine.
        described: gives the pipe's description as it is now.
    """

    def __init__(
        self,
        arena: Arena,
        board: Board,
        segments: Mapped,
        bell: Callable[[int], Bell],
        described: Callable[[], PipeSpec],
    ) -> None:
        self._arena = arena
        self._board = board
        self._segments = segments
        self._bell = bell
        self._described = described
        self._known: dict[int, WorkQueue] = {}
        self._opening = threading.Lock()

    def get(self, number: int) -> WorkQueue:
        """The queue of a shared edge."""
        queue = self._known.get(number)
        if queue is None:
            with self._opening:
                queue = self._known.get(number)
                if queue is None:
                    edge = self._described().edges[number]
                    queue = WorkQueue(edge, self._arena.open(queue_key(number)), self._arena.lock_file())
                    self._known[number] = queue
        return queue

    def all(self) -> list[WorkQueue]:
        """Every queue of the pipe."""
        return [self.get(edge.index) for edge in self._described().edges if edge.shared]

    @contextlib.contextmanager
    def _all_locked(self, queues: Sequence[WorkQueue]) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for queue in sorted(queues, key=lambda queue: queue.number):
                stack.enter_context(queue.lock)
            yield

    def ends(self, queue: WorkQueue) -> Ends:
        """Who is at the two ends of a queue, as the pipe is now."""
        described, ends, known = self._described(), queue.ends, queue.table.words[w.TAKERS]
        if ends is None or ends.spec is not described or ends.known != known:
            routines, row = described.routines, self._board.routine
            members = described.members(queue.spec.destination)
            sleepers = tuple((index, row(index) + b.SLEEPING) for index in members if routines[index].replica < known)
            gone = tuple(row(index) + b.GONE for index in members)
            givers = tuple(
                (index, w.SENDER_WAITS + routines[index].replica, w.SENDER_ENDED + routines[index].replica)
                for index in described.members(queue.spec.source)
            )
            queue.ends = ends = Ends(described, known, sleepers, members, gone, givers)
        return ends

    def open(self, queue: WorkQueue, routine: int) -> None:
        """A replica of the destination comes to the queue."""
        words, known = queue.table.words, self._described().routines[routine].replica + 1
        with queue.lock:
            words[w.TAKERS] = max(words[w.TAKERS], known)

    # --- waking; with the queue's lock held

    def wake_one(self, queue: WorkQueue, ends: Ends) -> None:
        """Wake a replica that sleeps, if one does; it is awake from now on for whoever looks next."""
        words = self._board.words
        queue.fence()  # a replica says that it sleeps, then looks for messages; here it is the other way round
        for index, sleeping in ends.sleepers:
            if words[sleeping]:
                words[sleeping] = 0
                self._bell(index).ring()
                return

    def wake_all(self, queue: WorkQueue) -> None:
        """Let all replicas look: the queue may have come to its end."""
        for index in self.ends(queue).takers:
            self._bell(index).ring()

    def made_room(self, queue: WorkQueue) -> None:
        """Wake senders that wait for room, not for each message but when half of what may wait is gone."""
        words = queue.table.words
        if queue.table.waiting > queue.spec.capacity // 2:
            return
        words[w.ROOM_AWAITED] = 0
        for index, waits, _ in self.ends(queue).givers:
            if words[waits]:
                words[waits] = 0
                self._bell(index).ring()

    def has_ended(self, queue: WorkQueue) -> bool:
        """Whether all replicas of the source have ended their streams, or the edge was taken away."""
        if self._board.words[self._board.edge(queue.number) + b.CLOSED]:
            return True
        words = queue.table.words
        return all(words[ended] for _, _, ended in self.ends(queue).givers)

    # --- ends of messages

    def free_slots(self, queue: WorkQueue, cell: int, number: int) -> None:
        """Give the slots of a message back to their pools."""
        for place in queue.places(cell):
            segment = self._segments.get(place[0])
            segment.words[segment.hold(place[1]) + queue.number] = number
            if segment.words[WAITING]:
                self._bell(segment.owner).ring()

    def hold(self, queue: WorkQueue, claim: Claim) -> None:
        """Somebody looks at the message's data: it is not over before :meth:`let_go`."""
        with queue.lock:
            queue.table.words[queue.table.row(claim.cell) + w.DESCENDANTS] += w.LOOKED_AT

    def let_go(self, queue: WorkQueue, claim: Claim) -> None:
        """Take :meth:`hold` back."""
        words, row = queue.table.words, queue.table.row(claim.cell)
        with queue.lock:
            if words[row + w.NUMBER] != claim.number or words[row + w.DESCENDANTS] < w.LOOKED_AT:
                return
            words[row + w.DESCENDANTS] -= w.LOOKED_AT
            over = queue.table.is_over(claim.cell)
            at = Parent(queue.number, claim.cell, claim.number, words[row + w.TURN])
        if over:
            self._go_up(queue, at)

    def is_forsaken(self, ends: Ends) -> bool:
        """Whether all replicas of the destination were killed for good."""
        return all(map(self._board.words.__getitem__, ends.gone))

    def claim(self, queue: WorkQueue, claimer: int) -> Claim | None:
        """The message that has waited longest, now *claimer*'s; None if none waits."""
        with queue.lock:
            return self._claim(queue, claimer)

    def _claim(self, queue: WorkQueue, claimer: int) -> Claim | None:
        claim = queue.table.claim(claimer)
        if queue.table.words[w.ROOM_AWAITED]:
            self.made_room(queue)
        return claim

    def claim_some(self, queue: WorkQueue, claimer: int, most: int) -> list[Claim]:
        """Those that have waited longest, now *claimer*'s: *most* at most, and only the first with data in slots."""
        with queue.lock:
            claims = queue.table.claim_some(claimer, most)
            if queue.table.words[w.ROOM_AWAITED]:
                self.made_room(queue)
        return claims

    def finish_all(self, queue: WorkQueue, claims: Sequence[Claim]) -> None:
        """:meth:`finish` several, whose parents are in one queue, if they have any."""
        parent = claims[0].parent
        above = self.get(parent.queue) if parent is not None else None
        with queue.locked_with(above):
            ups = [claim.parent for claim in claims if self._finish(queue, claim, above)]
        for up in ups:
            if above is not None and up is not None:
                self._go_up(above, up)

    def finish(self, queue: WorkQueue, claim: Claim, claimer: int | None = None) -> Claim | None:
        """The routine is done with a message; if nothing of it is left it is over, and so may be what it came from.

        Args:
            claimer: claims the next message while the lock is held: two takings of it cost more than all the rest.

        Returns:
            What *claimer* has claimed, if it has.
        """
        parent = claim.parent
        above = self.get(parent.queue) if parent is not None else None
        following = None
        with queue.locked_with(above):
            up = self._finish(queue, claim, above)
            if claimer is not None:
                following = self._claim(queue, claimer)
        if up and above is not None and parent is not None:
            self._go_up(above, parent)
        return following

    def _finish(self, queue: WorkQueue, claim: Claim, above: WorkQueue | None) -> bool:
        """:meth:`finish` under the locks; whether the parent is complete and its own parent has to be told."""
        table, parent = queue.table, claim.parent
        if not table.is_alive(claim.cell, claim.number, claim.turn):
            return False  # it was given back meanwhile, and is somebody else's
        if not table.returned(claim.cell):
            if table.idle and self.has_ended(queue):
                self.wake_all(queue)
            return False
        if not self._complete(queue, claim.cell, parent, above) or above is None or parent is None:
            return False
        if above.is_first(parent.cell):
            self._complete(above, parent.cell, None, None)  # at once: its lock is held already
            return False
        return True

    def _complete(self, queue: WorkQueue, cell: int, parent: Parent | None, above: WorkQueue | None) -> bool:
        table = queue.table
        if queue.view[queue.start(cell) + 1]:
            self.free_slots(queue, cell, table.words[table.row(cell) + w.NUMBER])
        up = table.complete(cell, parent, above.table if above is not None else None)
        if table.words[w.ROOM_AWAITED]:
            self.made_room(queue)
        if queue.spec.ledger:
            if not table.words[w.UNDONE]:
                self._wake_circles()
        elif table.idle and self.has_ended(queue):
            self.wake_all(queue)
        return up

    def _wake_circles(self) -> None:
        """Let routines look to which data comes back: perhaps nothing will any more."""
        described = self._described()
        for end in {edge.destination for edge in described.links if edge.feedback}:
            for index in described.members(end):
                self._bell(index).ring()

    def _go_up(self, queue: WorkQueue, at: Parent) -> None:
        """Complete a message whose last descendant is gone, and so on."""
        while True:
            table = queue.table
            above_at = table.parent_of(at.cell)
            above = self.get(above_at.queue) if above_at is not None else None
            with queue.locked_with(above):
                if not table.is_alive(at.cell, at.number, at.turn) or not table.is_over(at.cell):
                    return
                up = self._complete(queue, at.cell, above_at, above)
            if not up or above is None or above_at is None:
                return
            queue, at = above, above_at

    # --- after a death

    def give_back(self, queue: WorkQueue, claim: Claim, *, again: bool) -> None:
        """Let a claimed message be claimed anew, ahead of all others; *again*: that is another attempt."""
        table = queue.table
        with queue.lock:
            row = table.row(claim.cell)
            # Two routines of one process may have failed at it: the second one must not take it from who has it now.
            same = table.is_alive(claim.cell, claim.number, claim.turn)
            if same and table.words[row + w.STATE] == w.CLAIMED:
                table.give_back(claim.cell, again=again)
                table.rebuild()
                self.wake_one(queue, self.ends(queue))

    def release(self, routine: int) -> None:
        """Let other replicas have what this one had claimed and did not get to."""
        for queue in self.all():
            if queue.spec.ledger:
                self._leave(queue, routine)
                continue
            with queue.lock:
                cells = queue.table.claimed_by(routine)
                for cell in cells:
                    queue.table.give_back(cell, again=False)
                if cells:
                    queue.table.rebuild()
                    self.wake_all(queue)

    def _leave(self, ledger: WorkQueue, routine: int) -> None:
        """A source leaves what it was about to send."""
        with ledger.lock:
            claims = [ledger.table.claim_of(cell) for cell in ledger.table.claimed_by(routine)]
        for claim in claims:
            self.finish(ledger, claim)

    def open_account(self, ledger: WorkQueue, routine: int) -> Claim:
        """Note that a source is about to send a message; what is made of it names this as where it came from."""
        with ledger.lock:
            ledger.table.put(ledger.table.take_free())
            claim = ledger.table.claim(routine)
        assert claim is not None
        return claim

    def recover(self, routines: Sequence[int], segments: Iterable[Segment] = ()) -> Recovered:
        """Give back what dead replicas had claimed, and the slots that they gave to messages they never put.

        Args:
            segments: those that the dead replicas' data lay in.

        A message that was in hand has had one attempt more. It is spent when it has had all that it may have and was
        the only one in its routine's hands; of several nobody knows which it was, so each of them is worked on alone.
        """
        queues = self.all()
        spent: list[tuple[WorkQueue, int]] = []
        attempts = 0
        with self._all_locked(queues):
            for queue in queues:
                queue.table.rebuild()  # the dead may have left its sums half-way, too
            for index in routines:
                in_hand: list[tuple[WorkQueue, int]] = []
                for queue in queues:
                    queue.table.look_away(index)
                    for cell in queue.table.claimed_by(index):
                        if queue.spec.ledger:
                            queue.table.returned(cell)  # what was sent goes its way, whoever has sent it
                        else:
                            in_hand.append((queue, cell))
                routine = self._described().routines[index]
                clear = len(in_hand) == 1 or routine.concurrency == 1
                for queue, cell in in_hand:
                    attempt = queue.table.words[queue.table.row(cell) + w.ATTEMPT]
                    if clear and attempt > max(1, routine.retries):
                        spent.append((queue, cell))
                    else:
                        queue.table.give_back(cell)
                        queue.table.suspect(cell)
                        attempts = max(attempts, attempt)
            for queue in queues:
                if queue.spec.ledger:
                    queue.table.forget_waiting()
                queue.table.rebuild()
            tables = {queue.number: queue.table for queue in queues}
            while over := recount(tables):
                for number, cell in over:
                    queue = self.get(number)
                    parent = queue.table.parent_of(cell)
                    self._complete(queue, cell, parent, self.get(parent.queue) if parent is not None else None)
            for queue in queues:
                self._free_unput(queue, segments)
                self.wake_all(queue)
                self.made_room(queue)
        return Recovered(spent, attempts)

    def _free_unput(self, queue: WorkQueue, segments: Iterable[Segment]) -> None:
        used = {place[:2] for cell in queue.table.under_way() for place in queue.places(cell)}
        for segment in segments:
            for slot in range(segment.slots):
                given, hold = segment.given(slot) + queue.number, segment.hold(slot) + queue.number
                if segment.words[given] != segment.words[hold] and (segment.number, slot) not in used:
                    segment.words[hold] = segment.words[given]

    def bury(self, queue: WorkQueue, cell: int) -> None:
        """End a message that was kept elsewhere as a dead letter."""
        table = queue.table
        row = table.row(cell)
        claim = table.claim_of(cell)
        with queue.lock:
            table.words[w.DEAD] += 1
            table.words[row + w.DESCENDANTS] = 0
        self.finish(queue, claim)
