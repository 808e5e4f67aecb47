"""Events that are passed on as they lie in a capture are those that reading it gives, whatever is in the file."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipert2 import CaptureError
from pipert2.patterns.capture.cbor import CborError
from pipert2.patterns.capture.cbors import CborsReader
from pipert2.patterns.capture.cbors_blocks import EventBlock, in_blocks
from pipert2.patterns.capture.cbors_writer import CborsWriter
from pipert2.patterns.events.batch import ScanEnd
from pipert2.patterns.events.merge import MergeCounts, merged
from pipert2.patterns.map_reduce.recorded_events import RecordedEvents
from pipert2.patterns.streams.stins import StinsData, StinsEnd, StinsStart
from pipert2.patterns.streams.stream_data import EventData, StreamData

Seen = tuple[int, dict[str, tuple[str, list[bytes]]]]


def scan(images: int, size: int = 4) -> list[EventData]:
    found = [EventData(0, {"xrd": StinsStart("").to_stream_data()})]
    for number in range(images):
        image = StinsData.of(np.full((size, size), number % 100, np.uint16), frame=number)
        found.append(EventData(number + 1, {"xrd": image.to_stream_data()}, datetime(2026, 1, 1, tzinfo=timezone.utc)))
    return [*found, EventData(images + 1, {"xrd": StinsEnd().to_stream_data()})]


def write(path: Path, events: Iterable[EventData]) -> Path:
    path.unlink(missing_ok=True)
    with CborsWriter(path) as writer:
        for event in events:
            writer.write(event)
    return path


def seen(event: EventData) -> Seen:
    return event.event_number, {
        name: (data.typ, [bytes(frame) for frame in data.frames]) for name, data in event.streams.items()
    }


def unread(items: Iterable[EventBlock | EventData]) -> list[Seen]:
    return [seen(one) for item in items for one in (item.read(0) if isinstance(item, EventBlock) else (item,))]


def blocks_of(path: Path, most: int = 64, largest: int = 1 << 20) -> list[EventBlock | EventData]:
    with CborsReader(path, views=True) as reader:
        assert reader.buffer is not None
        return list(in_blocks(reader, reader.buffer, most, largest))


def test_images_of_a_scan_are_blocks_and_its_ends_are_events(tmp_path: Path) -> None:
    path = write(tmp_path / "a.cbors", scan(300))
    found = blocks_of(path)
    assert [len(one.ends) if isinstance(one, EventBlock) else one.event_number for one in found] == [
        0,
        *(64, 64, 64, 64, 44),
        301,
    ]
    assert unread(found) == [seen(event) for event in scan(300)]


def test_a_block_takes_no_more_than_fits(tmp_path: Path) -> None:
    path = write(tmp_path / "a.cbors", scan(10, 100))
    blocks = [one for one in blocks_of(path, largest=50_000) if isinstance(one, EventBlock)]
    assert [len(one.ends) for one in blocks] == [3, 3, 3, 1]


def test_parts_of_a_block_are_blocks(tmp_path: Path) -> None:
    path = write(tmp_path / "a.cbors", scan(10))
    block = next(one for one in blocks_of(path) if isinstance(one, EventBlock))
    assert [event.event_number for event in block.read(0)] == list(range(1, 11))
    assert [event.event_number for event in block.part(2, 5).read(0)] == [3, 4, 5]
    assert [event.event_number for event in block.part(8, 99).read(0)] == [9, 10]


def test_small_frames_of_a_block_are_bytes_and_large_ones_views(tmp_path: Path) -> None:
    path = write(tmp_path / "a.cbors", scan(5, 200))
    block = next(one for one in blocks_of(path) if isinstance(one, EventBlock))
    assert {tuple(type(frame) for frame in event["xrd"].frames) for event in block.read(32_768)} == {
        (bytes, memoryview)
    }
    assert {type(frame) for event in block.read(sys.maxsize) for frame in event["xrd"].frames} == {bytes}


def test_a_block_that_is_damaged_later_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.cbors", scan(5))
    block = next(one for one in blocks_of(path) if isinstance(one, EventBlock))
    damaged = block._replace(data=bytes(block.data[:400]) + bytes(len(block.data) - 400))
    with pytest.raises(CborError):
        list(damaged.read(0))


def replayed(path: Path) -> tuple[list[Any], list[str]]:
    """What a source of these events sends: their sight, and the end of each scan; and the problems that it has."""
    found: list[Any] = []
    problems: list[str] = []
    for message in RecordedEvents([path], "capture").messages():
        for one in message:
            if isinstance(one, ScanEnd):
                problems.append(one.problem)
                found.append("end")
            else:
                found += unread([one])
    return found, problems


def read_closely(path: Path) -> tuple[list[Any], list[str]]:
    """The same, each event looked at."""
    problems: list[str] = []

    def events() -> Any:
        try:
            with CborsReader(path) as reader:
                for record in reader:
                    yield record.value
        except CaptureError as error:
            problems.append(str(error))

    counts = MergeCounts()
    found: list[Any] = []
    current = 0
    for at, event in merged([events()], counts):
        if at != current:
            found.append("end")
            current = at
        found.append(seen(event))
    if counts.out_of_order or counts.duplicate:
        problems.append(
            f"{counts.out_of_order} events were too far from their place, {counts.duplicate} streams came twice"
        )
    return [*found, "end"] if found else [], [""] * found.count("end") + ["; ".join(problems)] if found else []


frames = st.lists(st.binary(max_size=40) | st.sampled_from([b"x" * 300, b"y" * 70_000]), max_size=4)
streams = st.dictionaries(st.sampled_from(["xrd", "aux"]), st.tuples(st.sampled_from(["STINS", "other"]), frames))
times = st.none() | st.datetimes(timezones=st.just(timezone.utc))
events = st.lists(
    st.tuples(st.integers(42, 60) | st.sampled_from([255, 256, 65_535, 65_536]), streams, times),
    max_size=12,
    unique_by=lambda one: one[0],
)


def event_of(number: int, given: dict[str, tuple[str, list[bytes]]], time: datetime | None) -> EventData:
    return EventData(number, {name: StreamData(typ, parts) for name, (typ, parts) in given.items()}, time)


@pytest.mark.expects_errors
@given(events, st.integers(0, 40), st.integers(0, 40), st.floats(0, 1))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_replay_sends_what_reading_each_event_gives(
    tmp_path: Path, strange: list[Any], before: int, after: int, kept: float
) -> None:
    events = [*scan(before), *(event_of(*one) for one in strange), *scan(after)]
    path = write(tmp_path / "a.cbors", events)
    if kept < 0.9:
        path.write_bytes(path.read_bytes()[: max(1, int(kept / 0.9 * path.stat().st_size))])
    found, problems = replayed(path)
    wanted, wanted_problems = read_closely(path)
    assert found == wanted
    assert [bool(one) for one in problems] == [bool(one) for one in wanted_problems]


@pytest.mark.expects_errors
@given(st.integers(0, 10**9), st.binary(min_size=1, max_size=4))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_capture_is_told_and_never_a_crash(tmp_path: Path, at: int, damage: bytes) -> None:
    path = write(tmp_path / "a.cbors", scan(20))
    data = bytearray(path.read_bytes())
    place = 50 + at % (len(data) - 50)
    data[place : place + len(damage)] = damage
    path.write_bytes(bytes(data))
    for message in RecordedEvents([path], "capture").messages():
        for one in message:
            try:
                unread([] if isinstance(one, ScanEnd) else [one])
            except CborError:
                pass  # told by the worker that reads it


def test_an_event_that_comes_again_or_too_late_is_told_and_not_sent_again(tmp_path: Path) -> None:
    first, *rest = scan(100)
    path = write(tmp_path / "a.cbors", [first, *rest[:50], rest[10], *rest[50:]])
    found, problems = replayed(path)
    assert found == [*(seen(event) for event in scan(100)), "end"]
    assert problems == ["1 events were too far from their place, 0 streams came twice"]


def test_a_packed_capture_is_read_as_well(tmp_path: Path) -> None:
    path = write(tmp_path / "a.cbors", scan(20))
    packed = tmp_path / "a.cbors.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert replayed(packed) == replayed(path)
