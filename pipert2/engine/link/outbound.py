"""What an egress has sent and what became of it: which message goes next, again, or is over. No clock, no socket."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from pipert2.engine.link.frames import Kind, Report, There
from pipert2.engine.link.payload import END, Parcel
from pipert2.engine.link.window import Window

MOST_UNCONFIRMED = 192
"""Messages of a lossless link that may be under way: a work queue lets 256 be claimed."""
MOST_BYTES = 64 * 1024 * 1024
"""Bytes of a lossless link's messages that may be under way; two messages always may."""
BATCH_MESSAGES, BATCH_BYTES = 64, 256 * 1024
_PROBE_FIRST, _PROBE_MOST = 200_000_000, 1_000_000_000
"""Nanoseconds without an answer after which an egress asks what has arrived, and to which that grows."""

_Item = TypeVar("_Item")


class Batch(NamedTuple):
    """What goes into one frame."""

    head: There
    parcels: Sequence[Parcel]


@dataclass(slots=True)
class _Sent(Generic[_Item]):
    item: _Item
    parcel: Parcel
    size: int


class Outbound(Generic[_Item]):
    """The state of one egress from start to stop.

    Args:
        run, epoch: see :mod:`pipert2.engine.link.frames`.
        lossless: keep messages until they are confirmed, and send them again where that is needed.
        credit: messages that may be under way at most; None: as many as may be.

    Attributes:
        sent, resent, lost: messages that were sent, again, and given up before they had arrived.
    """

    def __init__(self, run: int, epoch: int, *, lossless: bool, credit: int | None) -> None:
        self.run = run
        self.epoch = epoch
        self.lossless = lossless
        self.sent = self.resent = self.lost = 0
        self.window = Window()
        self.set_credit(credit)
        self._batches: deque[int] = deque()  # of a real-time link, the last number in each that has not arrived
        self._kept: dict[int, _Sent[_Item]] = {}  # in order of their numbers; of a real-time link what is not sent yet
        self._bytes = 0
        self._next = 1  # the number of the next message to come
        self._cursor = 1  # that of the next one to send
        self._highest = 1  # those below were sent at least once
        self._expected = 1  # those below have arrived
        self._ingress = 0
        self._went_back = (0, 0)  # to which number, and when
        self._ending = 0
        self._end_confirmed = False
        self._asked_at = 0
        self._patience = _PROBE_FIRST
        self.heard_at = 0

    def set_credit(self, credit: int | None) -> None:
        """Change how many messages may be under way; those that are stay."""
        self._credit = credit
        self._most = min(credit or MOST_UNCONFIRMED, MOST_UNCONFIRMED)

    # --- what goes out

    @property
    def under_way(self) -> int:
        """Messages that were added and are not over, the end of the stream among them."""
        return len(self._kept) if self.lossless else self._next - self._expected

    @property
    def held(self) -> int:
        """Items that were not given back."""
        return len(self._kept) - (self._ending in self._kept) if self.lossless else 0

    @property
    def room(self) -> int:
        """How many more messages may be sent: the ingress has been heard of, and can take them."""
        if not self._ingress or self._ending:
            return 0
        if not self.lossless:
            free = BATCH_MESSAGES if self._credit is None else self._credit - (self._next - self._expected)
            if free <= 0 or len(self._batches) < self.window.size:
                return max(0, free)
            self.window.was_full()
            return 0
        kept = len(self._kept)
        return max(0, self._most - kept) if self._bytes < MOST_BYTES or kept < 2 else 0

    @property
    def has_more(self) -> bool:
        """Whether something is to be sent."""
        return self._cursor < self._next

    @property
    def unsent(self) -> int:
        """How many are to be sent."""
        return self._next - self._cursor

    def add(self, item: _Item, parcel: Parcel) -> None:
        """Take a message over; *item* is given back when it is over."""
        size = parcel.size
        self._kept[self._next] = _Sent(item, parcel, size)
        self._bytes += size
        self._next += 1

    def next_batch(self, now: int) -> Batch | None:
        """What is to be sent next, in one frame; None: nothing."""
        first = self._cursor
        if first >= self._next:
            return None
        parcels: list[Parcel] = []
        size = 0
        while self._cursor < self._next and len(parcels) < BATCH_MESSAGES:
            sent = self._kept[self._cursor]
            if parcels and size + sent.size > BATCH_BYTES:
                break
            parcels.append(sent.parcel)
            size += sent.size
            self._cursor += 1
        ends = parcels[-1].ends  # which is no message
        again = max(0, min(self._cursor, self._highest) - first) - (ends and self._cursor <= self._highest)
        self.resent += again
        self.sent += len(parcels) - again - ends
        self._highest = max(self._highest, self._cursor)
        head = self._head(Kind.BATCH, first, now)._replace(messages=len(parcels))
        if not self.lossless:
            for number in range(first, self._cursor):
                self._bytes -= self._kept.pop(number).size
            self._batches.append(self._cursor - 1)
        self._asked_at = now
        return Batch(head, parcels)

    def _head(self, kind: Kind, first: int, now: int) -> There:
        oldest = next(iter(self._kept), self._next) if self.lossless else self._expected
        return There(kind, self.lossless, self.run, self.epoch, max(first, oldest), oldest, now)

    # --- questions

    @property
    def waits(self) -> bool:
        """Whether the ingress owes an answer."""
        return not self._ingress or self.under_way > 0 or bool(self._ending and not self._end_confirmed)

    def seconds_to_probe(self, now: int) -> float | None:
        """In how many seconds the ingress is to be asked what has arrived; None: no need."""
        if not self.waits:
            return None
        return max(0, self._asked_at + self._patience - now) / 1e9

    def probe(self, now: int) -> There:
        """The question what has arrived."""
        self._asked_at = now
        self._patience = min(_PROBE_MOST, 2 * self._patience)
        return self._head(Kind.PROBE, self._highest if self.lossless else self._cursor, now)

    # --- answers

    def take(self, report: Report, now: int) -> list[_Item]:
        """Take a report into account; what is over by it."""
        if (report.run, report.epoch) != (self.run, self.epoch) or report.expected > self._next:
            return []
        self.heard_at = self._asked_at = now
        began_anew = bool(self._ingress) and report.ingress != self._ingress
        self._ingress = report.ingress
        if began_anew and self.lossless:
            self._begin_anew()
            return []
        if report.expected > self._expected or report.done:
            self._patience = max(_PROBE_FIRST, min(_PROBE_MOST, 4 * self.window.round_trip))
        if report.echo and report.echo <= now:
            self.window.measured(now - report.echo, now)
        self._expected = max(self._expected, report.expected)
        while self._batches and self._batches[0] < self._expected:
            self._batches.popleft()
        over = []
        for low, high in report.done:
            if low <= self._ending <= high:
                self._end_confirmed = True
            for number in range(max(low, next(iter(self._kept), self._next)), min(high, self._next - 1) + 1):
                sent = self._kept.get(number)
                if sent is not None and self.lossless:
                    over.append(sent.item)
                    self._bytes -= sent.size
                    del self._kept[number]
        if self.lossless:
            if report.missing:
                self._go_back(report.expected, now)
            self._cursor = max(self._cursor, next(iter(self._kept), self._next))
        elif self._ending and not self._end_confirmed and self._expected > self._ending:
            self._end_anew()  # it was lost in a cut
        return [item for item in over if item is not None]

    def answered(self, report: Report) -> list[tuple[_Item, bytes]]:
        """What a report, before it is taken, says was returned for items that are not over."""
        if not report.answers or (report.run, report.epoch) != (self.run, self.epoch):
            return []
        kept = self._kept
        return [(kept[number].item, answer) for number, answer in report.answers if number in kept]

    def _begin_anew(self) -> None:
        """The ingress knows nothing of what it got in an earlier life: number what is left anew, and send it all."""
        self.epoch += 1
        before = list(self._kept.items())
        left = [one for _, one in before]
        self._kept = dict(enumerate(left, 1))
        self._next = len(left) + 1
        again = sum(number < self._highest and one.item is not None for number, one in before)
        self._cursor = self._highest = self._expected = 1
        self._went_back = (0, 0)
        self.resent += again
        self.sent -= again  # they are counted when they go
        if self._ending:
            self._ending = self._next - 1

    def _go_back(self, number: int, now: int) -> None:
        last, at = self._went_back
        if number >= self._cursor or (number == last and now - at < max(50_000_000, 2 * self.window.round_trip)):
            return  # it is on its way again already
        self._went_back = number, now
        self._cursor = number

    # --- the end

    @property
    def ended(self) -> bool:
        """Whether the ingress knows that the stream has ended."""
        return self._end_confirmed

    @property
    def ends(self) -> bool:
        """Whether the end was sent."""
        return bool(self._ending)

    def end(self) -> None:
        """No message follows."""
        if not self._ending:
            self._end_anew()

    def _end_anew(self) -> None:
        self._ending = self._next
        self.add(None, END)  # type: ignore[arg-type]

    def close_head(self, now: int) -> There:
        """What says that the end is known to be confirmed."""
        return self._head(Kind.CLOSE, self._next, now)

    def give_up(self) -> list[_Item]:
        """The ingress is out of reach, and others can do its work: what is not confirmed, to be given to them.

        No more is taken before the ingress is heard of again.
        """
        left = self.release()
        self._ingress = 0
        return left

    def release(self) -> list[_Item]:
        """Give up what is under way; the messages that nobody has confirmed."""
        self.lost += 0 if self.lossless else self._next - self._expected
        left = [sent.item for sent in self._kept.values() if sent.item is not None]
        self._kept.clear()
        self._batches.clear()
        self._bytes = 0
        self._cursor = self._expected = self._next
        return left
