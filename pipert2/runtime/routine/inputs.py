"""The ends of the wires that lead to a routine: what there is to take, and whether anything will come any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pipert2.runtime.routine.around import Receiver
from pipert2.transport.envelope import Message
from pipert2.transport.work_ends import Delivery, WorkReceiver
from pipert2.transport.work_queue import WorkQueue
from pipert2.transport.work_table import UNDONE

Take = Callable[[], "Message | None"]
TakeAfter = Callable[[Delivery], "Message | None"]


class Inputs:
    """A routine's inputs, for its own thread.

    Args:
        receivers: the ends of its wires.
        circle: ledgers of sources, whose messages may come back to this routine until they are acknowledged.
    """

    def __init__(self, receivers: Sequence[Receiver] = (), circle: Sequence[WorkQueue] = ()) -> None:
        self._receivers = list(receivers)
        self._circle = circle
        self._turn = 0

    def __iter__(self) -> Iterator[Receiver]:
        return iter(self._receivers)

    def __len__(self) -> int:
        return len(self._receivers)

    def add(self, receivers: Sequence[Receiver]) -> None:
        """There are new wires."""
        self._receivers = [*self._receivers, *receivers]

    def has_data(self) -> bool:
        """Whether there is something to take."""
        return any(receiver.has_data() for receiver in self._receivers)

    def ended(self) -> bool:
        """Whether nothing will come any more."""
        if not self._receivers:
            return False  # the routine is there to be called
        ahead = [receiver for receiver in self._receivers if not receiver.spec.feedback] or self._receivers
        if not all(receiver.ended() for receiver in ahead):
            return False
        # In this order: what is on its way was put into a ledger before its source has ended.
        return not any(ledger.table.words[UNDONE] for ledger in self._circle) and not self.has_data()

    def taker(self) -> tuple[Take, TakeAfter | None]:
        """What takes the next message; what ends another one with it, where that is less work than to do both."""
        if len(self._receivers) != 1:
            return self._take_in_turn, None
        queue = self.only_queue()
        return self._receivers[0].take, queue.take_after if queue is not None else None

    def only_queue(self) -> WorkReceiver | None:
        """The only input, if that is a queue."""
        only = self._receivers[0] if len(self._receivers) == 1 else None
        return only if isinstance(only, WorkReceiver) else None

    def _take_in_turn(self) -> Message | None:
        receivers = self._receivers
        for _ in receivers:
            self._turn = (self._turn + 1) % len(receivers)
            message = receivers[self._turn].take()
            if message is not None:
                return message
        return None
