"""Recorder and Replay in pipes within this process."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from time import time_ns
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipert2 import CaptureError, CaptureMessage, EndOfStream, Pipe, PipertError, Recorder, Replay, RunSummary, Wire
from pipert2.patterns.capture.info import capture_info
from pipert2.patterns.capture.mcap_reader import McapReader
from pipert2.patterns.capture.mcap_writer import McapWriter
from pipert2.patterns.streams.stream_data import EventData, StreamData
from pipert2.testing import CollectingDestination, ListSource, wait_until

pytest.importorskip("mcap")

QUICK = settings(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
SECOND = 1_000_000_000


@dataclass
class Reading:
    value: Any


def record(path: Path, items: list[Any], **options: Any) -> RunSummary:
    pipe = Pipe(inline=True, lossless=True)
    pipe.create_flow("all", True, ListSource(items), Recorder(path, **options))
    return pipe.run(timeout=60.0)


def replay(source: Replay) -> tuple[list[Any], RunSummary]:
    seen = CollectingDestination()
    pipe = Pipe(inline=True, lossless=True)
    pipe.create_flow("all", True, source, seen)
    summary = pipe.run(timeout=60.0)
    return seen.items(), summary


def capture(path: Path, **channels: list[tuple[float, Any]]) -> Path:
    """A capture whose messages are recorded at the given times, in seconds."""
    messages = sorted(
        ((at, topic, data) for topic, found in channels.items() for at, data in found), key=lambda one: one[0]
    )
    with McapWriter(path) as writer:
        for at, topic, data in messages:
            writer.write(topic, data, time=1000 * SECOND + round(at * SECOND))
    return path


@QUICK
@given(items=st.lists(st.integers() | st.text() | st.builds(Reading, st.floats(allow_nan=False)), max_size=20))
def test_what_is_recorded_is_replayed(items: list[Any], tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    path.unlink(missing_ok=True)
    assert record(path, items).ok

    if not items:
        assert capture_info(path).messages == 0
        return
    found, summary = replay(Replay(path, speed="max"))

    assert summary.ok
    assert found == items


def test_messages_keep_the_time_and_number_that_their_source_gave_them(tmp_path: Path) -> None:
    class Slow(Recorder):
        def setup(self) -> None:
            began.wait(10.0)  # what is made meanwhile queues up
            super().setup()

    class Numbers(ListSource):
        def main_logic(self) -> Any:
            try:
                number = super().main_logic()
            except EndOfStream:
                began.set()
                raise
            made.append(time_ns())
            return number

    began, made = threading.Event(), []
    pipe = Pipe(inline=True, lossless=True)
    pipe.create_flow("all", True, Numbers(list(range(5))), Slow(tmp_path / "a.mcap"))
    assert pipe.run(timeout=60.0).ok

    with McapReader(tmp_path / "a.mcap") as reader:
        found = [(message.sequence, message.time) for message in reader]
    assert [sequence for sequence, _ in found] == [1, 2, 3, 4, 5]
    # Each was made before the next one was: the recorder got all of them only after the last.
    assert all(time <= later for (_, time), later in zip(found, made[1:], strict=False))


def test_recording_that_is_there_is_not_overwritten(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.mcap"
    record(path, [1])
    with caplog.at_level(logging.WARNING):
        record(path, [2])
    record(path, [3])

    assert [replay(Replay(tmp_path / name))[0] for name in ("a.mcap", "a-2.mcap", "a-3.mcap")] == [[1], [2], [3]]
    assert "a.mcap is there already: recording into a-2.mcap" in caplog.text


def test_recorders_of_one_flow_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    one, two = ListSource([1, 2, 3], "one"), ListSource(["a", "b"], "two")
    first, second = Recorder(path, topic="numbers"), Recorder(path, topic="letters")
    pipe = Pipe(inline=True, lossless=True)
    pipe.create_flow("all", False, one, two, first, second)
    pipe.link(Wire(one, first), Wire(two, second))

    assert pipe.run(timeout=60.0).ok
    assert [file.name for file in tmp_path.iterdir()] == ["a.mcap"]
    assert replay(Replay(path, topic="numbers", speed="max"))[0] == [1, 2, 3]
    assert replay(Replay(path, topic="letters", speed="max"))[0] == ["a", "b"]


def test_channel_is_named_after_the_recorder_where_no_topic_is_given(tmp_path: Path) -> None:
    record(tmp_path / "a.mcap", [1], name="left")

    assert [channel.topic for channel in capture_info(tmp_path / "a.mcap").channels] == ["left"]


def test_what_waits_is_flushed_though_nothing_follows(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    recorder = Recorder(path, flush_every=0.01)
    recorder.setup()
    recorder.main_logic("only")
    wait_until(lambda: capture_info(path).messages == 1)
    recorder.cleanup()
    recorder.cleanup()


@pytest.mark.expects_errors
def test_recorder_that_cannot_write_fails_counts_and_says_why(tmp_path: Path) -> None:
    folder = tmp_path / "none"

    summary = record(folder / "a.mcap", [1])

    assert not summary.ok
    assert "it cannot be made: No such file or directory" in summary.reason


@pytest.mark.expects_errors
def test_full_disk_is_an_error_for_each_message_and_fails_the_recorder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mcap"

    def full(self: Any, topic: str, data: Any, **about: Any) -> int:
        raise CaptureError(self.path, "it cannot be written: No space left on device")

    monkeypatch.setattr(McapWriter, "write", full)
    summary = record(path, [1, 2, 3])

    assert not summary.ok
    assert "No space left on device" in summary.reason
    assert summary.errors == 4  # each message, and the end
    assert capture_info(path).whole


@pytest.mark.parametrize(
    "arguments",
    [
        {"path": "a.txt"},
        {"path": ".mcap"},
        {"path": "a.mcap", "compression": "gzip"},
        {"path": "a.cbors", "compression": "zstd"},
        {"path": "a.mcap", "flush_every": 0},
        {"path": "a.mcap", "topic": ""},
    ],
)
def test_wrong_arguments_of_a_recorder_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Recorder\("):
        Recorder(**arguments)


@pytest.mark.parametrize("suffix", [".cbors", ".cbors.gz"])
def test_events_are_recorded_as_dranspose_replays_them(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    events = [EventData(number, {"xrd": StreamData("STINS", [b"head", b"data"])}) for number in range(4)]
    assert record(path, events).ok

    found, _ = replay(Replay(path, speed="max"))

    assert found == events
    assert all(one.created_at is not None for one in found)
    info = capture_info(path)
    assert (info.format, info.messages, info.scans) == ("cbors events", 4, 1)
    assert [(one.topic, one.kind, one.messages) for one in info.channels] == [("xrd", "STINS", 4)]


def test_scans_in_one_file_are_told_apart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.cbors"
    events = [EventData(number, {"s": StreamData("STINS", [b"x"])}) for number in (0, 1, 2, 0, 1, 5, 3)]
    record(path, events)

    assert capture_info(path).scans == 3
    assert [[one.event_number for one in replay(Replay(path, speed="max", scan=scan))[0]] for scan in (1, 2, 3)] == [
        [0, 1, 2],
        [0, 1, 5],
        [3],
    ]
    assert not [record for record in caplog.records if "scans" in record.getMessage().replace(str(path), "")]
    with caplog.at_level(logging.WARNING):
        assert replay(Replay(path, speed="max"))[0] == events
    assert "a.cbors holds 3 scans, all are played: choose one with scan=" in caplog.text
    for scan in (0, 4):
        with pytest.raises(CaptureError, match="it has 3 scans, numbered from 1"):
            Replay(path, scan=scan)


def test_several_channels_have_to_be_told_apart(tmp_path: Path) -> None:
    path = capture(tmp_path / "a.mcap", left=[(0, "l0"), (2, "l2")], right=[(1, "r1")])

    with pytest.raises(CaptureError, match=r"several channels, say which one with topic=\.\.\.: left, right"):
        Replay(path)
    with pytest.raises(CaptureError, match="no channel 'lft': did you mean 'left'"):
        Replay(path, topic="lft")
    assert replay(Replay(path, topic="right", speed="max"))[0] == ["r1"]
    for topic in ("*", ["right", "left"]):
        found, _ = replay(Replay(path, topic=topic, speed="max"))
        assert [(one.topic, one.data, one.time, one.sequence) for one in found] == [
            ("left", "l0", 1000.0, 1),
            ("right", "r1", 1001.0, 1),
            ("left", "l2", 1002.0, 2),
        ]
        assert type(found[0]) is CaptureMessage


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"start": 2}, [2, 3, 4, 5]),
        ({"start": 1.5, "end": 4}, [2, 3]),
        ({"end": 0.5}, [0]),
        ({"loop": 2}, [0, 1, 2, 3, 4, 5] * 2),
        ({"start": 3, "end": 5, "loop": 3}, [3, 4] * 3),
        ({"start": 99}, []),
        ({"start": 99, "loop": True}, []),
    ],
)
def test_part_and_repetition_of_a_capture_are_played(
    options: dict[str, Any], expected: list[int], tmp_path: Path
) -> None:
    path = capture(tmp_path / "a.mcap", numbers=[(at, at) for at in range(6)])

    found, summary = replay(Replay(path, speed="max", **options))

    assert summary.ok
    assert found == expected


def test_endless_loop_goes_on_until_it_is_stopped(tmp_path: Path) -> None:
    path = capture(tmp_path / "a.mcap", numbers=[(at, at) for at in range(3)])
    source, seen = Replay(path, speed="max", loop=True), CollectingDestination()
    with Pipe(inline=True, lossless=True) as pipe:
        pipe.create_flow("all", True, source, seen)
        pipe.notify_event("start")
        wait_until(lambda: len(seen.items()) > 20)
        pipe.notify_event("stop", wait=5.0)
    assert seen.items()[:7] == [0, 1, 2, 0, 1, 2, 0]


def test_stop_and_start_go_on_with_the_next_message(tmp_path: Path) -> None:
    path = capture(tmp_path / "a.mcap", numbers=[(at / 50, at) for at in range(2000)])  # of forty seconds
    source, seen = Replay(path), CollectingDestination()
    with Pipe(inline=True, lossless=True) as pipe:
        pipe.create_flow("all", True, source, seen)
        pipe.notify_event("start", wait=5.0)
        wait_until(lambda: len(seen.items()) >= 5)
        pipe.notify_event("stop", {"all": [source.name]}, wait=5.0)
        assert len(seen.items()) < 2000
        pipe.set_parameters(source.name, {"speed": 0})
        pipe.notify_event("start", {"all": [source.name]}, wait=5.0)
        wait_until(lambda: pipe.status().routine(seen.name).finished)
    assert seen.items() == list(range(2000))


def test_start_after_the_end_plays_it_again(tmp_path: Path) -> None:
    path = capture(tmp_path / "a.mcap", numbers=[(0, "a"), (1, "b")])
    source = Replay(path, speed="max")

    assert [drained(source), drained(source)] == [["a", "b"], ["a", "b"]]


def drained(source: Replay) -> list[Any]:
    """What a source sends from setup to cleanup, outside of a pipe."""
    source.setup()
    found = []
    try:
        while True:
            found.append(source.main_logic())
    except EndOfStream:
        return [data for data in found if data is not None]
    finally:
        source.cleanup()


def test_position_says_how_far_it_is_and_leads_elsewhere(tmp_path: Path) -> None:
    path = capture(tmp_path / "a.mcap", numbers=[(at, at) for at in range(10)])
    source = Replay(path, speed="max")
    source.setup()
    assert [source.main_logic() for _ in range(3)] == [0, 1, 2]
    source.position = 7.0
    assert [source.main_logic() for _ in range(3)] == [7, 8, 9]
    source.position = 0.0
    assert source.main_logic() == 0
    source.cleanup()
    assert drained(source) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert source.position == 9.0


def test_speed_changes_while_it_waits(tmp_path: Path) -> None:
    path = capture(tmp_path / "a.mcap", numbers=[(0, "now"), (3600, "in an hour")])
    source, seen = Replay(path), CollectingDestination()
    with Pipe(inline=True, lossless=True) as pipe:
        pipe.create_flow("all", True, source, seen)
        pipe.notify_event("start", wait=5.0)
        wait_until(lambda: seen.items() == ["now"])
        pipe.set_parameters(source.name, {"speed": 0})
        wait_until(lambda: seen.items() == ["now", "in an hour"])


def test_messages_are_not_sent_before_their_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = capture(tmp_path / "a.mcap", numbers=[(at, at) for at in range(4)])
    source, now, sent = Replay(path, speed=2.0), [50.0], []
    monkeypatch.setattr("pipert2.patterns.capture.replay.monotonic", lambda: now[0])

    def wait(seconds: float) -> bool:
        now[0] += min(seconds, 0.4)  # something else wakes it up
        return False

    monkeypatch.setattr(source, "wait", wait)
    source.setup()
    while len(sent) < 4:
        data = source.main_logic()
        if data is not None:
            sent.append((data, round(now[0], 6)))
    source.cleanup()

    assert sent == [(0, 50.0), (1, 50.5), (2, 51.0), (3, 51.5)]


def test_two_replays_of_a_capture_are_the_same(tmp_path: Path) -> None:
    path = capture(tmp_path / "a.mcap", numbers=[(at, np.arange(at + 1)) for at in range(20)])

    first, second = (replay(Replay(path, speed="max"))[0] for _ in range(2))

    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.expects_errors
@pytest.mark.parametrize("suffix", [".mcap", ".cbors"])
def test_torn_capture_is_played_up_to_the_damage_and_ends_with_an_error(
    suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"a{suffix}"
    events = [EventData(number, {"xrd": StreamData("STINS", [b"x" * 100])}) for number in range(5)]
    record(path, events)
    raw = path.read_bytes()
    path.write_bytes(raw[: (raw.rindex(b"x" * 100) + 50)])

    found, summary = replay(Replay(path, speed="max", allow_pickle=True))

    assert found == events[:4]
    assert (summary.ok, summary.errors) == (False, 1)
    assert "the file ends in the middle of a record, at byte" in caplog.text
    assert "messages that can be read before it: 4" in caplog.text


def test_capture_of_a_killed_writer_is_played_and_the_log_says_that_its_end_may_be_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.mcap"
    writer = McapWriter(path)
    writer.write("a", 1)
    writer.flush()
    with caplog.at_level(logging.WARNING):
        found, summary = replay(Replay(path, speed="max"))
    writer.close()

    assert (found, summary.ok) == ([1], True)
    assert "was not closed by its writer: all 1 messages in it were played, more may be missing" in caplog.text


def test_pickled_data_is_replayed_only_if_trusted(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    record(path, [Fraction(1, 3)])

    with pytest.raises(CaptureError, match=r"pickled \(fractions:Fraction\)"):
        Replay(path)
    assert replay(Replay(path, allow_pickle=True))[0] == [Fraction(1, 3)]


@pytest.mark.parametrize(
    "options",
    [
        {"speed": 0},
        {"speed": -1},
        {"speed": "fast"},
        {"speed": float("inf")},
        {"speed": float("nan")},
        {"start": -1},
        {"start": 2, "end": 2},
        {"loop": 0},
        {"loop": "yes"},
    ],
)
def test_wrong_arguments_of_a_replay_are_refused(options: dict[str, Any], tmp_path: Path) -> None:
    path = capture(tmp_path / "a.mcap", numbers=[(0, 1)])

    with pytest.raises(ValueError, match=r"Replay\("):
        Replay(path, **options)


def test_start_in_a_capture_without_times_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors"
    record(path, [[b"one"], [b"two"]])

    with pytest.raises(PipertError, match="does not say when its messages were recorded"):
        Replay(path, start=1.0)
    assert replay(Replay(path))[0] == [[b"one"], [b"two"]]


def test_no_thread_is_left_when_the_last_recorder_of_a_file_ends(tmp_path: Path) -> None:
    first, second = Recorder(tmp_path / "a.mcap"), Recorder(tmp_path / "a.mcap")
    for recorder in (first, second):
        recorder.setup()
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("pipert2-capture") == 1
    first.cleanup()
    second.main_logic(1)
    second.cleanup()
    assert "pipert2-capture" not in [thread.name for thread in threading.enumerate()]
