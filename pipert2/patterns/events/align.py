"""Align: the routine in which the frames of several streams meet in events."""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import monotonic
from typing import Any

from pipert2.errors import PipertError
from pipert2.graph.handlers import events
from pipert2.graph.routine import MiddleRoutine
from pipert2.patterns.capture.cbors_blocks import EventBlock
from pipert2.patterns.events.aligner import Aligner
from pipert2.patterns.events.batch import (
    ABORT,
    BEGUN,
    FIRST_BATCH,
    LARGEST_BATCH,
    PACE,
    SCANS,
    Batch,
    Lane,
    Made,
    ScanEnd,
    Share,
)
from pipert2.patterns.events.call_workers import call_workers
from pipert2.patterns.events.feed import Feed
from pipert2.patterns.events.plan import Plan, PlanError
from pipert2.patterns.events.scan import ScanState
from pipert2.patterns.events.settled import Counts, Missing
from pipert2.patterns.events.time_aligner import TimeAligner
from pipert2.patterns.map_reduce.parameters import ParameterSet
from pipert2.patterns.streams.protocols import protocol_of
from pipert2.patterns.streams.stream_data import EventData, Place, StreamData, StreamFrame

Key = str | Callable[[StreamData], int]

_MOST_REMEMBERED = 100  # scans
_MOST_AHEAD = 100_000  # messages of streams that have begun the next scan already


class Align(MiddleRoutine):
    """Takes messages of streams (:class:`~pipert2.patterns.events.batch.StreamFrame`) or recorded events, one or a
    list of them; sends batches of events.

    A scan begins with the start messages of all streams, which together are event 0, and ends with their end messages:
    both go to all workers. In between a plan says what belongs together, and who gets it.

    Args:
        streams: the streams of a scan; those of the plan if left out.
        plan: the events; one frame of each stream in each event if left out.
        key: what tells where a frame belongs: ``"number"`` (of the frame, as its header says), ``"count"``, or a
            function of the :class:`StreamData` that returns its number, from 0; or a mapping of streams to these, for
            those that are not ``"number"``.
        stamp: a function of the :class:`StreamData` that returns a time stamp, in place of a plan and a key: see
            :class:`~pipert2.patterns.events.time_aligner.TimeAligner`.
        tolerance: of time stamps.
        missing: ``"drop"`` or ``"partial"``: what becomes of events of which frames are missing.
        slack: frames of a stream may come so many events out of order.
        limit: events that may be open at a time.
        patience: seconds after which an event is settled with what there is, when the next message comes; for ever if
            left out.
        lanes: where the workers are.
        parameters: of the analysis.
        name: the routine's name.

    Raises:
        PlanError: a plan that nobody can carry out.
    """

    def __init__(
        self,
        streams: Sequence[str] = (),
        plan: Plan | None = None,
        *,
        key: Key | Mapping[str, Key] = "number",
        stamp: Callable[[StreamData], float] | None = None,
        tolerance: float = 0.0,
        missing: str | Missing = Missing.DROP,
        slack: int = 16,
        limit: int = 1024,
        patience: float | None = None,
        lanes: Sequence[Lane] = (),
        parameters: ParameterSet | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        for one in key.values() if isinstance(key, Mapping) else (key,):
            if one not in ("count", "number") and not callable(one):
                raise ValueError(f'Align(key=...) is "number", "count" or a function, not {one!r}')
        if plan is not None and stamp is not None:
            raise ValueError("Align: a plan counts frames, time stamps do not: leave plan= or stamp= out")
        if patience is not None and not patience >= 0:
            raise ValueError(f"Align(patience=...) is a time in seconds, 0 or more, not {patience!r}")
        self._patience = patience
        self._streams = tuple(streams) or (plan.streams if plan is not None else ())
        if plan is None and self._streams:
            plan = Plan.every(dict.fromkeys(self._streams, 1))
        if plan is not None:
            _check(plan, self._streams, lanes, limit)
        self._plan = plan
        if isinstance(key, Mapping) and (unknown := sorted(set(key) - set(self._streams))):
            raise ValueError(f"Align(key=...) names streams that there are not: {', '.join(map(repr, unknown))}")
        self._keys: dict[str, Key] = dict(key) if isinstance(key, Mapping) else dict.fromkeys(self._streams, key)
        self._stamp, self._tolerance = stamp, tolerance
        self._missing, self._slack, self._limit = Missing(missing), slack, limit
        self._lanes = tuple(lanes)
        self._values = parameters if parameters is not None else ParameterSet([])
        self._packed = pickle.dumps(self._values, 5)
        self._feed: Feed | None = None
        self._held: EventData | None = None
        self._waiting: list[Batch] = []
        self._ahead: list[StreamFrame | ScanEnd] = []
        self._exhausted: set[str] = set()
        self._interval: float | None = None
        self._tick_due = 0.0
        self._most = FIRST_BATCH
        self._reducers: dict[str, str] = {}
        self._lengths: dict[str, int] = {}
        self._skips = False
        self.refused = self._told = 0

    def main_logic(self, data: Any) -> Iterator[tuple[Batch, ...]] | tuple[Batch, ...] | None:
        """Take a message, or a list of messages, in; several batches are messages of their own."""
        found: list[Batch] = []
        for one in data if isinstance(data, list) else (data,):
            if isinstance(one, StreamFrame):
                self._take_frame(one)
            elif isinstance(one, EventData):
                self._take_recorded(one)
            elif isinstance(one, EventBlock):
                self._take_block(one)
            elif isinstance(one, ScanEnd):
                if one.stream:
                    self._end_stream(one)
                else:
                    self._end_recorded(one.problem)
            else:
                raise PipertError(f"Align takes StreamFrame, EventData, or lists of them, not {one!r:.80}")
            while self._feed is not None and self._feed.over:
                found += self._close()
        if self._held is not None:
            self._end_recorded("")
            found += self._close()
        found, self._waiting = self._waiting + found, []
        if self._feed is not None:
            if self._patience is not None:
                self._feed.expire(monotonic() - self._patience)
            found += self._feed.batches(self._packed, self._most)
        return tuple(found) or None if len(found) < 2 else ((batch,) for batch in found)

    @events(PACE)
    def on_pace(self, most: int) -> None:
        """So many events take a worker some milliseconds."""
        self._most = max(1, min(LARGEST_BATCH, most))

    @events(ABORT)
    def on_abort(self) -> None:
        """Forget the scan that runs: what comes is refused until the streams begin anew."""
        self._skips = self._feed is not None and self._feed.is_recorded
        self._forget()

    @events(SCANS)
    def on_scans(self) -> dict[str, Any]:
        """Whether a scan is ``armed`` or runs, which streams it waits for to begin, and what was seen of its frames."""
        feed = self._feed
        begun, counts = (feed.started, feed.counts) if feed is not None else ({}, Counts())
        waits_for = [stream for stream in self._streams if stream not in begun]
        state = ScanState.ARMED if feed is None or waits_for else ScanState.RUNNING
        frames = {**counts.of_frames(), "refused": self.refused - self._told}
        return {"state": state.value, "waits_for": waits_for, "frames": frames}

    @events(BEGUN)
    def on_begun(self, scan_id: str, who: str) -> int | None:
        """A reducer has begun with a scan. If another one had, its share is gone: the scan is given up.

        Returns:
            How many events the scan had until then if it is given up, else None.
        """
        for known in (self._reducers, self._lengths):
            while len(known) > _MOST_REMEMBERED:
                del known[next(iter(known))]
        if self._reducers.setdefault(scan_id, who) == who:
            return None
        feed = self._feed
        if feed is None or feed.scan_id != scan_id:
            return self._lengths.get(scan_id, 0)
        self.on_abort()
        return feed.events

    def cleanup(self) -> None:
        self._forget()
        self._exhausted.clear()

    def _forget(self) -> None:
        self._feed = self._held = None
        self._ahead, self._waiting = [], []

    def _close(self) -> list[Batch]:
        """What is left of a scan that is over; then go on with what has come of the next one."""
        assert self._feed is not None
        self._feed.refused, self._told = self.refused - self._told, self.refused
        found = self._waiting + self._feed.batches(self._packed, self._most)
        self._waiting = []
        self._lengths[self._feed.scan_id] = self._feed.events
        self._feed = None
        self._interval = None
        ahead, self._ahead = self._ahead, []
        for one in ahead:
            self._take_frame(one) if isinstance(one, StreamFrame) else self._end_stream(one)
        return found

    # --- what comes in

    def _take_recorded(self, event: EventData) -> None:
        begins = event.event_number == 0 and self._feed is not None
        if self._held is not None or begins:
            self._end_recorded("" if self._held is not None else "another scan began before its end")
            self._waiting = self._close()
        if self._feed is None:
            if self._skips and event.event_number > 0:
                self.refused += 1
                return
            self._skips = False
            self._feed = self._new_feed(None)
        if event.event_number > 0 and _are_ends(event):
            self._held = event  # what comes with it may say how the scan ended
        else:
            self._feed.recorded(event)

    def _take_block(self, block: EventBlock) -> None:
        if self._feed is None or self._held is not None or not self._feed.recorded_block(block):
            for event in block.read(0):
                self._take_recorded(event)

    def _end_recorded(self, problem: str) -> None:
        held, self._held = self._held, None
        self._skips = False
        if self._feed is None:
            return
        if held is not None:
            self._feed.recorded(held, is_last=True)
        self._feed.close(problem)

    def _take_frame(self, one: StreamFrame) -> None:
        stream, data = one
        feed = self._feed
        if stream not in self._streams:
            self.refused += 1
            return
        try:
            protocol = protocol_of(data.typ)
            place, number = protocol.glance(data) if protocol is not None else (Place.FRAME, None)
            where = self._where(stream, data, number) if place is Place.FRAME else None
        except Exception as error:
            self.logger.warning("stream %s: %s", stream, error)
            if feed is not None:
                feed.malformed(stream, self._keys.get(stream) == "count")
            else:
                self.refused += 1
            return
        if feed is None:
            if place is not Place.START:
                self.refused += 1  # of a scan that nobody saw begin
                return
            feed = self._feed = self._new_feed(self._aligner())
            for gone in self._exhausted - {stream}:
                feed.end(gone, None, _ended_before(gone))
        if stream in feed.ended or (place is Place.START and stream in feed.started):
            if stream not in feed.ended:
                feed.end(stream, None)  # its source has begun anew
            self._keep(one)
        elif place is Place.START:
            feed.start(stream, data)
        elif place is Place.END:
            feed.end(stream, data)
        else:
            feed.frame(stream, data, where, monotonic())

    def _end_stream(self, end: ScanEnd) -> None:
        """Nothing further comes of a stream: a scan that it has not ended does without the rest of it."""
        stream, feed = end.stream, self._feed
        if stream not in self._streams:
            return
        if feed is not None and stream in feed.ended and any(one.stream == stream for one in self._ahead):
            self._keep(end)
            return
        self._exhausted.add(stream)
        if feed is not None and stream not in feed.ended:
            feed.end(stream, None, end.problem or _ended_before(stream))

    def _keep(self, one: StreamFrame | ScanEnd) -> None:
        """Keep what belongs to the next scan, until this one is over."""
        if len(self._ahead) < _MOST_AHEAD:
            self._ahead.append(one)
        else:
            self.refused += 1

    def _where(self, stream: str, data: StreamData, number: int | None) -> Any:
        if self._stamp is not None:
            return self._stamp(data)
        key = self._keys.get(stream, "number")
        if callable(key):
            return key(data)
        if key == "count":
            return None
        if number is None:
            raise PipertError(
                f'a frame of protocol {data.typ!r} says no number: align by key={{{stream!r}: "count"}} or a function'
            )
        return number

    def _aligner(self) -> Aligner | TimeAligner:
        if self._stamp is not None:
            return TimeAligner(self._streams, self._tolerance, missing=self._missing, limit=self._limit)
        assert self._plan is not None
        return Aligner(self._plan, missing=self._missing, slack=self._slack, limit=self._limit)

    def _new_feed(self, aligner: Aligner | TimeAligner | None) -> Feed:
        scan_id = uuid.uuid4().hex

        def call(share: Share, opening: Share | None, tags: frozenset[str]) -> tuple[Made, ...]:
            return self._call(scan_id, share, opening, tags)

        return Feed(scan_id, self._streams, aligner, lanes=self._lanes, call=call, tick=self._ticks, limit=self._limit)

    # --- workers

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Let other parameters hold from the next event on.

        Raises:
            ParameterError: a value does not fit.
        """
        self._values = self._values.changed(values)
        self._packed = pickle.dumps(self._values, 5)

    def _call(self, scan_id: str, share: Share, opening: Share | None, tags: frozenset[str]) -> tuple[Made, ...]:
        """Give an event to all workers that have these tags, and wait for what they make of it."""
        lanes = [lane for lane in self._lanes if tags <= lane.tags]
        found = []
        for made, interval in call_workers(
            self, lanes, scan_id=scan_id, share=share, opening=opening, parameters=self._packed
        ):
            found.append(made)
            if interval is not None and self._interval is None:
                self._interval, self._tick_due = float(interval), monotonic()
        return tuple(found)

    def _ticks(self) -> bool:
        """Whether it is time for a tick: one event of all is marked with it."""
        if self._interval is None or monotonic() < self._tick_due:
            return False
        self._tick_due = monotonic() + self._interval
        return True


def _ended_before(stream: str) -> str:
    return f"stream {stream!r} had ended before"


class ToLane(MiddleRoutine):
    """Passes on what is for one lane: between :class:`Align` and workers of one kind, where there are several."""

    def __init__(self, lane: Lane, name: str | None = None) -> None:
        super().__init__(name if name is not None else f"to-{lane.flow}")
        self._lane = lane.flow

    def main_logic(self, batches: tuple[Batch, ...]) -> tuple[Batch, ...] | None:
        return tuple(batch for batch in batches if batch.lane == self._lane) or None


def _check(plan: Plan, streams: Sequence[str], lanes: Sequence[Lane], limit: int) -> None:
    unknown = sorted(set(plan.streams) - set(streams))
    if unknown:
        raise PlanError([f"it names streams that there are not: {', '.join(map(repr, unknown))}"])
    plan.refuse([lane.tags for lane in lanes] or [frozenset()])
    if plan.largest_group > limit:
        raise PlanError(
            [f"a group reaches over {plan.largest_group} events: at most {limit} are held together (limit=...)"]
        )


def _are_ends(event: EventData) -> bool:
    """Whether all that it has are end messages, which have no more than one part."""
    for data in event.streams.values():
        protocol = protocol_of(data.typ)
        if protocol is None or len(data.frames) > 1:
            return False
        try:
            if protocol.glance(data)[0] is not Place.END:
                return False
        except PipertError:
            return False
    return bool(event.streams)
