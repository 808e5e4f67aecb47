"""One scan, from its streams to batches of events for workers: decisions only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipert2.patterns.capture.cbors_blocks import EventBlock
from pipert2.patterns.events.aligner import FARTHEST, Aligner
from pipert2.patterns.events.batch import LARGEST_BATCH, Batch, Lane, Made, Share, divided, pack_block, pack_streams
from pipert2.patterns.events.plan import Plan, To
from pipert2.patterns.events.scan import Closing
from pipert2.patterns.events.settled import Counts, Outcome, Settled
from pipert2.patterns.events.time_aligner import TimeAligner
from pipert2.patterns.streams.stream_data import EventData, StreamData

Call = Callable[[Share, Share | None, frozenset[str]], tuple[Made, ...]]
"""Gives an event to all workers that have these tags, after the scan's first one to those that do not know it."""

_ANYONE = (To(),)


class Feed:
    """Takes what the streams of one scan send; gives batches.

    Args:
        scan_id: the scan's.
        streams: those that have to begin before event 0 is there.
        aligner: puts frames together; None where events are recorded ones, which are together already.
        lanes: where workers are.
        call: for events that everyone gets.
        tick: whether the next event is to be marked with a tick; asked for each.
        limit: events that may wait for the start of a stream.
    """

    def __init__(
        self,
        scan_id: str,
        streams: Sequence[str],
        aligner: Aligner | TimeAligner | None,
        *,
        lanes: Sequence[Lane],
        call: Call,
        tick: Callable[[], bool] = lambda: False,
        limit: int = 1024,
    ) -> None:
        self.scan_id = scan_id
        self.started: dict[str, StreamData | None] = {}
        self.ended: dict[str, StreamData | None] = {}
        self.over = False
        self.recorded_counts = Counts()
        self.refused = 0  # messages that came before it, or of streams that are none of its
        self._streams = tuple(streams)
        self._aligner = aligner
        self._plan: Plan | None = aligner.plan if isinstance(aligner, Aligner) else None
        self._lanes = sorted(lanes, key=lambda lane: len(lane.tags))
        self._call, self._tick, self._limit = call, tick, limit
        self._opening: Share | None = None
        self._opened = False
        self._settled: list[Settled] = []
        self._shares: dict[str, list[Share]] = {}
        self._blocks: list[tuple[EventBlock, bool]] = []
        self._together: dict[str, list[list[Share]]] = {}
        self._groups: dict[tuple[int, To], tuple[int, list[Share]]] = {}
        self._notes: list[tuple[int, Outcome]] = []
        self._broadcast: list[tuple[int, tuple[Made, ...]]] = []
        self._closing: tuple[int, str] | None = None
        self._problems: list[str] = []
        self._last: Share | None = None
        self._number = self._total = 0
        self._next = 0  # the next recorded event

    @property
    def counts(self) -> Counts:
        """What was seen of the streams."""
        return self._aligner.counts if self._aligner is not None else self.recorded_counts

    @property
    def events(self) -> int:
        """How many events there have been so far, the start among them; in the end, how many there were."""
        if self.over:
            return self._total
        return self._aligner.front + 1 if self._aligner is not None else self._next

    @property
    def is_recorded(self) -> bool:
        """Whether its events come from a capture."""
        return self._aligner is None

    # --- streams

    def start(self, stream: str, data: StreamData) -> None:
        """The start message of a stream."""
        self.started[stream] = data
        self._open_if_all_began()

    def frame(self, stream: str, data: StreamData, where: Any, now: float = 0.0) -> None:
        """A frame: *where* is its number within the stream, or its time stamp, or None if frames are counted."""
        assert self._aligner is not None
        if stream not in self.started:
            self.started[stream] = None  # nobody saw it begin
        self._settled += self._aligner.take(stream, data, where, now)
        self._open_if_all_began()

    def malformed(self, stream: str, counted: bool) -> None:
        """Something that cannot be read; where frames are *counted* it takes up its place all the same."""
        if counted and isinstance(self._aligner, Aligner):
            self._settled += self._aligner.malformed(stream)
        elif self._aligner is not None:
            self._aligner.counts.unreadable()  # frames say their number: it is only counted

    def end(self, stream: str, data: StreamData | None, problem: str = "") -> None:
        """The end message of a stream; None if it ended without, which may be a *problem*."""
        assert self._aligner is not None
        if problem:
            self._problems.append(problem)
        self.ended.setdefault(stream, data)
        self.started.setdefault(stream, None)
        self._settled += self._aligner.end(stream)
        if all(one in self.ended for one in self._streams):
            self.close()

    def expire(self, before: float) -> None:
        """Wait no longer for what belongs to events that have been open since before this time."""
        if self._aligner is not None:
            self._settled += self._aligner.expire(before)

    def _open_if_all_began(self) -> None:
        if self._opened:
            return
        if all(stream in self.started for stream in self._streams) or len(self._settled) > self._limit:
            self._open({stream: data for stream, data in self.started.items() if data is not None})

    def _open(self, streams: Mapping[str, StreamData]) -> None:
        self._opened = True
        self._next = 1
        share = Share(0, 1, pack_streams(streams))
        self._broadcast.append((0, self._call(share, None, frozenset())))
        self._opening = share

    # --- recorded events

    def recorded(self, event: EventData, is_last: bool = False) -> None:
        """A recorded event; the *last* one goes to everyone."""
        number, counts = event.event_number, self.recorded_counts
        counts.frames += 1
        if self._opened and number < self._next:
            counts.duplicate += 1
            return
        if not self._opened and number == 0:
            self._open(event.streams)
            counts.note(Outcome.COMPLETE)
            return
        self._opened = True  # nobody recorded how it began
        if number != self._next:
            if number - self._next > FARTHEST:
                counts.malformed += 1
                return
            for missing in range(self._next, number):
                counts.note(Outcome.LOST)
                self._notes.append((missing, Outcome.LOST))
        self._next = number + 1
        counts.note(Outcome.COMPLETE)
        share = Share(number, 1, pack_streams(event.streams), self._tick())
        if is_last:
            self._last = share
        else:
            self._give(share, _ANYONE[0])

    def recorded_block(self, block: EventBlock) -> bool:
        """Recorded events that nobody has read; False if they are not the next ones, and have to be looked at."""
        if not self._opened or block.first != self._next:
            return False
        count = len(block.ends)
        self._next += count
        self.recorded_counts.frames += count
        self.recorded_counts.events += count
        self.recorded_counts.complete += count
        self._blocks.append((block, self._tick()))
        return True

    # --- the end

    def close(self, problem: str = "") -> None:
        """The scan has no further events; *problem* is why that is so earlier than it should be."""
        if self.over:
            return
        self.over = True
        problem = "; ".join([*self._problems, *([problem] if problem else [])])
        if self._aligner is None:
            self._total = self._next
            self._closing = (self._total, problem)
            return
        if not self._opened:
            self._open({stream: data for stream, data in self.started.items() if data is not None})
        self._settled += self._aligner.finish()
        self._total = self._aligner.front + 1
        ends = {stream: data for stream, data in self.ended.items() if data is not None}
        if ends:  # else no stream has said that it ended, and there is nothing that workers could get
            self._last = Share(self._total, 1, pack_streams(ends))
            self._total += 1
        self._closing = (self._total, problem)

    # --- what goes out

    def batches(self, parameters: bytes, most: int = LARGEST_BATCH) -> list[Batch]:
        """What can go to workers now, with the parameters that hold for it.

        Args:
            parameters: pickled.
            most: events for a batch; a group of events that belong to one worker is never divided.
        """
        if not self._opened:
            return []
        settled, self._settled = self._settled, []
        for one in settled:
            self._deliver(one)
        self._release_groups()
        found = [
            self._batch(lane, portion, parameters)
            for lane, shares in self._shares.items()
            for portion in divided(shares, most)
        ]
        if self._blocks:
            lane = self._lane(_ANYONE[0])
            for block, tick in self._blocks:
                for at in range(0, len(block.ends), most):
                    part = pack_block(block.part(at, at + most))
                    found.append(self._batch(lane, (), parameters, part, tick and not at))
            self._blocks = []
        if self._together:
            found += [
                self._batch(lane, tuple(shares), parameters)
                for lane, groups in self._together.items()
                for shares in groups
            ]
            self._together = {}
        self._shares = {}
        if not found and not self._notes and not self._broadcast and self._closing is None:
            return []
        if not found:
            found = [self._batch(self._lanes[0].flow if self._lanes else "", (), parameters)]
        closing = None
        if self._closing is not None:
            events, problem = self._closing
            frames = {**self.counts.of_frames(), "refused": self.refused}
            closing, self._closing = Closing(events, self._number, problem, frames), None
        found[0] = replace(
            found[0],
            broadcast=tuple(self._broadcast),
            notes=tuple(self._notes),
            closing=closing,
            last=self._last if closing is not None else None,
        )
        self._notes, self._broadcast = [], []
        return found

    def _batch(
        self,
        lane: str,
        shares: tuple[Share, ...],
        parameters: bytes,
        block: EventBlock | None = None,
        tick: bool = False,
    ) -> Batch:
        number = self._number
        self._number += 1
        return Batch(self.scan_id, number, lane, shares, parameters, block, tick, self._opening)

    def _deliver(self, one: Settled) -> None:
        if not one.frames:
            self._notes.append((one.number, one.outcome))
            return
        cells = self._plan.cells(one.number) if self._plan is not None else {}
        if len(one.frames) == 1:
            (stream,) = one.frames
            all_to = cells.get(stream, _ANYONE)
            if len(all_to) == 1:  # what is most frequent by far, without dicts
                self._give(Share(one.number, 1, pack_streams(one.frames), self._tick()), all_to[0])
                return
        receivers: dict[To, list[str]] = {}
        for stream in one.frames:
            for to in cells.get(stream, _ANYONE):
                receivers.setdefault(to, []).append(stream)
        for to, streams in receivers.items():
            packed = pack_streams({stream: one.frames[stream] for stream in streams})
            self._give(Share(one.number, len(receivers), packed, self._tick()), to)

    def _give(self, share: Share, to: To) -> None:
        if to.everyone:
            self._broadcast.append((share.number, self._call(share, self._opening, to.tags)))
        elif to.group is not None and self._plan is not None:
            where = (self._plan.occurrence(share.number), to)
            if where not in self._groups:
                self._groups[where] = (self._plan.last_of_group(share.number, to.group), [])
            self._groups[where][1].append(share)
        else:
            self._shares.setdefault(self._lane(to), []).append(share)

    def _release_groups(self) -> None:
        if not self._groups or not isinstance(self._aligner, Aligner):
            return
        until = self._aligner.settled_until
        for where, (last, shares) in list(self._groups.items()):
            if last <= until or self.over:
                del self._groups[where]
                self._together.setdefault(self._lane(where[1]), []).append(shares)

    def _lane(self, to: To) -> str:
        if not to.tags and self._lanes:
            return self._lanes[0].flow
        return next((lane.flow for lane in self._lanes if to.tags <= lane.tags), "")
