"""A scan's streams become batches: its start and end for everyone, what belongs together for one worker."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipert2.patterns.events.aligner import Aligner
from pipert2.patterns.events.batch import Batch, Lane, Made, Share, divided, unpack_event
from pipert2.patterns.events.feed import Feed
from pipert2.patterns.events.plan import ANY, DISCARD, Plan, group, tagged
from pipert2.patterns.events.settled import Missing, Outcome
from pipert2.patterns.streams.stins import StinsData, StinsEnd, StinsStart, parse
from pipert2.patterns.streams.stream_data import EventData

LANES = [Lane("workers", "work"), Lane("debug-workers", "debug-work", frozenset({"debug"}))]


class Desk:
    """Feeds a scan and keeps what comes of it."""

    def __init__(self, streams: Any, plan: Plan | None, **options: Any) -> None:
        self.called: list[tuple[int, frozenset[str]]] = []
        self.batches: list[Batch] = []
        aligner = Aligner(plan, **options) if plan is not None else None
        self.feed = Feed("scan", streams, aligner, lanes=LANES, call=self.call)

    def call(self, share: Share, opening: Share | None, tags: frozenset[str]) -> tuple[Made, ...]:
        self.called.append((share.number, tags))
        return ()

    def start(self, *streams: str) -> None:
        for stream in streams:
            self.feed.start(stream, StinsStart(f"{stream}.h5").to_stream_data())
        self.look()

    def frame(self, stream: str, number: int) -> None:
        message = StinsData.of(np.full((2, 2), number, np.uint8), frame=number)
        self.feed.frame(stream, message.to_stream_data(), number)
        self.look()

    def end(self, *streams: str) -> None:
        for stream in streams:
            self.feed.end(stream, StinsEnd().to_stream_data())
        self.look()

    def look(self) -> None:
        self.batches += self.feed.batches(b"p")

    @property
    def shares(self) -> dict[int, dict[str, int]]:
        """The frames of each event that a worker gets."""
        found: dict[int, dict[str, int]] = {}
        for batch in self.batches:
            for share in batch.shares:
                for stream, data in unpack_event(share).streams.items():
                    message = parse(data)
                    assert isinstance(message, StinsData)
                    found.setdefault(share.number, {})[stream] = message.frame
        return found

    @property
    def notes(self) -> list[tuple[int, Outcome]]:
        return [note for batch in self.batches for note in batch.notes]


def test_start_and_end_go_to_everyone_and_close_the_accounts() -> None:
    desk = Desk(["a", "b"], Plan.every({"a": 1, "b": 1}))
    desk.frame("a", 0)
    assert desk.batches == []
    desk.start("a", "b")
    desk.frame("b", 0)
    desk.end("a", "b")
    assert desk.called == [(0, frozenset())]
    assert desk.shares == {1: {"a": 0, "b": 0}}
    last = desk.batches[-1]
    assert last.closing is not None
    assert (last.closing.events, last.closing.batches) == (3, len(desk.batches))
    assert last.last is not None
    assert (last.last.number, sorted(unpack_event(last.last).streams)) == (2, ["a", "b"])
    assert [batch.number for batch in desk.batches] == list(range(len(desk.batches)))


def test_a_sparse_stream_is_there_in_every_fourth_event() -> None:
    desk = Desk(["xrd", "aux"], Plan.every({"xrd": 1, "aux": 4}, events=8))
    desk.start("xrd", "aux")
    for number in range(8):
        desk.frame("xrd", number)
        if number < 2:
            desk.frame("aux", number)
    desk.end("xrd", "aux")
    assert desk.shares == {
        number: {"xrd": number - 1} | ({"aux": number // 4 - 1} if number % 4 == 0 else {}) for number in range(1, 9)
    }
    assert desk.batches[-1].last is not None
    assert desk.batches[-1].last.number == 9


def test_discarded_events_reach_nobody_and_are_counted() -> None:
    desk = Desk(["xrd"], Plan({"main": {"xrd": [DISCARD if 4 <= at <= 7 else ANY for at in range(1, 9)]}}))
    desk.start("xrd")
    for number in range(8):
        desk.frame("xrd", number)
    desk.end("xrd")
    assert desk.shares == {1: {"xrd": 0}, 2: {"xrd": 1}, 3: {"xrd": 2}, 8: {"xrd": 7}}
    assert desk.notes == [(number, Outcome.DISCARDED) for number in range(4, 8)]


@pytest.mark.parametrize("missing", list(Missing))
def test_a_lost_frame_costs_its_event_and_pairs_nothing_wrongly(missing: Missing) -> None:
    desk = Desk(["a", "b"], Plan.every({"a": 1, "b": 1}, events=6), missing=missing)
    desk.start("a", "b")
    for number in range(6):
        desk.frame("a", number)
        if number != 2:
            desk.frame("b", number)
    desk.end("a", "b")
    complete = {number: {"a": number - 1, "b": number - 1} for number in (1, 2, 4, 5, 6)}
    if missing is Missing.PARTIAL:
        assert desk.shares == complete | {3: {"a": 2}}
    else:
        assert desk.shares == complete
        assert desk.notes == [(3, Outcome.LOST)]


def test_frames_of_a_group_travel_in_one_batch() -> None:
    desk = Desk(["a"], Plan({"main": {"a": [group(at % 2) for at in range(4)]}}, ["main", "main"]))
    desk.start("a")
    for number in range(8):
        desk.frame("a", number)
    groups = [sorted(share.number for share in batch.shares) for batch in desk.batches if batch.shares]
    assert groups == [[1, 3], [2, 4], [5, 7], [6, 8]]


def test_tags_choose_the_lane_and_an_event_may_go_to_several() -> None:
    both = (*(ANY or ()), *(tagged("debug") or ()))
    desk = Desk(["a", "b"], Plan({"main": {"a": [ANY, both], "b": [ANY, ANY]}}))
    desk.start("a", "b")
    for number in range(2):
        desk.frame("a", number)
        desk.frame("b", number)
    found = [
        (batch.lane, share.number, share.copies, [stream for stream, _, _ in share.streams])
        for batch in desk.batches
        for share in batch.shares
    ]
    assert found == [
        ("workers", 1, 1, ["a", "b"]),
        ("workers", 2, 2, ["a", "b"]),
        ("debug-workers", 2, 2, ["a"]),
    ]


def test_an_event_for_everyone_is_a_call() -> None:
    desk = Desk(["a"], Plan({"main": {"a": [ANY, tagged("debug", everyone=True)]}}))
    desk.start("a")
    desk.frame("a", 0)
    desk.frame("a", 1)
    assert desk.called == [(0, frozenset()), (2, frozenset({"debug"}))]


def test_recorded_events_keep_their_numbers_and_gaps_are_lost() -> None:
    desk = Desk([], None)
    for number in (0, 1, 4, 3, 5):
        message = StinsData.of([number], frame=number).to_stream_data()
        desk.feed.recorded(EventData(number, {"a": message}), is_last=number == 5)
        desk.look()
    desk.feed.close()
    desk.look()
    assert desk.called == [(0, frozenset())]
    assert sorted(desk.shares) == [1, 4]
    assert desk.notes == [(2, Outcome.LOST), (3, Outcome.LOST)]
    assert desk.feed.counts.duplicate == 1
    closing = desk.batches[-1].closing
    assert closing is not None
    assert closing.events == 6


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 40) | st.just(2**60), max_size=40))
def test_whatever_recorded_numbers_come_the_accounts_add_up(numbers: list[int]) -> None:
    desk = Desk([], None)
    for number in numbers:
        desk.feed.recorded(EventData(number, {"a": StinsData.of([0], frame=0).to_stream_data()}))
        desk.look()
    desk.feed.close()
    desk.look()
    closing = desk.batches[-1].closing if desk.batches else None
    events = closing.events if closing is not None else 0
    assert len(desk.called) + len(desk.shares) + len(desk.notes) == events


def test_batches_are_as_large_as_they_are_to_be_and_groups_stay_whole() -> None:
    cells = [ANY if at % 10 < 7 else group(at // 10) for at in range(20)]
    desk = Desk(["a"], Plan({"main": {"a": cells}}))
    desk.feed.start("a", StinsStart("a.h5").to_stream_data())
    for number in range(20):
        message = StinsData.of(np.full((2, 2), number, np.uint8), frame=number)
        desk.feed.frame("a", message.to_stream_data(), number)
    desk.feed.end("a", StinsEnd().to_stream_data())
    batches = desk.feed.batches(b"p", 4)
    found = [[share.number for share in batch.shares] for batch in batches]
    assert found == [[1, 2, 3, 4], [5, 6, 7, 11], [12, 13, 14, 15], [16, 17], [8, 9, 10], [18, 19, 20]]
    assert batches[0].closing is not None
    assert batches[0].closing.batches == 6


def test_a_batch_has_no_more_large_frames_than_little_memory_holds() -> None:
    large = np.zeros(3 << 20, np.uint8)
    shares = [Share(number, 1, (("a", "x", (b"head", large)),)) for number in range(7)]
    found = list(divided(shares, most=64, largest=8 << 20))
    assert [[share.number for share in one] for one in found] == [[0, 1], [2, 3], [4, 5], [6]]
    assert [len(one) for one in divided(shares, most=64, largest=1 << 20)] == [1] * 7
    assert [len(one) for one in divided(shares, most=1)] == [1] * 7
