"""The memory of a running pipe: board, bells, rings and segments, made and owned by the main process."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence

from pipert2.errors import PipeStateError, SharedMemoryFullError
from pipert2.graph.spec import EdgeSpec, PipeSpec
from pipert2.transport import board as b
from pipert2.transport.board import NEVER, SPARE_EDGES, Board, RoutineState
from pipert2.transport.leftovers import Run, clear_leftovers
from pipert2.transport.memory import Bell, Block, PrivateArena, SharedArena
from pipert2.transport.recovery import release_receiver, retract_sender
from pipert2.transport.ring import ring_key, ring_size
from pipert2.transport.segment import WAITING, Segment, create_segment
from pipert2.transport.work_queue import Recovered, WorkQueues, make_queue, queue_key, queue_size
from pipert2.transport.work_table import SENDER_ENDED

BOARD_KEY = "board"


def bell_key(routine: int) -> str:
    """The key of a routine's bell in its arena."""
    return f"b{routine:x}"


def _key(edge: EdgeSpec) -> str:
    return queue_key(edge.index) if edge.shared else ring_key(edge.index)


class PipeMemory:
    """Makes what the flows find by its key, and puts it right when one of them dies. Closes twice without complaint.

    Args:
        spec: the pipe's description.
        inline: plain memory of this process instead of shared memory.

    Raises:
        SharedMemoryFullError: there is no room for board, bells and rings; nothing is left behind.
    """

    def __init__(self, spec: PipeSpec, inline: bool) -> None:
        self._spec = spec
        self._lock = threading.Lock()
        self._segments: dict[int, Segment] = {}
        self._rings: dict[int, Block] = {}
        self._next_segment = 0
        self._closed = False
        self.run: Run | None = None
        if inline:
            self.arena: SharedArena | PrivateArena = PrivateArena()
        else:
            clear_leftovers()
            self.run = Run()
            self.arena = SharedArena(self.run.prefix)
        try:
            self._make()
        except BaseException:
            self.close()
            raise

    def _make(self) -> None:
        routines, edges = self._spec.rows, len(self._spec.edges)
        self._columns = edges + SPARE_EDGES
        self.board = Board(self.arena.create(BOARD_KEY, Board.size(routines, self._columns)), routines)
        self._bells: list[Bell] = [
            self.arena.bell(bell_key(index), create=True) for index in range(len(self._spec.routines))
        ]
        for edge in self._spec.edges:
            self._make_edge(edge)
        self.arena.lock_file()
        self.queues = WorkQueues(self.arena, self.board, self, lambda index: self._bells[index], lambda: self._spec)

    def _make_edge(self, edge: EdgeSpec) -> None:
        self.board.words[self.board.edge(edge.index) + b.WAKE_AT] = NEVER
        if edge.shared:
            block = self.arena.create(_key(edge), queue_size(edge))
            make_queue(block, edge)
            self._rings[edge.index] = block
        elif edge.crosses:
            self._rings[edge.index] = self.arena.create(_key(edge), ring_size(edge))

    @property
    def spare_edges(self) -> int:
        """How many more wires can be added."""
        return self._columns - len(self._spec.edges)

    def grow(self, spec: PipeSpec) -> None:
        """Make what the further routines and edges of *spec* need. Edges are shut: no sender may use them yet.

        Raises:
            SharedMemoryFullError: there is no room; the pipe is as it was.
        """
        fresh = spec.edges[len(self._spec.edges) :]
        with self._lock:
            if self._closed:
                raise PipeStateError(f"pipe {spec.name!r} has ended")
            try:
                for index in range(len(self._bells), len(spec.routines)):
                    self._bells.append(self.arena.bell(bell_key(index), create=True))
                for edge in fresh:
                    self._make_edge(edge)
                    if edge.ledger:
                        continue
                    row = self.board.edge(edge.index)
                    self.board.words[row + b.CLOSED] = self.board.words[row + b.ENDED] = 1
            except BaseException:
                for edge in fresh:
                    if self._rings.pop(edge.index, None) is not None:
                        self.arena.discard(_key(edge))
                raise
            self._spec = spec
            for edge in fresh:
                for index in spec.members(edge.source) if edge.shared and not edge.ledger else ():
                    self._say_ended(edge, index, True)  # each sender says that it begins; some are not there

    def shut(self, numbers: Collection[int]) -> None:
        """Close edges whose source has no process that could."""
        words = self.board.words
        for number in numbers:
            row = self.board.edge(number)
            words[row + b.CLOSED] = 1
            words[row + b.ENDED] = words[row + b.W] + 1

    def make_segment(self, owner: int, slot_size: int, slots: int) -> int:
        """A new segment for a routine's pool, with fewer slots where memory is short; its number.

        Raises:
            SharedMemoryFullError: there is not even room for one slot.
        """
        with self._lock:
            if self._closed:
                raise SharedMemoryFullError(slot_size * slots, 0, "the pipe, which has ended")
            number = self._next_segment
            self._next_segment += 1
        for count in dict.fromkeys((slots, 1)):
            try:
                block = create_segment(
                    self.arena, number, owner=owner, columns=self._columns, slot_size=slot_size, slots=count
                )
            except SharedMemoryFullError as error:
                full = error
            else:
                self._segments[number] = Segment(number, block)
                return number
        raise full

    def get(self, number: int) -> Segment:
        """A segment by its number."""
        return self._segments[number]

    def segments_of(self, routines: Collection[int]) -> tuple[int, ...]:
        """The numbers of the segments that belong to these routines' pools."""
        return tuple(number for number, segment in tuple(self._segments.items()) if segment.owner in routines)

    @property
    def size(self) -> int:
        """Bytes that rings and segments take."""
        segments = sum(segment.size for segment in tuple(self._segments.values()))
        return segments + sum(ring.size for ring in self._rings.values())

    def ring_all(self) -> None:
        """Ring every bell: whoever sleeps looks again at what it waits for."""
        for bell in self._bells:
            bell.ring()

    def ring(self, routine: int) -> None:
        """Ring the bell of one routine."""
        self._bells[routine].ring()

    def recover(self, routines: Sequence[int]) -> Recovered:
        """Do for a dead process with these routines what it cannot do any more: give back what it held.

        Returns:
            What :meth:`WorkQueues.recover` does.
        """
        words, board = self.board.words, self.board
        segments = tuple(self._segments.values())
        fed = {edge.destination for edge in self._spec.edges}
        for index in routines:
            row = board.routine(index)
            if words[row + b.BUSY_SINCE] and self._spec.routines[index].base in fed:
                words[row + b.INTERRUPTED] += max(1, words[row + b.IN_HAND])
            words[row + b.BUSY_SINCE] = words[row + b.SLEEPING] = words[row + b.IN_HAND] = 0
        for edge in self._spec.edges:
            if edge.shared:
                continue
            if edge.crosses and edge.destination in routines:
                release_receiver(edge, board, segments)
            if edge.crosses and edge.source in routines:
                words[board.edge(edge.index) + b.WAKE_AT] = NEVER
                words[board.edge(edge.index) + b.BLOCKED_SINCE] = 0
                retract_sender(edge, board, self._rings[edge.index], segments)
        for segment in segments:
            if segment.owner in routines:
                segment.words[WAITING] = 0
        found = self.queues.recover(routines, [segment for segment in segments if segment.owner in routines])
        self.ring_all()
        return found

    def begin_streams(self, routines: Sequence[int]) -> None:
        """Take back that the streams of these idle routines have ended, before they start again."""
        words = self.board.words
        for index in routines:
            words[self.board.routine(index) + b.FINISHED] = 0
            for edge in self._spec.outputs(index):
                if edge.shared:
                    self._say_ended(edge, index, False)
                elif not words[self.board.edge(edge.index) + b.CLOSED]:
                    words[self.board.edge(edge.index) + b.ENDED] = 0

    def finish_streams(self, routines: Sequence[int]) -> None:
        """Say of idle routines that their streams have ended."""
        words = self.board.words
        for index in routines:
            words[self.board.routine(index) + b.FINISHED] = 1
            self._end_outputs(index)
        self.ring_all()

    def end_streams(self, routines: Sequence[int], state: RoutineState) -> None:
        """Say of routines whose process is gone for good that nothing comes from them nor goes to them any more."""
        words = self.board.words
        for index in routines:
            words[self.board.routine(index) + b.STATE] = state
            words[self.board.routine(index) + b.GONE] = 1
            self._end_outputs(index)
        self.ring_all()

    def _end_outputs(self, routine: int) -> None:
        words = self.board.words
        for edge in self._spec.outputs(routine):
            if edge.shared:
                self._say_ended(edge, routine, True)
            else:
                row = self.board.edge(edge.index)
                words[row + b.ENDED] = words[row + b.W] + 1

    def _say_ended(self, edge: EdgeSpec, routine: int, ended: bool) -> None:
        replica = self._spec.routines[routine].replica
        self.queues.get(edge.index).table.words[SENDER_ENDED + replica] = int(ended)

    def has_ended(self, edge: EdgeSpec) -> bool:
        """Whether nothing more will be sent on an edge, as far as its source has said."""
        if edge.shared:
            return self.queues.has_ended(self.queues.get(edge.index))
        row = self.board.edge(edge.index)
        return bool(self.board.words[row + b.ENDED] or self.board.words[row + b.CLOSED])

    def revive(self, routines: Sequence[int]) -> None:
        """Take :meth:`end_streams` back: these routines get a process again."""
        words = self.board.words
        for index in routines:
            words[self.board.routine(index) + b.GONE] = words[self.board.routine(index) + b.TO_BE_KILLED] = 0
        self.begin_streams(routines)

    def close(self) -> None:
        """Unlink everything."""
        with self._lock:
            self._closed = True
            self._segments.clear()
            self._rings.clear()
            self.arena.close()
        if self.run is not None:
            self.run.close()
