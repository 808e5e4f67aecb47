"""The routine that aligns: scans begin and end with their streams' messages, whatever comes in between."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipert2 import PipertError
from pipert2.patterns.events.align import Align
from pipert2.patterns.events.batch import Batch, Lane, ScanEnd, unpack_event
from pipert2.patterns.events.plan import ANY, Plan, PlanError, group, tagged
from pipert2.patterns.events.settled import Outcome
from pipert2.patterns.streams.stins import StinsData, StinsEnd, StinsStart, parse
from pipert2.patterns.streams.stream_data import EventData, StreamData, StreamFrame

START, END = StinsStart("").to_stream_data(), StinsEnd().to_stream_data()


def frame(number: int) -> StreamData:
    return StinsData.of(np.full(2, number % 100, np.uint8), frame=number, time=number / 10).to_stream_data()


def seen(batches: list[Batch]) -> dict[str, dict[int, dict[str, int]]]:
    """By scan and event, the frames that workers get."""
    found: dict[str, dict[int, dict[str, int]]] = {}
    for batch in batches:
        events = found.setdefault(batch.scan_id, {})
        for share in batch.shares:
            parsed = {stream: parse(data) for stream, data in unpack_event(share).streams.items()}
            events[share.number] = {stream: one.frame for stream, one in parsed.items() if isinstance(one, StinsData)}
    return found


def run(align: Align, messages: list[Any]) -> list[Batch]:
    found = []
    for message in messages:
        made = align.main_logic(message) or ()
        found += made if isinstance(made, tuple) else [batch for batches in made for batch in batches]
    return found


def test_two_scans_in_a_row_have_ids_of_their_own() -> None:
    messages = [START, frame(0), END, START, frame(0), frame(1), END]
    found = seen(run(Align(["a"]), [StreamFrame("a", message) for message in messages]))
    assert list(found.values()) == [{1: {"a": 0}}, {1: {"a": 0}, 2: {"a": 1}}]


def test_a_stream_that_is_ahead_waits_with_its_next_scan() -> None:
    ahead = [StreamFrame("a", one) for one in (START, frame(0), END, START, frame(0), END)]
    behind = [StreamFrame("b", one) for one in (START, frame(0), END, START, frame(0), END)]
    found = seen(run(Align(["a", "b"]), ahead + behind))
    assert list(found.values()) == [{1: {"a": 0, "b": 0}}] * 2


def test_a_stream_that_begins_anew_has_ended_the_one_before() -> None:
    messages = [START, frame(0), START, frame(0), END]
    found = seen(run(Align(["a"]), [StreamFrame("a", message) for message in messages]))
    assert list(found.values()) == [{1: {"a": 0}}, {1: {"a": 0}}]


def test_what_belongs_to_no_scan_is_refused_and_counted() -> None:
    align = Align(["a"])
    broken = StreamData("STINS", [b"{"])
    assert run(align, [StreamFrame("a", frame(0)), StreamFrame("b", START), StreamFrame("a", broken)]) == []
    assert align.refused == 3


def test_streams_meet_by_time_stamps() -> None:
    def time(data: StreamData) -> float:
        message = parse(data)
        assert isinstance(message, StinsData)
        return float(message.header["time"])

    align = Align(["a", "b"], stamp=time, tolerance=0.01)
    messages = [StreamFrame(stream, START) for stream in "ab"]
    messages += [StreamFrame("a", frame(number)) for number in (0, 1, 2)]
    messages += [StreamFrame("b", frame(number)) for number in (0, 2)]
    batches = run(align, [*messages, StreamFrame("a", END), StreamFrame("b", END)])
    (found,) = seen(batches).values()
    assert found == {1: {"a": 0, "b": 0}, 3: {"a": 2, "b": 2}}
    assert [note for batch in batches for note in batch.notes] == [(2, Outcome.LOST)]


def test_events_are_waited_for_no_longer_than_told() -> None:
    messages = [
        StreamFrame("a", START),
        StreamFrame("b", START),
        StreamFrame("a", frame(0)),
        StreamFrame("b", frame(0)),
    ]
    (impatient,) = seen(run(Align(["a", "b"], missing="partial", patience=0.0), messages)).values()
    (patient,) = seen(run(Align(["a", "b"], missing="partial", patience=1000.0), messages)).values()
    assert (impatient, patient) == ({1: {"a": 0}}, {1: {"a": 0, "b": 0}})


def test_events_of_time_stamps_are_waited_for_no_longer_than_told_either() -> None:
    messages = [
        StreamFrame("a", START),
        StreamFrame("b", START),
        StreamFrame("a", frame(0)),
        StreamFrame("a", frame(1)),
    ]
    align = Align(["a", "b"], stamp=lambda data: parse(data).header["time"], missing="partial", patience=0.0)
    assert list(seen(run(align, messages)).values()) == [{1: {"a": 0}, 2: {"a": 1}}]


def test_it_says_which_streams_it_waits_for_until_all_have_begun() -> None:
    align = Align(["a", "b"])
    told = [align.on_scans()]
    for message in (StreamFrame("b", START), StreamFrame("a", START), StreamFrame("a", frame(0))):
        run(align, [message])
        told.append(align.on_scans())
    assert [(one["state"], one["waits_for"], one["frames"]["frames"]) for one in told] == [
        ("armed", ["a", "b"], 0),
        ("armed", ["a"], 0),
        ("running", [], 0),
        ("running", [], 1),
    ]


def test_frames_without_a_number_need_another_key() -> None:
    plain = StreamData("other", [b"1"])
    align = Align(["a"], key=lambda data: int(bytes(data.frames[0])))
    batches = run(align, [[StreamFrame("a", START), StreamFrame("a", plain), StreamFrame("a", END)]])
    assert [share.number for batch in batches for share in batch.shares] == [2]
    align = Align(["a"])
    run(align, [[StreamFrame("a", START), StreamFrame("a", plain)]])
    assert align._feed is not None
    assert align._feed.counts.malformed == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"plan": Plan({"main": {"a": [tagged("debug")]}}), "lanes": [Lane("workers", "work")]}, "'debug'"),
        ({"plan": Plan.every({"a": 1}), "streams": ["b"]}, "'a'"),
        ({"plan": Plan({"main": {"a": [group(0), *[ANY] * 50, group(0)]}}), "limit": 20}, "52 events"),
        ({"streams": ["a"], "key": "frame"}, "key"),
        ({"streams": ["a"], "plan": Plan.every({"a": 1}), "stamp": float}, "time stamps"),
        ({"streams": ["a"], "missing": "some"}, "some"),
        ({"streams": ["a"], "patience": -1.0}, "patience"),
    ],
)
def test_what_cannot_be_carried_out_is_refused(arguments: Any, problem: str) -> None:
    with pytest.raises((PlanError, ValueError), match=problem):
        Align(**arguments)


def test_what_it_does_not_know_is_refused() -> None:
    with pytest.raises(PipertError, match="StreamFrame"):
        Align(["a"]).main_logic("frame")


MESSAGES = st.one_of(
    st.builds(StreamFrame, st.sampled_from("abc"), st.sampled_from([START, END])),
    st.builds(StreamFrame, st.sampled_from("ab"), st.integers(0, 20).map(frame)),
    st.builds(
        StreamFrame,
        st.sampled_from("ab"),
        st.lists(st.binary(max_size=20), max_size=3).map(lambda parts: StreamData("STINS", parts)),
    ),
    st.builds(ScanEnd, st.sampled_from(["", "damaged"])),
)
RECORDED = st.builds(
    EventData, st.integers(0, 12), st.dictionaries(st.sampled_from("ab"), st.sampled_from([START, END, frame(1)]))
)


@settings(max_examples=300, deadline=None)
@given(st.lists(MESSAGES, max_size=40) | st.lists(RECORDED, max_size=30), st.sampled_from(["drop", "partial"]))
def test_whatever_comes_no_wrong_pair_leaves_and_each_scan_adds_up(messages: list[Any], missing: str) -> None:
    align = Align(["a", "b"], missing=missing, slack=3, limit=8)
    batches = run(align, [*messages, *[ScanEnd()] * (len(messages) + 1)])  # what came of later scans begins at an end
    by_scan: dict[str, list[Batch]] = {}
    for batch in batches:
        by_scan.setdefault(batch.scan_id, []).append(batch)
    if not any(isinstance(one, EventData) for one in messages):
        for events in seen(batches).values():
            for number, frames in events.items():
                assert set(frames.values()) == {number - 1}
    for scan in by_scan.values():
        assert [batch.number for batch in scan] == list(range(len(scan)))
        closing = scan[-1].closing
        assert closing is not None
        assert closing.batches == len(scan)
        assert all(batch.closing is None for batch in scan[:-1])
        events = {share.number for batch in scan for share in batch.shares}
        notes = [number for batch in scan for number, outcome in batch.notes if outcome is not Outcome.LATE]
        everyone = {number for batch in scan for number, _ in batch.broadcast}
        last = {batch.last.number for batch in scan if batch.last is not None}
        settled = [*events, *notes, *everyone, *last]
        assert len(settled) == len(set(settled)) == closing.events


def test_a_stream_whose_frames_say_no_number_is_counted_if_that_is_said() -> None:
    silent = [StreamFrame("b", StreamData("other", [bytes([number])])) for number in range(2)]
    spoken = [StreamFrame("a", one) for one in (START, frame(1), frame(0), END)]
    align = Align(["a", "b"], key={"b": "count"})
    found: dict[int, dict[str, int]] = {}
    for batch in run(align, [spoken[0], *silent, *spoken[1:], StreamFrame("b", END)]):
        for share in batch.shares:
            event = unpack_event(share)
            found[event.event_number] = {"a": parse(event["a"]).frame, "b": event["b"].frames[0][0]}  # type: ignore[union-attr]
    assert found == {1: {"a": 0, "b": 0}, 2: {"a": 1, "b": 1}}


@pytest.mark.parametrize("key", ["index", {"a": "index"}, {"c": "count"}, None])
def test_a_key_that_makes_no_sense_is_refused(key: Any) -> None:
    with pytest.raises(ValueError, match="Align"):
        Align(["a", "b"], key=key)


def test_batches_become_smaller_and_larger_as_workers_say() -> None:
    align = Align(["a"])
    run(align, [StreamFrame("a", START)])
    sizes = []
    for at, most in enumerate((64, 10, 1, 0, 1000)):
        align.on_pace(most)
        frames = [StreamFrame("a", frame(20 * at + number)) for number in range(20)]
        sizes.append({len(batch.shares) for batch in run(align, [frames])})
    assert sizes == [{20}, {10}, {1}, {1}, {20}]
