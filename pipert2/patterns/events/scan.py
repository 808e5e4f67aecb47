"""A scan: from the start of all streams to their end. Its states and its accounts, decisions only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from pipert2.patterns.events.settled import Outcome


class ScanState(Enum):
    """Where a scan is: ``ARMED`` until its streams begin, ``FINISHING`` from their end on until all results are in.

    It ends as one of: ``DONE``; ``SHORT``: events that were to come did not, or did not come to an end in time;
    ``ABORTED``: stopped by somebody; ``FAILED``: what it needs is gone.
    """

    ARMED = "armed"
    RUNNING = "running"
    FINISHING = "finishing"
    DONE = "done"
    SHORT = "short"
    ABORTED = "aborted"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether it is over."""
        return self in _FINAL


_FINAL = (ScanState.DONE, ScanState.SHORT, ScanState.ABORTED, ScanState.FAILED)


@dataclass(frozen=True, slots=True)
class Closing:
    """What the aligning side says at the end: so many *events* there were, which went in so many *batches*; what was
    wrong with the streams, if anything; and the counts of their *frames*.
    """

    events: int
    batches: int
    problem: str = ""
    frames: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventFailure:
    """An event whose processing raised."""

    event_number: int
    worker: str
    reason: str
    traceback: str


@dataclass(slots=True)
class ScanCounts:
    """What became of the events of a scan: each is in one of these, so that they add up to *events* at its end."""

    events: int = 0
    done: int = 0
    failed: int = 0
    lost: int = 0
    late: int = 0
    discarded: int = 0

    @property
    def settled(self) -> int:
        """The events of which it is known what became of them."""
        return self.done + self.failed + self.lost + self.late + self.discarded


_KEPT_FAILURES = 100


@dataclass(slots=True)
class Scan:
    """The accounts of one scan, as results come in: in any order, perhaps twice, perhaps never.

    Args:
        scan_id: on every message; those with another one do not get here.

    Attributes:
        stale: messages that came twice, or after the end; they were refused.
        failures: the first events that failed, with their tracebacks.

    >>> scan = Scan("a")
    >>> scan.batch(0), scan.batch(0)
    (True, False)
    >>> scan.done(1), scan.lost([(2, Outcome.LOST)])
    (True, None)
    >>> scan.close(Closing(events=2, batches=1)); scan.complete
    True
    >>> scan.finish(), scan.counts
    (<ScanState.SHORT: 'short'>, ScanCounts(events=2, done=1, failed=0, lost=1, late=0, discarded=0))
    """

    scan_id: str
    state: ScanState = ScanState.ARMED
    counts: ScanCounts = field(default_factory=ScanCounts)
    stale: int = 0
    reason: str = ""
    failures: list[EventFailure] = field(default_factory=list)
    _closing: Closing | None = None
    _next_batch: int = 0
    _batches_ahead: set[int] = field(default_factory=set)
    _copies: dict[int, tuple[int, bool]] = field(default_factory=dict)

    def batch(self, number: int) -> bool:
        """A batch has come; whether it is to be looked at: not if it came before, or the scan is over."""
        if self.state.is_final or number < self._next_batch or number in self._batches_ahead:
            self.stale += 1
            return False
        if self.state is ScanState.ARMED:
            self.state = ScanState.RUNNING
        self._batches_ahead.add(number)
        while self._next_batch in self._batches_ahead:
            self._batches_ahead.discard(self._next_batch)
            self._next_batch += 1
        return True

    def done(self, number: int, copies: int = 1) -> bool:
        """An event was processed by one of the *copies* workers that got it; whether that was the last of them."""
        return self._copy(number, copies, failed=False)

    def failed(self, failure: EventFailure, copies: int = 1) -> bool:
        """An event made a worker, or the reducer, raise; as :meth:`done`."""
        self.keep(failure)
        return self._copy(failure.event_number, copies, failed=True)

    def spoiled(self, failure: EventFailure) -> None:
        """An event that was done has failed after all: its result could not be used."""
        self.keep(failure)
        if self.counts.done:
            self.counts.done -= 1
            self.counts.failed += 1

    def overdue(self) -> None:
        """A result has come after its turn was given up: nobody gets it, so its event is not done but late."""
        if self.counts.done:
            self.counts.done -= 1
            self.counts.late += 1

    def keep(self, failure: EventFailure) -> None:
        """Keep a failure to be shown."""
        if len(self.failures) < _KEPT_FAILURES:
            self.failures.append(failure)

    def lost(self, notes: Iterable[tuple[int, Outcome]]) -> None:
        """The aligning side has settled events that no worker gets."""
        counts = self.counts
        for _, outcome in notes:
            if outcome is Outcome.DISCARDED:
                counts.discarded += 1
            elif outcome is Outcome.LATE:
                counts.late += 1
                counts.lost -= 1
            else:
                counts.lost += 1

    def close(self, closing: Closing) -> None:
        """No more events will come than those that are on their way."""
        self._closing = closing
        self.state = ScanState.FINISHING

    @property
    def frames(self) -> Mapping[str, int]:
        """The counts of the streams' frames, as soon as the aligning side has told them."""
        return self._closing.frames if self._closing is not None else {}

    @property
    def complete(self) -> bool:
        """Whether everything that is to come has come."""
        return self._closing is not None and self._next_batch >= self._closing.batches and not self._copies

    def finish(self, state: ScanState | None = None, reason: str = "") -> ScanState:
        """The scan is over: all events that nothing was heard of are lost.

        Args:
            state: how it ended; left out, as its accounts say.
        """
        if self.state.is_final:
            return self.state
        counts = self.counts
        for failed in (failed for _, failed in self._copies.values()):
            counts.failed += failed
            counts.lost += not failed
        self._copies.clear()
        counts.events = max(counts.settled, self._closing.events if self._closing is not None else 0)
        counts.lost += counts.events - counts.settled
        if state is None:
            problem = self._closing.problem if self._closing is not None else ""
            reason = reason or problem
            if self._closing is None:
                state = ScanState.ABORTED
            elif problem or counts.lost or counts.late:
                state = ScanState.SHORT
            elif counts.failed and not counts.done:
                state = ScanState.FAILED
            else:
                state = ScanState.DONE
        self.state, self.reason = state, reason
        return state

    def _copy(self, number: int, copies: int, *, failed: bool) -> bool:
        if copies > 1:
            left, before = self._copies.get(number, (copies, False))
            failed = failed or before
            if left > 1:
                self._copies[number] = (left - 1, failed)
                return False
            self._copies.pop(number, None)
        if failed:
            self.counts.failed += 1
        else:
            self.counts.done += 1
        return True
