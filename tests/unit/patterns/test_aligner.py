"""Frames of several streams meet if they belong together, never otherwise, and each of them is counted."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipert2.patterns.events.aligner import FARTHEST, Aligner
from pipert2.patterns.events.plan import ANY, DISCARD, Plan
from pipert2.patterns.events.settled import Missing, Outcome, Settled
from pipert2.patterns.events.time_aligner import TimeAligner

TWO = Plan.every({"a": 1, "b": 1}, events=6)


def numbers(settled: list[Settled], *outcomes: Outcome) -> list[int]:
    return sorted(one.number for one in settled if one.outcome in (outcomes or (Outcome.COMPLETE,)))


@pytest.mark.parametrize("missing", list(Missing))
def test_a_frame_lost_in_one_stream_costs_its_event_only(missing: Missing) -> None:
    aligner = Aligner(TWO, missing=missing, slack=1)
    settled = []
    for index in range(6):
        settled += aligner.take("a", index, index)
        if index != 2:
            settled += aligner.take("b", index, index)
    settled += aligner.finish()
    assert numbers(settled) == [1, 2, 4, 5, 6]
    assert all(set(one.frames.values()) == {one.number - 1} for one in settled if one.frames)
    if missing is Missing.DROP:
        assert numbers(settled, Outcome.LOST) == [3]
        assert aligner.counts.lost == 1
    else:
        assert [one.frames for one in settled if one.outcome is Outcome.PARTIAL] == [{"a": 2}]
    assert aligner.counts.events == 6


def test_counted_streams_meet_in_the_order_of_their_frames() -> None:
    aligner = Aligner(TWO)
    assert aligner.take("b", "b0") + aligner.take("b", "b1") == []
    assert aligner.take("a", "a0") == [Settled(1, Outcome.COMPLETE, {"b": "b0", "a": "a0"})]
    assert aligner.take("a", "a1") == [Settled(2, Outcome.COMPLETE, {"b": "b1", "a": "a1"})]


def test_a_malformed_frame_does_not_move_the_counted_ones_behind_it() -> None:
    aligner = Aligner(TWO)
    settled = []
    for index in range(6):
        settled += aligner.take("a", index)
        settled += aligner.malformed("b") if index == 2 else aligner.take("b", index)
    assert numbers(settled) == [1, 2, 4, 5, 6]
    assert all(len(set(one.frames.values())) == 1 for one in settled if one.frames)
    assert numbers(settled, Outcome.LOST) == [3]
    assert (aligner.counts.malformed, aligner.counts.lost) == (1, 1)


def test_frames_swapped_on_the_way_go_where_they_belong() -> None:
    aligner = Aligner(Plan.every({"a": 1}, events=6))
    settled = []
    for index in (0, 1, 3, 2, 5, 4):
        settled += aligner.take("a", index, index)
    assert [(one.number, one.frames["a"]) for one in settled] == [(1, 0), (2, 1), (4, 3), (3, 2), (6, 5), (5, 4)]
    assert aligner.counts.complete == aligner.counts.events == 6


def test_a_sparse_stream_joins_where_it_is_planned() -> None:
    aligner = Aligner(Plan.every({"xrd": 1, "aux": 4}, events=8))
    settled = [one for index in range(2) for one in aligner.take("aux", index)]
    for index in range(8):
        settled += aligner.take("xrd", index)
    assert {one.number: dict(one.frames) for one in settled} == {
        number: {"xrd": number - 1} | ({"aux": number // 4 - 1} if number % 4 == 0 else {}) for number in range(1, 9)
    }


def test_discarded_frames_are_taken_and_counted_and_go_nowhere() -> None:
    aligner = Aligner(Plan({"main": {"a": [DISCARD if 4 <= event <= 7 else ANY for event in range(1, 10)]}}))
    settled = [one for index in range(9) for one in aligner.take("a", index)]
    kept = [(one.number, one.frames["a"]) for one in settled if one.frames]
    assert kept == [(1, 0), (2, 1), (3, 2), (8, 7), (9, 8)]
    assert aligner.counts.discarded == 4


def test_frames_beyond_the_plan_are_surplus() -> None:
    aligner = Aligner(Plan.every({"a": 1}, events=2))
    settled = [one for index in range(5) for one in aligner.take("a", index)]
    assert numbers(settled) == [1, 2]
    assert aligner.counts.surplus == 3


def test_the_second_of_a_number_is_a_duplicate() -> None:
    aligner = Aligner(TWO)
    assert aligner.take("a", "first", 0) + aligner.take("a", "second", 0) == []
    assert aligner.take("b", "b", 0) == [Settled(1, Outcome.COMPLETE, {"a": "first", "b": "b"})]
    assert aligner.take("b", "again", 0) == []
    assert aligner.counts.duplicate == 2


def test_a_frame_of_a_lost_event_is_late_and_so_is_its_event() -> None:
    aligner = Aligner(TWO, slack=0)
    for index in (0, 1):
        aligner.take("a", index, index)
    aligner.take("b", 1, 1)
    assert aligner.counts.lost == 1
    assert aligner.take("b", 0, 0) == [Settled(1, Outcome.LATE, {})]
    assert aligner.take("b", 0, 0) == []
    counts = aligner.counts
    assert (counts.lost, counts.late_events, counts.late, counts.duplicate) == (0, 1, 1, 1)


def test_a_stream_that_ends_early_is_waited_for_no_longer() -> None:
    aligner = Aligner(TWO)
    for index in range(4):
        aligner.take("a", index)
    aligner.take("b", 0)
    assert numbers(aligner.end("b"), Outcome.LOST) == [2, 3, 4]
    assert numbers(aligner.take("a", 4), Outcome.LOST) == [5]


def test_what_is_planned_and_never_comes_is_lost_at_the_end() -> None:
    aligner = Aligner(Plan.every({"a": 1}, events=12))
    for index in range(8):
        aligner.take("a", index)
    assert aligner.finish() == []
    assert (aligner.counts.complete, aligner.counts.lost, aligner.counts.events) == (8, 4, 12)


def test_a_stream_far_behind_does_not_hold_more_than_the_limit() -> None:
    aligner = Aligner(Plan.every({"a": 1, "b": 1}), limit=10)
    settled: list[Settled] = []
    for index in range(1000):
        settled += aligner.take("a", index)
        assert aligner.open <= 10
    assert len(settled) == 990
    assert aligner.counts.overflow == 990


def test_an_event_open_for_too_long_is_settled_with_those_ahead_of_it() -> None:
    aligner = Aligner(TWO, missing=Missing.PARTIAL)
    aligner.take("a", 0, 0, now=1.0)
    aligner.take("a", 1, 1, now=2.0)
    aligner.take("a", 3, 3, now=3.0)
    assert aligner.expire(0.5) == []
    assert [(one.number, one.outcome) for one in aligner.expire(2.0)] == [(1, Outcome.PARTIAL), (2, Outcome.PARTIAL)]
    assert [(one.number, one.outcome) for one in aligner.expire(3.0)] == [(3, Outcome.LOST), (4, Outcome.PARTIAL)]


def test_an_impossible_number_is_malformed_and_changes_nothing() -> None:
    aligner = Aligner(Plan.every({"a": 1}))
    assert aligner.take("a", "x", FARTHEST + 10) + aligner.take("a", "x", -1) == []
    assert aligner.take("nobody", "x") == []
    assert numbers(aligner.take("a", "x", 0)) == [1]
    assert (aligner.counts.malformed, aligner.counts.surplus) == (2, 1)


STREAMS = ("a", "b", "c")
FATES = st.sampled_from(["ok", "ok", "ok", "ok", "lost", "twice", "swapped"])


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_only_frames_of_one_number_meet_and_every_event_is_counted_once(data: Any) -> None:
    strides = {stream: data.draw(st.integers(1, 3)) for stream in STREAMS[: data.draw(st.integers(1, 3))]}
    length = data.draw(st.integers(0, 25))
    missing = data.draw(st.sampled_from(Missing))
    slack, limit = data.draw(st.integers(0, 5)), data.draw(st.integers(1, 12))
    endless = data.draw(st.booleans())
    plan = Plan.every(strides, events=None if endless else length)
    wires: dict[str, list[int]] = {}
    for stream, stride in strides.items():
        wire: list[int] = []
        for index in range(length // stride + data.draw(st.integers(0, 2))):
            fate = data.draw(FATES)
            wire += [] if fate == "lost" else [index, index] if fate == "twice" else [index]
            if fate == "swapped" and len(wire) > 1:
                wire[-1], wire[-2] = wire[-2], wire[-1]
        wires[stream] = wire
    aligner = Aligner(plan, missing=missing, slack=slack, limit=limit)
    settled: list[Settled] = []
    sent = 0
    while any(wires.values()):
        stream = data.draw(st.sampled_from([name for name, wire in wires.items() if wire]))
        index = wires[stream].pop(0)
        sent += 1
        settled += aligner.take(stream, (stream, plan.event_of(stream, index)), index)
        assert aligner.open <= limit
    settled += aligner.finish()
    for one in settled:
        assert all(frame == (stream, one.number) for stream, frame in one.frames.items())
        if one.outcome is Outcome.COMPLETE:
            assert set(one.frames) == set(plan.cells(one.number))
        if one.outcome is Outcome.PARTIAL:
            assert missing is Missing.PARTIAL
            assert set(one.frames) < set(plan.cells(one.number))
    first = [one.number for one in settled if one.outcome is not Outcome.LATE]
    assert len(first) == len(set(first))
    counts = aligner.counts
    assert counts.events == aligner.front
    if not endless:
        assert counts.events == length
    assert counts.events == counts.complete + counts.partial + counts.discarded + counts.lost + counts.late_events
    used = sum(len(one.frames) for one in settled)
    dropped = counts.duplicate + counts.late + counts.malformed + counts.surplus
    assert counts.frames == sent
    assert used + dropped <= sent
    if missing is Missing.PARTIAL:
        assert used + dropped == sent


# --- by time


def test_frames_within_the_tolerance_meet() -> None:
    aligner = TimeAligner(["camera", "wheel"], 0.01)
    settled = []
    for number in range(5):
        settled += aligner.take("wheel", number, 100 + number * 0.1 + 0.004)
        settled += aligner.take("camera", number, 100 + number * 0.1)
    settled += aligner.finish()
    assert [(one.number, one.frames) for one in settled] == [
        (number + 1, {"camera": number, "wheel": number}) for number in range(5)
    ]


def test_a_frame_outside_the_tolerance_meets_nobody() -> None:
    aligner = TimeAligner(["camera", "wheel"], 0.01)
    aligner.take("wheel", "early", 0.95)
    aligner.take("wheel", "late", 1.02)
    settled = aligner.take("camera", "image", 1.0) + aligner.finish()
    assert settled == [Settled(1, Outcome.LOST, {})]
    assert aligner.counts.surplus == 2


def test_a_frame_that_is_nearer_to_the_next_event_is_left_for_it() -> None:
    aligner = TimeAligner(["camera", "wheel"], 1.0, missing=Missing.PARTIAL)
    settled = aligner.take("camera", 0, 0.0) + aligner.take("camera", 1, 1.0)
    settled += aligner.take("wheel", "w", 0.9) + aligner.finish()
    assert settled == [
        Settled(1, Outcome.PARTIAL, {"camera": 0}),
        Settled(2, Outcome.COMPLETE, {"camera": 1, "wheel": "w"}),
    ]


def test_an_event_of_a_time_is_settled_with_what_there_is_when_it_is_overdue() -> None:
    aligner = TimeAligner(["camera", "wheel", "lamp"], 0.1, missing=Missing.PARTIAL)
    settled = aligner.take("camera", 0, 0.0, now=10.0) + aligner.take("wheel", "w", 0.01, now=10.5)
    settled += aligner.take("camera", 1, 1.0, now=11.0)
    assert settled + aligner.expire(9.9) == []
    assert aligner.expire(10.0) == [Settled(1, Outcome.PARTIAL, {"camera": 0, "wheel": "w"})]
    assert aligner.take("wheel", "x", 1.0) + aligner.take("lamp", "l", 1.0) == [
        Settled(2, Outcome.COMPLETE, {"camera": 1, "wheel": "x", "lamp": "l"})
    ]


def test_stamps_that_do_not_grow_are_late_or_duplicates() -> None:
    aligner = TimeAligner(["camera"], 0.1)
    for stamp in (1.0, 1.0, 0.5, float("nan")):
        aligner.take("camera", "x", stamp)
    counts = aligner.counts
    assert (counts.complete, counts.duplicate, counts.late, counts.malformed) == (1, 1, 1, 1)


@pytest.mark.parametrize("arguments", [([], 1.0), (["a", "a"], 1.0), (["a"], -1.0), (["a"], float("nan"))])
def test_what_makes_no_sense_is_refused(arguments: Any) -> None:
    with pytest.raises(ValueError):
        TimeAligner(*arguments)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(STREAMS), st.integers(0, 60)), max_size=60),
    st.integers(0, 5),
    st.sampled_from(Missing),
    st.integers(1, 8),
)
def test_times_that_meet_are_within_the_tolerance_and_every_frame_is_counted(
    frames: list[tuple[str, int]], tolerance: int, missing: Missing, limit: int
) -> None:
    aligner = TimeAligner(STREAMS, tolerance, missing=missing, limit=limit)
    settled: list[Settled] = []
    for stream, stamp in frames:
        settled += aligner.take(stream, (stream, stamp), stamp)
        assert aligner.open <= limit * len(STREAMS)
    settled += aligner.finish()
    for one in settled:
        assert all(frame[0] == stream for stream, frame in one.frames.items())
        assert all(abs(frame[1] - one.frames["a"][1]) <= tolerance for frame in one.frames.values())
    used = Counter(frame for one in settled for frame in one.frames.values())
    assert all(count == 1 for count in used.values())
    counts = aligner.counts
    assert counts.events == counts.complete + counts.partial + counts.lost == len(settled)
    dropped = counts.duplicate + counts.late + counts.malformed + counts.surplus
    if missing is Missing.PARTIAL:
        assert sum(used.values()) + dropped == counts.frames == len(frames)
