"""Dead letters: messages that were given up, kept with what is needed to try them again."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pipert2.errors import UnknownDeadLetterError
from pipert2.runtime import commands
from pipert2.runtime.messages import DeadLetter, Packed
from pipert2.transport.codec import dumps_plain, loads, unflatten
from pipert2.transport.envelope import COUNT, FLAT, HEAD, HERE, INDIRECT, PLACE
from pipert2.transport.segment import Segment
from pipert2.transport.work_queue import WorkQueue
from pipert2.transport.work_table import ATTEMPT

if TYPE_CHECKING:
    from pipert2.runtime.supervisor import Supervisor


@dataclass(frozen=True, slots=True)
class DeadLetterStatus:
    """A dead letter as it is listed.

    Attributes:
        number: names it.
        routine: which could not do it. reason, traceback: why. attempts: how often it was tried.
        time: when it was given up (seconds since the epoch).
        data: what it is about, None if that cannot be read here.
    """

    number: int
    routine: str
    reason: str
    traceback: str
    attempts: int
    time: float
    data: Any


class DeadLetters:
    """The dead letters of one running pipe. Safe to use from any thread."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._letters: dict[int, tuple[float, DeadLetter]] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._letters)

    def keep(self, letter: DeadLetter) -> None:
        """Keep a message that was given up."""
        with self._lock:
            self._letters[next(self._numbers)] = (time.time(), letter)

    def list(self) -> tuple[DeadLetterStatus, ...]:
        """All of them, oldest first."""
        with self._lock:
            found = tuple(self._letters.items())
        routines = self._supervisor.spec.routines
        return tuple(
            DeadLetterStatus(
                number,
                routines[letter.routine].name,
                letter.reason,
                letter.traceback,
                letter.attempts,
                when,
                _opened(letter.data),
            )
            for number, (when, letter) in found
        )

    def drop(self, number: int) -> None:
        """Forget one.

        Raises:
            UnknownDeadLetterError: there is none of this number.
        """
        self._take(number)

    def requeue(self, number: int, wait: float) -> None:
        """Give one to its routine again.

        Raises:
            UnknownDeadLetterError: there is none of this number.
            EventHandlerError: it failed again, and is kept as it was.
        """
        when, letter = self._take(number)
        try:
            self._supervisor.ask(commands.REDO, letter.routine, {"data": letter.data, "origin": letter.origin}, wait)
        except BaseException:
            with self._lock:
                self._letters[number] = (when, letter)
            raise

    def _take(self, number: int) -> tuple[float, DeadLetter]:
        with self._lock:
            if number not in self._letters:
                known = [str(known) for known in self._letters]
                raise UnknownDeadLetterError(str(number), known, f"pipe {self._supervisor.spec.name!r}")
            return self._letters.pop(number)


def _opened(data: Packed | None) -> Any:
    try:
        return None if data is None else data.open()
    except Exception:
        return None


class _Segments(Protocol):
    def get(self, number: int) -> Segment: ...


def dead_letter_of(queue: WorkQueue, cell: int, segments: _Segments, reason: str) -> DeadLetter:
    """The message in a cell whose replica died."""
    row = queue.table.row(cell)
    start = queue.start(cell)
    kind, count, _, length, origin, _, _ = HEAD.unpack_from(queue.view, start)
    data: Packed | None
    try:
        places = [PLACE.unpack_from(queue.view, start + HEAD.size + PLACE.size * index) for index in range(count)]
        at = start + HEAD.size + PLACE.size * count
        stream: Any = bytes(queue.view[at : at + length])
        if kind & INDIRECT:
            blob = bytes(segments.get(places[0][0]).bytes_of(*places[0][1:]))
            number = COUNT.unpack_from(blob)[0]
            places = [PLACE.unpack_from(blob, COUNT.size + PLACE.size * index) for index in range(number)]
            stream = blob[COUNT.size + PLACE.size * number :][:length]
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
