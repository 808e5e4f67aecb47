"""Recorded events of several files are put together by number, none of them lost or put in twice."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipert2.patterns.events.merge import SLACK, MergeCounts, merged
from pipert2.patterns.streams.stream_data import EventData, StreamData


def file(stream: str, numbers: Any) -> list[EventData]:
    return [EventData(number, {stream: StreamData("x", [f"{stream}{number}".encode()])}) for number in numbers]


def numbers(found: list[tuple[int, EventData]]) -> list[tuple[int, int, list[str]]]:
    return [(scan, event.event_number, sorted(event.streams)) for scan, event in found]


def test_the_longer_file_goes_on_alone() -> None:
    found = numbers(list(merged([file("a", range(6)), file("b", range(3))], MergeCounts())))
    assert found == [(0, n, ["a", "b"] if n < 3 else ["a"]) for n in range(6)]


def test_scans_in_one_file_are_told_apart_and_meet_those_of_the_other() -> None:
    a = file("a", [0, 1, 2, 0, 1])
    b = file("b", [0, 2, 0, 1, 2])
    assert numbers(list(merged([a, b], MergeCounts()))) == [
        (0, 0, ["a", "b"]),
        (0, 1, ["a"]),
        (0, 2, ["a", "b"]),
        (1, 0, ["a", "b"]),
        (1, 1, ["a", "b"]),
        (1, 2, ["b"]),
    ]


def test_an_event_too_far_from_its_place_is_counted() -> None:
    counts = MergeCounts()
    found = list(merged([file("a", [*range(10), *range(11, 200), 10])], counts))
    assert len(found) == 199
    assert counts.out_of_order == 1


def test_what_was_given_is_not_changed_by_what_is_put_together() -> None:
    a, b = file("a", [0, 1]), file("b", [0, 1])
    assert len(list(merged([a, b], MergeCounts()))) == 2
    assert (a, b) == (file("a", [0, 1]), file("b", [0, 1]))


def test_the_second_of_a_stream_in_one_event_is_counted() -> None:
    counts = MergeCounts()
    found = list(merged([file("a", [0, 1]), file("a", [0, 1])], counts))
    assert len(found) == 2
    assert counts.duplicate == 2


@given(st.lists(st.lists(st.integers(1, 30), unique=True).map(lambda rest: [0, *rest]), min_size=1, max_size=3))
def test_events_come_in_order_each_once_with_all_streams(orders: list[list[int]]) -> None:
    counts = MergeCounts()
    files = [file(name, order) for name, order in zip("abc", orders, strict=False)]
    found = numbers(list(merged(files, counts)))
    assert max(map(len, orders)) <= SLACK
    assert found == [
        (0, number, [name for name, order in zip("abc", orders, strict=False) if number in order])
        for number in sorted(set().union(*orders))
    ]
    assert (counts.duplicate, counts.out_of_order) == (0, 0)
