"""Which frames of several streams belong together, by their numbers: decisions only, no routine, no clock, no thread.

Frames come in any order between streams. An event is settled once: when all frames that its plan names are there, or
when it is certain, or decided by a limit, that no more will come. Frames that do not belong together are never put
together; whatever does not end in an event is counted under the name of the rule that it met.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipert2.patterns.events.plan import Plan
from pipert2.patterns.events.settled import Counts, Missing, Outcome, Settled

FARTHEST = 1_000_000
"""A frame number further ahead than this is not believed: it is malformed, not a million lost frames."""

_NONE: Any = object()  # in place of a frame of which it is known that it does not come


class Aligner:
    """Puts frames together by their number within the stream: counted, or as the frame itself says.

    Args:
        plan: which stream has a frame in which event.
        missing: what becomes of an event with frames missing.
        slack: frames of one stream may come so many events out of order.
        limit: events that may be open at a time; the oldest is settled with what there is when they become more.

    >>> aligner = Aligner(Plan.every({"a": 1, "b": 1}))
    >>> aligner.take("a", "first of a")
    []
    >>> [settled.number for settled in aligner.take("b", "first of b")]
    [1]
    """

    def __init__(self, plan: Plan, *, missing: Missing = Missing.DROP, slack: int = 16, limit: int = 1024) -> None:
        self.plan = plan
        self.counts = Counts()
        self._missing = missing
        self._slack = slack
        self._limit = limit
        self._count = dict.fromkeys(plan.streams, 0)
        self._highest = dict.fromkeys(plan.streams, 0)
        self._ended: set[str] = set()
        self._open: dict[int, dict[str, Any]] = {}
        self._since: dict[int, float] = {}
        self._settled_ahead: set[int] = set()
        self._given_up: dict[int, tuple[Outcome, set[str]]] = {}
        self._next = 1
        self._front = 0

    @property
    def open(self) -> int:
        """How many events wait for frames."""
        return len(self._open)

    @property
    def front(self) -> int:
        """The last event of which anything is known."""
        return self._front

    @property
    def settled_until(self) -> int:
        """All events up to this one are settled."""
        return self._next - 1

    def take(self, stream: str, frame: Any, index: int | None = None, now: float = 0.0) -> list[Settled]:
        """A frame has come.

        Args:
            index: its number within the stream, from 0; counted if left out.
            now: the time, for :meth:`expire`.

        Returns:
            The events that are settled by it.
        """
        self.counts.frames += 1
        if stream not in self._count or stream in self._ended:
            self.counts.surplus += 1
            return []
        if index is None:
            index = self._count[stream]
            self._count[stream] = index + 1
        if frame is _NONE:
            self.counts.malformed += 1
        number = self.plan.event_of(stream, index)
        if number is None:
            if index < 0:
                self.counts.malformed += 1
            elif frame is not _NONE:
                self.counts.surplus += 1
            return []
        if number < self._next or number in self._settled_ahead:
            return self._too_late(number, stream)
        if number - self._next > FARTHEST:
            self.counts.malformed += 1
            return []
        held = self._open.get(number)
        if held is None:
            held = self._open[number] = {}
            self._since[number] = now
        elif stream in held:
            self.counts.duplicate += 1
            return []
        held[stream] = frame
        self._highest[stream] = max(self._highest[stream], number)
        self._front = max(self._front, number)
        found: list[Settled] = []
        cells = self.plan.cells(number)
        if len(held) == len(cells):
            self._settle(number, cells, found)
        if self._next <= self._front:
            self._advance(found)
        return found

    def malformed(self, stream: str, now: float = 0.0) -> list[Settled]:
        """A frame that cannot be read has come where frames are counted: it takes up its number all the same."""
        return self.take(stream, _NONE, None, now)

    def end(self, stream: str) -> list[Settled]:
        """No more frames of this stream will come."""
        if stream not in self._count:
            return []
        self._ended.add(stream)
        found: list[Settled] = []
        self._advance(found)
        return found

    def expire(self, before: float) -> list[Settled]:
        """Settle what has been open since before this time, and all events ahead of it."""
        overdue = max((number for number, since in self._since.items() if since <= before), default=0)
        found: list[Settled] = []
        while self._next <= overdue:
            self._give_up(self._next, found)
            self._advance(found)
        return found

    def finish(self) -> list[Settled]:
        """Nothing more will come at all. The planned events behind :attr:`front` are counted as lost at once."""
        self._ended.update(self._count)
        found: list[Settled] = []
        self._advance(found)
        length = self.plan.length
        if length is not None and length > self._front:
            rest = length - self._front
            self.counts.events += rest
            self.counts.lost += rest
            self._front, self._next = length, length + 1
        return found

    def _advance(self, found: list[Settled]) -> None:
        """Settle the oldest events for as long as nothing more can come of them."""
        while self._next <= self._front:
            number = self._next
            if number in self._settled_ahead:
                self._settled_ahead.discard(number)
                self._next += 1
                continue
            held = self._open.get(number, {})
            cells = self.plan.cells(number)
            passed = number + self._slack
            if all(stream in held or stream in self._ended or self._highest[stream] > passed for stream in cells):
                self._settle(number, cells, found)
            elif self._front - number >= self._limit:
                self.counts.overflow += 1
                self._settle(number, cells, found)
            else:
                return

    def _give_up(self, number: int, found: list[Settled]) -> None:
        if number not in self._settled_ahead:
            self._settle(number, self.plan.cells(number), found)

    def _settle(self, number: int, cells: Mapping[str, Any], found: list[Settled]) -> None:
        held = self._open.pop(number, {})
        self._since.pop(number, None)
        if number == self._next:
            self._next += 1
        else:
            self._settled_ahead.add(number)
        there = {stream: frame for stream, frame in held.items() if frame is not _NONE}
        wanted = {stream: frame for stream, frame in there.items() if cells[stream]}
        absent = set(cells) - set(there)
        expected = any(cells.values())
        if not expected:
            outcome = Outcome.DISCARDED
        elif not absent:
            outcome = Outcome.COMPLETE
        elif self._missing is Missing.PARTIAL and wanted:
            outcome = Outcome.PARTIAL
        else:
            outcome, wanted = Outcome.LOST, {}
        if absent:
            self._given_up[number] = (outcome, absent)
            while len(self._given_up) > self._limit:
                del self._given_up[next(iter(self._given_up))]
        self.counts.note(outcome)
        found.append(Settled(number, outcome, wanted))

    def _too_late(self, number: int, stream: str) -> list[Settled]:
        outcome, absent = self._given_up.get(number, (Outcome.COMPLETE, set()))
        if stream not in absent:
            self.counts.duplicate += 1
            return []
        absent.discard(stream)
        self.counts.late += 1
        if outcome is not Outcome.LOST:
            return []
        self._given_up[number] = (Outcome.LATE, absent)
        self.counts.lost -= 1
        self.counts.late_events += 1
        return [Settled(number, Outcome.LATE, {})]
