"""What an ingress has got and what became of it: what is new, missing, twice, done. No clock, no socket."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import NamedTuple

from pipert2.engine.link.frames import Kind, Report, There, ranges_of
from pipert2.engine.link.payload import NOBODY, Parcel

MOST_ANSWERS = 64
"""Results of messages that are done and kept, should they be asked for once more; a source waits for one at a time."""
REMEMBERED = 10_000
"""Messages that are done and still known, so that they are not done again when they come once more."""
LINGER = 1_000_000_000
"""Nanoseconds that an ingress waits to be told that its egress knows of the end."""


class Tag(NamedTuple):
    """Names a message that was handed on: which stream's, in which epoch, which number, and which message it is."""

    stream: Stream
    epoch: int
    number: int
    identity: tuple[int, int]


class Stream:
    """What came from one run of an egress's pipe.

    Attributes:
        received, duplicates, gap: messages that have arrived, that had before, and that never did (real-time).
    """

    def __init__(self, run: int) -> None:
        self.run = run
        self.epoch = 0
        self.lossless = False
        self.received = self.duplicates = self.gap = 0
        self._expected = 0
        self._waiting: deque[int] = deque()  # numbers that arrived and were not handed on yet (real-time)
        self._oldest = 0
        self._open: dict[int, tuple[int, int]] = {}  # numbers that are being worked on
        self._done: set[int] = set()  # numbers that the egress does not know to be done
        self._working: dict[tuple[int, int], set[int]] = {}  # numbers of this epoch, by the message they stand for
        self._known: OrderedDict[tuple[int, int], None] = OrderedDict()
        self._answers: OrderedDict[tuple[int, int], bytes] = OrderedDict()  # by the message that they were returned for
        self._answered: dict[int, tuple[int, int]] = {}  # numbers that are done, by which answer belongs to them
        self._ending = 0
        self._closed = False
        self._end_reported_at = 0
        self._missing = False
        self._changed = False
        self._fresh: set[int] = set()
        self._echo = 0
        self._waiting_echo = (0, 0)

    def _begin(self, head: There) -> None:
        self.epoch = head.epoch
        self.lossless = head.lossless
        self._expected = self._oldest = head.oldest
        self._waiting.clear()
        self._done.clear()
        self._answered.clear()
        self._fresh.clear()
        self._open.clear()
        for numbers in self._working.values():
            numbers.clear()
        self._ending = 0
        self._closed = False
        self._end_reported_at = 0

    def hear(self, head: There) -> bool:
        """Note the head of a frame; False: it comes from an earlier life of the egress."""
        if head.epoch < self.epoch:
            return False
        if head.epoch > self.epoch:
            self._begin(head)
        if head.oldest > self._oldest:
            if self._done:
                for number in range(self._oldest, min(head.oldest, self._expected)):
                    self._done.discard(number)
                    self._answered.pop(number, None)
            self._oldest = head.oldest
            if self.lossless:
                self._expected = max(self._expected, head.oldest)  # what it gave up comes under other numbers
        if head.kind is Kind.CLOSE:
            self._closed = True
        if head.kind is Kind.PROBE:
            self._changed = True
            self._echo = head.stamp
            self._fresh |= self._done  # the last report may be lost
            if head.first > self._expected:
                self._skip_to(head.first)
        return True

    def _skip_to(self, number: int) -> None:
        """Frames come in the order they were sent in, so what lies before this one is lost."""
        if self.lossless:
            self._missing = self._changed = True
            return
        self.gap += number - self._expected
        self._expected = number
        self._changed = True

    def arrived(self, head: There, parcels: Sequence[Parcel]) -> list[tuple[Tag, Parcel]]:
        """Note a batch, after :meth:`hear`; what of it is to be handed on, in order."""
        if head.first > self._expected:
            self._skip_to(head.first)
            if self.lossless:
                return []
        found: list[tuple[Tag, Parcel]] = []
        last = head.first + len(parcels) - 1
        for number, parcel in enumerate(parcels, head.first):
            if number < self._expected:
                self.duplicates += not parcel.ends
                if number in self._done:
                    self._fresh.add(number)
                self._changed = True
                continue
            self._expected = number + 1
            self._changed = True
            if parcel.ends:
                self._ending = number
                continue
            if self.lossless and parcel.identity != NOBODY:
                if parcel.identity in self._known:
                    self.duplicates += 1
                    self._finish(number, parcel.identity)
                    continue
                numbers = self._working.get(parcel.identity)
                if numbers is not None:
                    self.duplicates += 1
                    numbers.add(number)
                    self._open[number] = parcel.identity
                    continue
                self._working[parcel.identity] = {number}
            self.received += 1
            if self.lossless:
                self._open[number] = parcel.identity
            else:
                self._waiting.append(number)
            found.append((Tag(self, self.epoch, number, parcel.identity), parcel))
        if self.lossless or not self._waiting:
            self._echo = head.stamp
        else:
            self._waiting_echo = last, head.stamp
        self._missing = False
        return found

    def returned(self, tag: Tag, answer: bytes) -> None:
        """What a destination returned for a message that was handed on and is not done yet; the last one counts."""
        if self.lossless and tag.identity != NOBODY:
            self._answers[tag.identity] = answer
            self._answers.move_to_end(tag.identity)
            if len(self._answers) > MOST_ANSWERS:
                self._answers.popitem(last=False)

    def over(self, tag: Tag) -> None:
        """A message that was handed on is done."""
        if self.lossless:
            if tag.identity != NOBODY:
                for number in self._working.pop(tag.identity, ()):
                    self._finish(number, tag.identity)
                self._known[tag.identity] = None
                if len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)
            elif tag.epoch == self.epoch:
                self._finish(tag.number, tag.identity)
        elif tag.epoch == self.epoch:
            while self._waiting and self._waiting[0] <= tag.number:
                self._waiting.popleft()
            last, stamp = self._waiting_echo
            if stamp and tag.number >= last:
                self._echo, self._waiting_echo = stamp, (0, 0)
            self._changed = True

    def _finish(self, number: int, identity: tuple[int, int]) -> None:
        self._open.pop(number, None)
        if identity in self._answers:
            self._answered[number] = identity
        self._done.add(number)
        self._fresh.add(number)
        self._changed = True

    @property
    def _is_through(self) -> bool:
        """Whether the end has come, and all before it is done."""
        if not self._ending:
            return False
        return not (self._open or self._waiting)

    @property
    def ends(self) -> bool:
        """Whether the end has come."""
        return bool(self._ending)

    @property
    def has_news(self) -> bool:
        """Whether there is something to be said to the egress."""
        return self._changed

    def closed(self, now: int) -> bool:
        """Whether the stream has ended, and its egress knows, or has had time to."""
        if not self._is_through or not self._end_reported_at:
            return False
        return self._closed or now - self._end_reported_at > LINGER

    def report(self, ingress: int, now: int) -> Report | None:
        """What is to be said to the egress; None: nothing new."""
        if not self._changed or not self.epoch:
            return None
        self._changed = False
        if self._is_through:
            self._fresh.add(self._ending)
            self._end_reported_at = self._end_reported_at or now
        expected = self._waiting[0] if self._waiting else self._expected
        done = ranges_of(self._fresh)
        fresh = [(number, self._answered[number]) for number in self._fresh if number in self._answered]
        answers = [(number, self._answers[one]) for number, one in fresh if one in self._answers]
        self._fresh.clear()
        echo, self._echo = self._echo, 0
        missing, self._missing = self._missing, False
        return Report(ingress, self.run, self.epoch, expected, missing, echo, done, answers)


class Inbound:
    """What came to one ingress.

    Args:
        ingress: this life of the ingress.
        streams: how many egresses there are.

    Attributes:
        parcels: what is to be handed on.
    """

    def __init__(self, ingress: int, streams: int) -> None:
        self.ingress = ingress
        self._needed = streams
        self.streams: dict[int, Stream] = {}
        self.parcels: deque[tuple[Tag, Parcel]] = deque()

    def hear(self, head: There) -> Stream | None:
        """The stream that a frame belongs to; None: it is not to be listened to."""
        stream = self.streams.get(head.run)
        if stream is None:
            stream = self.streams[head.run] = Stream(head.run)
        return stream if stream.hear(head) else None

    def ended(self, now: int) -> bool:
        """Whether the streams of all egresses have ended."""
        return sum(stream.closed(now) for stream in self.streams.values()) >= self._needed

    @property
    def ending(self) -> bool:
        """Whether an end has come."""
        return any(stream.ends for stream in self.streams.values())

    @property
    def has_news(self) -> bool:
        """Whether there is something to be said."""
        return any(stream.has_news for stream in self.streams.values())

    def reports(self, now: int) -> list[Report]:
        """What is to be said."""
        found = (stream.report(self.ingress, now) for stream in self.streams.values())
        return [report for report in found if report is not None]
