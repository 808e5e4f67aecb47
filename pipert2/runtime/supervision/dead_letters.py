"""Dead letters: messages that were given up, kept with what is needed to try them again."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from pipert2.errors import PipeStateError, StoreError, UnknownDeadLetterError, UnknownRoutineError
from pipert2.events.notices import DEAD_LETTER, LONGEST_REASON
from pipert2.runtime import commands
from pipert2.runtime.messages import DeadLetter, Packed
from pipert2.runtime.supervision.dead_letter_results import DeadLetterStatus, RequeueResult, drop_each, requeue_each
from pipert2.runtime.supervision.dead_letter_shelves import (
    MOST,
    MOST_BYTES_IN_MEMORY,
    MOST_IN_MEMORY,
    Letter,
    MemoryShelf,
    Shelf,
    StoreShelf,
)
from pipert2.transport.board import RoutineState
from pipert2.transport.codec import dumps_plain, loads, unflatten
from pipert2.transport.envelope import FLAT, HEAD, HERE, INDIRECT, PLACE, blob_of, places_of, source_and_sequence
from pipert2.transport.work_queue import Mapped, WorkQueue
from pipert2.transport.work_table import ATTEMPT

if TYPE_CHECKING:
    from pipert2.runtime.supervision.supervisor import Supervisor

logger = logging.getLogger(__name__)

MOST_LAST = 100
"""So many of those in a store are listed after the pipe has ended; the store has them all."""
MOST_NAMED = 1000
"""Letters among which the nearest to an unknown number is looked for."""


class DeadLetters:
    """The dead letters of one running pipe, and with a store those of its earlier runs. Safe to use from any thread.

    What the store does not take is kept in memory, as all of them are in a pipe without one.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        store, shelf = supervisor.settings.store, supervisor.settings.letters
        if store is not None and shelf is None:
            shelf = StoreShelf(store, supervisor.spec.name)
        self._memory = MemoryShelf(first=1 if shelf is None else MOST)
        self._shelves: tuple[Shelf, ...] = (self._memory,) if shelf is None else (shelf, self._memory)
        self._not_stored = 0
        self._given_up = 0
        self._concerned: Counter[str] = Counter()  # flows, by the letters of this run that they have not got rid of
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let go of the store."""
        for shelf in self._shelves:
            shelf.close()

    def keep(self, given: DeadLetter) -> None:
        """Keep a message that was given up."""
        spec = self._supervisor.spec.routines[given.routine]
        letter = Letter(
            spec.name,
            spec.flow,
            given.data,
            given.reason,
            given.traceback,
            given.attempts,
            given.origin,
            time.time(),
        )
        self._count(letter, 1)
        before = self._memory.dropped
        try:
            number = self._shelves[0].put(letter)
        except StoreError as error:
            number = self._memory.put(letter)
            self._not_stored += 1
            if self._not_stored.bit_count() == 1:  # the 1st, 2nd, 4th, ...: a full disk is not told each time
                logger.warning("%d dead letters lie in memory only: %s", self._not_stored, error)
        about = {"routine": spec.name, "flow": spec.flow, "number": number}
        self._supervisor.announce(
            DEAD_LETTER, {**about, "attempts": given.attempts, "reason": given.reason[:LONGEST_REASON]}
        )
        dropped = self._memory.dropped
        if dropped.bit_length() > before.bit_length():  # the 1st, 2nd, 4th, ...
            logger.warning(
                "%d dead letters of pipe %r were dropped, the oldest ones: the newest %d, or %d MiB, are kept in "
                "memory; with a store, Pipe(store=...), all are",
                dropped, self._supervisor.spec.name, MOST_IN_MEMORY, MOST_BYTES_IN_MEMORY >> 20,
            )  # fmt: skip

    def _count(self, letter: Letter, change: int) -> None:
        if not letter.earlier:
            with self._lock:
                self._given_up += change
                for flow in self._flows_of(letter):
                    self._concerned[flow] += change

    def _removed(self, letter: Letter) -> None:
        if not letter.earlier:
            self._count(letter, -1)
            self._supervisor.look_at_gates()

    def concerning(self, flow: str) -> int:
        """How many messages of a flow's were given up in this run: of its sources', or by its routines."""
        return self._concerned[flow]

    def _flows_of(self, letter: Letter) -> set[str]:
        source, _ = source_and_sequence(letter.origin)
        return {letter.flow, self._supervisor.spec.routines[source].flow}

    # --- looking

    @property
    def given_up(self) -> int:
        """How many there are that this run gave up; also when the pipe has ended."""
        return self._given_up

    @property
    def dropped(self) -> int:
        """How many were not kept, because there were too many to keep in memory."""
        return self._memory.dropped

    def counts(self) -> dict[str, int]:
        """How many there are, by routine; also of routines that only an earlier run had. Cheap."""
        found: Counter[str] = Counter()
        for shelf in self._shelves:
            found.update(shelf.counts())
        return dict(found)

    def list(
        self, routine: str | None = None, *, after: int = 0, limit: int | None = None
    ) -> tuple[DeadLetterStatus, ...]:
        """Those of all routines or one, oldest first.

        Args:
            after: only those with a higher number.
            limit: how many at most.

        Raises:
            StoreError: the store cannot be read.
        """
        found: list[tuple[int, Letter]] = []
        for shelf in self._shelves:
            found += shelf.page(routine, after, (MOST if limit is None else limit) - len(found))
        return tuple(DeadLetterStatus.of(number, letter) for number, letter in found)

    def last(self) -> tuple[DeadLetterStatus, ...]:
        """As :meth:`list`, when the pipe ends: what can still be read, of a store not more than a hundred."""
        name = self._supervisor.spec.name
        try:
            found = self.list(limit=MOST_LAST if len(self._shelves) > 1 else None)
            if (more := sum(self.counts().values()) - len(found)) > 0:
                logger.info("the store of pipe %r has %d more dead letters than are listed at its end", name, more)
            return found
        except StoreError as error:
            logger.warning("the dead letters of pipe %r cannot be listed: %s", name, error)
            self._shelves = (self._memory,)
            return self.list()

    def numbers(self, routine: str | None = None) -> tuple[int, ...]:
        """The numbers of all of them, or of those of a routine."""
        return tuple(number for shelf in self._shelves for number in shelf.numbers(routine))

    # --- getting rid of them

    def drop(self, number: int) -> None:
        """Forget one.

        Raises:
            UnknownDeadLetterError: there is none of this number.
            StoreError: the store cannot be written.
        """
        shelf, letter = self._take(number)
        shelf.remove(number, letter)
        self._removed(letter)

    def drop_all(self, routine: str | None = None) -> tuple[int, ...]:
        """Forget those that there are now, of all routines or of one; their numbers."""
        return drop_each(self.numbers(routine), self.drop)

    def requeue(self, number: int, wait: float) -> None:
        """Give one to its routine again; whatever goes wrong, it is kept as it was.

        Raises:
            UnknownDeadLetterError: there is none of this number.
            UnknownRoutineError: it was left by an earlier run, and the pipe has no such routine any more.
            PipeStateError: its routine does not run, or its data cannot be read.
            EventHandlerError: it failed again.
            StoreError: the store cannot be written.
        """
        shelf, letter = self._take(number)
        try:
            self.redo(number, letter, wait)
        except BaseException:
            shelf.put_back(number, letter)
            raise
        shelf.remove(number, letter)
        self._removed(letter)

    def requeue_all(self, routine: str | None, wait: float) -> RequeueResult:
        """Give those that there are now, of all routines or of one, to their routines again, one after the other.

        Args:
            wait: seconds for all of them together.
        """
        return requeue_each(self.numbers(routine), self.requeue, wait)

    def redo(self, number: int, letter: Letter, wait: float) -> None:
        """Let a routine work on a letter, whoever keeps it; raises as :meth:`requeue` does."""
        supervisor = self._supervisor
        spec = supervisor.spec.routine(letter.routine)
        if spec is None:
            known = tuple(dict.fromkeys(routine.name for routine in supervisor.spec.routines))
            raise UnknownRoutineError(letter.routine, known, f"pipe {supervisor.spec.name!r}")
        if letter.data is None:
            raise PipeStateError(f"the data of dead letter {number} cannot be read: drop it")
        members = [supervisor.spec.routines[index] for index in supervisor.spec.members(spec.index)]
        ready = [one for one in members if supervisor.state(one.index) is RoutineState.RUNNING]
        if not ready:
            raise PipeStateError(f"dead letter {number}: routine {letter.routine!r} does not run, start it first")
        what = {"data": letter.data, "origin": letter.origin}
        result = supervisor.bus.call(commands.REDO, ready[:1], what, wait)[ready[0].label]
        if result.error is not None:
            result.error.event = f"dead letter {number}"
            raise result.error

    def _take(self, number: int) -> tuple[Shelf, Letter]:
        for shelf in self._shelves:
            letter = shelf.take(number)
            if letter is not None:
                return shelf, letter
        known = [str(known) for known in self.numbers()[:MOST_NAMED]]
        raise UnknownDeadLetterError(str(number), known, f"pipe {self._supervisor.spec.name!r}")


def dead_letter_of(queue: WorkQueue, cell: int, segments: Mapped, reason: str) -> DeadLetter:
    """The message in a cell whose replica died."""
    row = queue.table.row(cell)
    start = queue.start(cell)
    kind, count, _, length, origin, _, _ = HEAD.unpack_from(queue.view, start)
    data: Packed | None
    try:
        places = places_of(queue.view, count, start)
        at = start + HEAD.size + PLACE.size * count
        stream: Any = bytes(queue.view[at : at + length])
        if kind & INDIRECT:
            places, stream = blob_of(bytes(segments.get(places[0][0]).bytes_of(*places[0][1:])), length)
        buffers = [
            bytearray(queue.view[start + offset : start + offset + size])
            if segment == HERE
            else bytearray(segments.get(segment).bytes_of(slot, offset, size))
            for segment, slot, offset, size in places
        ]
        value = unflatten(stream, buffers) if kind & FLAT else loads(stream, buffers=buffers)
        data = Packed(dumps_plain(value))
    except Exception:  # its class may be one that only the flow can make
        data = None
    return DeadLetter(queue.spec.destination, data, reason, "", queue.table.words[row + ATTEMPT], origin)
