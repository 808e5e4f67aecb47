"""What becomes of a message that a routine was not done with: it is tried again, handed back, or given up."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from pipert2.errors import PipertError, UnreadableDataError
from pipert2.runtime.messages import DeadLetter, Packed
from pipert2.runtime.routine.failures import Failure, pause_before
from pipert2.transport import board as b
from pipert2.transport.codec import dumps_plain, opened
from pipert2.transport.envelope import Message
from pipert2.transport.ring import Interrupted
from pipert2.transport.work_ends import Delivery, UnreadableMessage

if TYPE_CHECKING:
    from pipert2.runtime.routine.loop import RoutineLoop


class Unfinished:
    """The messages that a routine has failed with or has left, for its own thread; only lossless wires give any back.

    Args:
        loop: the routine's.
        send: sends data in place of the result of a message.

    Attributes:
        again: to be tried again here, because nobody else has them.
    """

    def __init__(self, loop: RoutineLoop, send: Callable[[Any, Message], None]) -> None:
        self._loop = loop
        self._send = send
        self.again: deque[Message] = deque()
        self._later: list[tuple[float, int, Message]] = []  # a heap of those to be tried again, and when
        self._numbers = itertools.count()

    @property
    def due(self) -> float | None:
        """When the next one is to be tried again, on the monotonic clock; None: there is none."""
        return self._later[0][0] if self._later else None

    def retry(self, now: float) -> None:
        """Let those be tried again whose time has come."""
        while self._later and self._later[0][0] <= now:
            message = heapq.heappop(self._later)[2]
            self._loop.words[self._loop.row + b.RETRIED] += 1
            if message.delivery.in_place:
                self.again.append(message._replace(attempt=max(1, message.attempt) + 1))
            else:
                self._loop.host.return_message(message.delivery, again=True)

    def retry_all(self) -> None:
        """Let all be tried again, here when the routine is started the next time, or elsewhere."""
        self.retry(float("inf"))

    def hand_back(self, message: Message) -> None:
        """The routine ends in the middle of a message."""
        if message.delivery is None:
            return
        if message.delivery.in_place:
            self.again.append(message)
        else:
            self._loop.host.return_message(message.delivery, again=False)

    def failed(self, message: Message, failure: Failure, *, in_turn: bool) -> None:
        """Let a message on a lossless way be tried again after a while, or give it up; another one is over.

        Args:
            in_turn: wait here until it may be tried again, so that nothing overtakes it.
        """
        delivery: Delivery | None = message.delivery
        attempt = max(1, message.attempt)
        if delivery is None:
            return
        if not delivery.is_kept:
            delivery.done()
        elif attempt > self._loop.spec.retries:
            self.give_up(message, failure)
        else:
            heapq.heappush(self._later, (monotonic() + pause_before(attempt), next(self._numbers), message))
            if in_turn:
                self._loop.wait_attending(pause_before(attempt))
                self.retry_all()

    def give_up(self, message: Message, failure: Failure) -> None:
        """Another attempt would end the same way: the message becomes a dead letter."""
        delivery: Delivery | None = message.delivery
        if delivery is None:
            return
        if not delivery.is_kept:
            delivery.done()
        elif self._keep(message, failure, max(1, message.attempt)):
            self._go_on_without(message, failure)
            delivery.done()
        else:
            self.hand_back(message)

    def _go_on_without(self, message: Message, failure: Failure) -> None:
        """Send what the routine wants to be sent in place of a result."""
        try:
            instead = self._loop.routine.given_up(message.data, *failure)
            if instead is not None:
                self._send(instead, message)
        except Interrupted:
            self._loop.logger.warning("%s ended before it could pass on what it gave up", self._loop.spec.name)
        except Exception as error:
            self._loop.failures.note("given_up", error)

    def not_received(self, error: Exception) -> None:
        """A message could not be taken. One of a queue that nobody here can read is a dead letter without data."""
        failure = self._loop.failures.note("receiving", error)
        if isinstance(error, UnreadableMessage):
            delivery, attempts = error.message.delivery, max(1, error.message.attempt)
            letter = DeadLetter(self._loop.spec.index, None, *failure, attempts, error.message.origin)
            if delivery.is_kept and not self._loop.host.keep_dead_letter(letter):
                self._loop.host.return_message(delivery, again=False)
            else:
                delivery.done()
        elif not isinstance(error, UnreadableDataError):
            self._loop.pause_after_failure()  # the message is still there, and will be tried again

    def leave(self, message: Message) -> None:
        """The routine's process ends: what nobody else has is kept as a dead letter, the rest is handed back."""
        if message.delivery is None:
            return
        if message.delivery.in_place:
            self._keep(message, ("the routine ended in the middle of it", ""), max(1, message.attempt))
        else:
            self._loop.host.return_message(message.delivery, again=False)

    def _keep(self, message: Message, failure: Failure, attempts: int) -> bool:
        """Keep a message as a dead letter; whether that was done."""
        return self._loop.host.keep_dead_letter(dead_letter(self._loop.spec.index, message, failure, attempts))


def dead_letter(routine: int, message: Message, failure: Failure, attempts: int) -> DeadLetter:
    """A message that a routine gives up, as it can be kept."""
    try:
        data: Packed | None = Packed(dumps_plain(opened(message.data)))
    except PipertError:
        data = None
    reason, trace = failure
    return DeadLetter(routine, data, reason, trace, attempts, message.origin)
