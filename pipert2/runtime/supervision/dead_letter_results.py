"""What is said of dead letters: how one is listed, and what came of giving several back or forgetting them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from pipert2.errors import EventHandlerError, PipeStateError, UnknownDeadLetterError, UnknownRoutineError
from pipert2.runtime.messages import Packed
from pipert2.runtime.supervision.dead_letter_shelves import Letter

_MOST_FAILURES = 1000
"""So many of all letters may fail again before the others are left alone: the cause seems to be the same."""


@dataclass(frozen=True, slots=True)
class DeadLetterStatus:
    """A dead letter as it is listed.

    Attributes:
        number: names it.
        routine: which could not do it. reason, traceback: why. attempts: how often it was tried.
        time: when it was given up (seconds since the epoch).
        earlier: an earlier run of the pipe left it in the pipe's store.
    """

    number: int
    routine: str
    reason: str
    traceback: str
    attempts: int
    time: float
    earlier: bool
    _data: Packed | None = field(repr=False)

    @classmethod
    def of(cls, number: int, letter: Letter) -> DeadLetterStatus:
        """How a letter is listed."""
        return cls(
            number,
            letter.routine,
            letter.reason,
            letter.traceback,
            letter.attempts,
            letter.time,
            letter.earlier,
            letter.data,
        )

    @property
    def data(self) -> Any:
        """What it is about, read anew each time; None if that cannot be read here."""
        try:
            return None if self._data is None else self._data.open()
        except Exception:
            return None


@dataclass(frozen=True, slots=True)
class RequeueResult:
    """What came of giving several dead letters to their routines again.

    Attributes:
        done: numbers of those that were worked on. failed: why others were not, by number; they are kept.
        left: numbers of those that there was no time for, or that were not tried after a thousand failures.
    """

    done: tuple[int, ...]
    failed: dict[int, str]
    left: tuple[int, ...]

    @property
    def ok(self) -> bool:
        """Whether all were worked on."""
        return not self.failed and not self.left


def requeue_each(numbers: Iterable[int], requeue: Callable[[int, float], None], wait: float) -> RequeueResult:
    """Give several letters to their routines again, one after the other.

    Args:
        requeue: does that with one, by its number and the seconds that are left.
        wait: seconds for all of them together.
    """
    deadline = monotonic() + wait
    done: list[int] = []
    failed: dict[int, str] = {}
    left: list[int] = []
    for number in numbers:
        if (rest := deadline - monotonic()) <= 0 or len(failed) >= _MOST_FAILURES:
            left.append(number)
            continue
        try:
            requeue(number, rest)
        except UnknownDeadLetterError:  # somebody else was quicker
            continue
        except EventHandlerError as error:
            failed[number] = error.reason
        except (PipeStateError, UnknownRoutineError) as error:
            failed[number] = str(error)
        else:
            done.append(number)
    return RequeueResult(tuple(done), failed, tuple(left))


def drop_each(numbers: Iterable[int], drop: Callable[[int], None]) -> tuple[int, ...]:
    """Forget several letters; the numbers of those that were still there."""
    dropped = []
    for number in numbers:
        try:
            drop(number)
        except UnknownDeadLetterError:  # somebody else was quicker
            continue
        dropped.append(number)
    return tuple(dropped)
