"""What a source that is fed from outside does from start to stop: pass on what came, and say what is done with."""

from __future__ import annotations

from collections import deque
from itertools import islice
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, NamedTuple

from pipert2.runtime.messages import DeadLetter, Packed
from pipert2.runtime.routine.failures import Failure
from pipert2.runtime.routine.feed import BringsFeed, Fed, Feed, UnreadableFeed
from pipert2.runtime.routine.unfinished import dead_letter
from pipert2.transport import board as b
from pipert2.transport import work_table as w
from pipert2.transport.codec import Encoded
from pipert2.transport.envelope import DIRECT, FLAT, Message, origin_of, small_cell
from pipert2.transport.ring import Interrupted
from pipert2.transport.work_ends import KEPT, Delivery, Kept, WorkSender
from pipert2.transport.work_queue import WorkQueue

if TYPE_CHECKING:
    from pipert2.runtime.routine.around import End
    from pipert2.runtime.routine.loop import RoutineLoop

_TWIN = 1 << 40
"""Added to the number of a message while another one of that number is open: they came of different sources."""
_LOOK_EVERY = 16
"""Messages between two looks at what is over: a look costs as much as sending a message."""
_AT_ONCE = 16
"""Messages that are put into a queue under one taking of its lock."""


class _Open(NamedTuple):
    """A message that is not over: its number in its cell of the ledger, and its origin."""

    number: int
    origin: int


class _Pending(NamedTuple):
    """What was taken from the feed, under the name it is sent by."""

    fed: Fed
    origin: int


class FedProducer:
    """The producing side of a source that brings a feed.

    Args:
        loop: the routine's.
        source: the routine.
        ledger: where account is kept of what is not acknowledged, if it is.
    """

    def __init__(self, loop: RoutineLoop, source: BringsFeed, ledger: WorkQueue | None) -> None:
        self._loop = loop
        self._source = source
        self._unsent: Delivery | Kept | None = None
        self._ledger = ledger
        self._most = ledger.spec.capacity if ledger is not None else 0
        self._open: dict[int, _Open] = {}  # by cell of the ledger
        self._tags: dict[int, Any] = {}  # of these, by origin
        self._pending: deque[_Pending] = deque()  # taken from the feed, and to be sent
        self._since_look = 0
        self._seen_done = -1

    def run(self) -> tuple[End, Delivery | Kept | None]:
        """Pass on what comes until the routine is told to end, or its stream has ended.

        Returns:
            How it ended, and the delivery of the message whose sending was broken off by that.
        """
        self._unsent = None
        self._feed = self._source.open_feed(self._loop.wake)
        try:
            return self._run(self._feed), self._unsent
        finally:
            self._feed.close()

    def _run(self, feed: Feed) -> End:
        loop = self._loop
        while True:
            if loop.inbox or loop.due:
                loop.due = False
                loop.attend()
                if loop.wanted is not None:
                    return loop.wanted
            if loop.const_period and self._ready and not loop.await_tick():
                continue
            credit = self._credit
            if credit and self._since_look < _LOOK_EVERY and self._ready:
                if not self._pass_on(1 if loop.const_period else min(credit, _AT_ONCE)):
                    return loop.interrupted()
                continue
            self._look()
            timeout = feed.tend()
            if feed.ended and not self._open and not self._pending:
                return loop.finished
            self._sleep(timeout)

    @property
    def _ready(self) -> bool:
        return bool(self._pending) or self._feed.ready

    @property
    def _credit(self) -> int:
        """How many messages may be sent now; without a ledger there is no such limit."""
        return self._most - self._ledger.table.words[w.UNDONE] if self._ledger is not None else _AT_ONCE

    def _sleep(self, timeout: float | None) -> None:
        loop, ledger = self._loop, self._ledger
        if ledger is None:
            loop.sleep(lambda: self._ready, timeout)
            return
        if self._open:
            with ledger.lock:
                ledger.table.await_room(loop.spec.replica)  # whoever brings one of them to its end rings
        loop.sleep(lambda: self._is_something_over() or (self._credit > 0 and self._ready), timeout)
        ledger.table.words[w.SENDER_WAITS + loop.spec.replica] = 0

    def _is_something_over(self) -> bool:
        return self._ledger is not None and bool(self._open) and self._ledger.table.words[w.DONE] != self._seen_done

    def _look(self) -> None:
        """Tell the feed what is over."""
        self._since_look = 0
        if self._ledger is None or not self._is_something_over():
            return
        table = self._ledger.table
        words = table.words
        with self._ledger.lock:  # a message is counted a moment before its cell is free, and nobody counts it again
            done = words[w.DONE]
        most, self._seen_done = done - self._seen_done, done
        over = []
        for cell, one in self._open.items():  # oldest first, so what is over stands at the beginning most of the time
            row = table.row(cell)
            if words[row + w.NUMBER] != one.number or words[row + w.STATE] == w.FREE:
                over.append(cell)
                if len(over) == most:
                    break
        for cell in over:
            self._is_over(cell)

    def _is_over(self, cell: int) -> None:
        tag = self._tags.pop(self._open.pop(cell).origin)
        if not self._loop.words[self._loop.row + b.TO_BE_KILLED]:  # else one that is killed, too, may have given it up
            self._feed.over(tag)

    def take_result(self, origin: int, value: Packed) -> None:
        """What a destination returned for a message that is not over yet."""
        if origin in self._tags:
            self._feed.returned(self._tags[origin], value)

    def _pass_on(self, most: int) -> bool:
        """Send what has waited longest, *most* messages at most; False if that was interrupted."""
        loop, pending, outlet = self._loop, self._pending, self._loop.outlet
        assert outlet is not None
        as_it_is = outlet.takes_encoded and "output" not in loop.taps
        queue = outlet.only_queue if as_it_is and self._ledger is not None else None
        while len(pending) < (most if queue is not None else 1) and self._feed.ready:
            if not self._take():
                break
        if queue is not None and self._put_many(queue, most):
            return True
        return not pending or self._send(pending.popleft(), as_it_is)

    def _take(self) -> bool:
        """Take a message from the feed, if it has one; whether others may be put together with it."""
        loop, index = self._loop, self._loop.spec.index
        try:
            fed = self._feed.take()
        except UnreadableFeed as error:
            self._unreadable(error)
            return True
        if fed is None:
            return False
        sent = loop.row + b.SENT
        loop.words[sent] += 1
        origin = origin_of(index, fed.sequence or loop.words[sent])
        if self._ledger is not None:
            while origin in self._tags:
                origin += _TWIN
            self._tags[origin] = fed.tag
        self._pending.append(_Pending(fed, origin))
        return type(fed.data) is Encoded

    def _put_many(self, queue: WorkSender, most: int) -> bool:
        """Send what is pending and encoded, as far as there is room; whether there was any."""
        assert self._ledger is not None
        now = monotonic_ns()
        cells = []
        for fed, origin in islice(self._pending, most):
            if type(fed.data) is not Encoded:
                break
            flat, stream = fed.data
            cell = small_cell(FLAT if flat else DIRECT, stream, origin, fed.born, now, 0)
            if cell is None:
                break
            cells.append(cell)
        accounts = queue.put_many(cells, self._ledger) if cells else ()
        for account, number in accounts:
            self._account(account, number, self._pending.popleft().origin)
        self._since_look += len(accounts)
        if accounts:
            self._loop.forget_failures()
        return bool(accounts)

    def _account(self, cell: int, number: int, origin: int) -> None:
        if cell in self._open:
            self._is_over(cell)  # the cell is another message's now
        self._open[cell] = _Open(number, origin)

    def _send(self, one: _Pending, as_it_is: bool) -> bool:
        """Send a message; False if that was interrupted."""
        loop, (fed, origin) = self._loop, one
        data = fed.data
        if type(data) is Encoded and not as_it_is:
            try:
                data = data.open()
            except Exception as error:
                self._tags.pop(origin, None)
                reason = f"{type(error).__name__}: {error}"
                self._unreadable(UnreadableFeed(loop.spec.name, reason, fed.tag, fed.sequence))
                return True
        delivery: Delivery | Kept | None = KEPT if loop.pipe.acknowledged else None
        if self._ledger is not None:
            account = delivery = loop.host.open_account(self._ledger, loop.spec.index)
            self._account(account.claim.cell, account.claim.number, origin)
        self._since_look += 1
        send = loop.send() or (loop.outlet.send if loop.outlet is not None else None)
        assert send is not None
        try:
            send(data, origin, fed.born, 0, delivery)
        except Interrupted:
            self._unsent = delivery  # the outlet goes on with it when the routine is started again
            if self._ledger is None:
                self._feed.over(fed.tag)
            return False
        except Exception as error:
            self._keep(fed, origin, loop.failures.note("sending", error))
            loop.pause_after_failure()
        else:
            loop.forget_failures()
        if delivery is not None:
            delivery.done()
        if self._ledger is None:
            self._feed.over(fed.tag)
        return True

    def _unreadable(self, error: UnreadableFeed) -> None:
        loop, index = self._loop, self._loop.spec.index
        failure = loop.failures.note("receiving", error)
        if loop.pipe.acknowledged:
            loop.host.keep_dead_letter(DeadLetter(index, None, *failure, 1, origin_of(index, error.sequence)))
        self._feed.over(error.tag)

    def _keep(self, fed: Fed, origin: int, failure: Failure) -> None:
        loop = self._loop
        if loop.pipe.acknowledged:
            now = monotonic_ns()
            letter = dead_letter(loop.spec.index, Message(fed.data, origin, now, now), failure, 1)
            loop.host.keep_dead_letter(letter)
