"""What a detector sent, recorded message by message, is analysed as if it was sent again."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pipert2 import CaptureError, EndOfStream, Pipe, PipertError, Recorder, SourceRoutine
from pipert2.patterns.capture.cbors_writer import CborsWriter
from pipert2.patterns.capture.info import capture_info
from pipert2.patterns.events.plan import Plan
from pipert2.patterns.map_reduce.pipes import map_reduce, replay
from pipert2.patterns.map_reduce.recorded_frames import RecordedFrames
from pipert2.patterns.streams.protocols import protocol_of
from pipert2.patterns.streams.stins import StinsData, StinsEnd, StinsStart
from pipert2.patterns.streams.stins import parse as parse_stins
from pipert2.patterns.streams.stream_data import EventData, StreamData, StreamFrame
from pipert2.testing import ListSource
from tests import stream_messages


def recorded(path: Path, messages: list[list[bytes]]) -> Path:
    with CborsWriter(path) as writer:
        for parts in messages:
            writer.write(parts)
    return path


def replayed(file: Path, protocol: str, folder: Path, key: str) -> dict[str, Any]:
    known = protocol_of(protocol)
    assert known is not None
    report = folder / "report"
    pipe = Pipe(lossless=True, inline=True)
    source = RecordedFrames(file, "it", protocol=protocol)
    parse = known.parse

    def read(event: Any) -> None:
        parse(event["it"])

    map_reduce(pipe, source, read, lambda result: None, streams=["it"], workers=1, key=key, report=report)
    pipe.run(timeout=60)
    (found,) = [json.loads(line) for line in report.read_text().splitlines()]
    return dict(found)


@pytest.mark.parametrize("protocol", stream_messages.RECEIVED)
def test_messages_of_each_protocol_become_a_scan(protocol: str, tmp_path: Path) -> None:
    file = recorded(tmp_path / "raw.cbors", stream_messages.RECEIVED[protocol])
    key = "count" if protocol in ("contrast", "PCAP_RAW") else "number"
    report = replayed(file, protocol, tmp_path, key)
    assert (report["state"], report["events"], report["done"]) == ("done", 5, 5), report


@pytest.mark.expects_errors
def test_a_capture_without_an_end_is_short_with_the_reason(tmp_path: Path) -> None:
    file = recorded(tmp_path / "raw.cbors", stream_messages.ALBAEM[:-1])
    report = replayed(file, "albaem", tmp_path, "number")
    assert (report["state"], report["events"], report["done"]) == ("short", 4, 4)
    assert "ends in the middle of a scan" in report["reason"]


@pytest.mark.expects_errors
def test_a_truncated_capture_is_short_with_the_offset(tmp_path: Path) -> None:
    file = recorded(tmp_path / "raw.cbors", stream_messages.XSPRESS3)
    file.write_bytes(file.read_bytes()[:-150])
    report = replayed(file, "xspress", tmp_path, "number")
    assert report["state"] == "short"
    assert "offset" in report["reason"] or "byte" in report["reason"]
    assert (report["events"], report["done"], report["failed"]) == (3, 3, 0)


def stins(frames: list[int], scans: int = 1) -> list[list[bytes]]:
    """The messages of a stream."""
    one = [StinsStart(""), *(StinsData.of([[number]], frame=number) for number in frames), StinsEnd()]
    return [[bytes(part) for part in message.to_stream_data().frames] for message in one] * scans


def numbers(event: Any) -> list[int]:
    found = [parse_stins(event[stream]) for stream in event]
    return sorted(message.frame for message in found if isinstance(message, StinsData))


class Pairs:
    """Keeps what it gets where the test finds it: in an inline replay."""

    seen: ClassVar[list[Any]] = []

    def process_result(self, result: Any) -> None:
        if result.payload:
            self.seen.append((result.event_number, result.payload))


def test_raw_captures_of_several_streams_are_aligned_by_their_numbers(tmp_path: Path) -> None:
    first = recorded(tmp_path / "a.cbors", stins([0, 1, 2, 3]))
    second = recorded(tmp_path / "b.cbors", stins([0, 1, 3]))
    Pairs.seen.clear()
    summary = replay(numbers, Pairs, [first, second], workers=1, inline=True, streams={"a": "STINS", "b": "STINS"})
    assert Pairs.seen == [(1, [0, 0]), (2, [1, 1]), (4, [3, 3])]
    (scan,) = summary.scans
    assert (summary.ok, scan["state"], scan["lost"]) == (False, "short", 1)


def test_further_arguments_say_how_raw_messages_meet(tmp_path: Path) -> None:
    first = recorded(tmp_path / "a.cbors", stins([0, 1, 2, 3]))
    second = recorded(tmp_path / "b.cbors", stins([0, 1]))
    Pairs.seen.clear()
    plan = Plan.every({"a": 1, "b": 2})
    summary = replay(
        numbers, Pairs, [first, second], workers=1, inline=True, streams={"a": "STINS", "b": "STINS"}, plan=plan
    )
    assert summary.ok
    assert [payload for _, payload in Pairs.seen] == [[0], [0, 1], [2], [1, 3]]


@pytest.mark.parametrize(("key", "done", "duplicates"), [("number", 5, 3), ("count", 8, 0)])
def test_a_detector_that_begins_again_at_0_within_a_scan_can_be_counted(
    key: str, done: int, duplicates: int, tmp_path: Path
) -> None:
    start, *images, end = stream_messages.XSPRESS3
    file = recorded(tmp_path / "raw.cbors", [start, *images, *images, end])
    report = replayed(file, "xspress", tmp_path, key)
    assert (report["state"], report["done"], report["frames"]["duplicate"]) == ("done", done, duplicates)


def test_messages_whose_frames_say_no_number_are_counted(tmp_path: Path) -> None:
    file = recorded(tmp_path / "raw.cbors", stream_messages.CONTRAST)
    summary = replay(lambda event: None, Pairs, file, workers=1, inline=True, streams={"points": "contrast"})
    assert summary.ok
    assert summary.scans[0]["done"] == 5


def test_a_key_for_one_stream_leaves_those_of_the_others_as_they_are(tmp_path: Path) -> None:
    start, *images, end = stream_messages.XSPRESS3
    spectra = recorded(tmp_path / "spectra.cbors", [start, images[0], images[0], images[0], end])
    points = recorded(tmp_path / "points.cbors", stream_messages.CONTRAST)
    summary = replay(
        lambda event: None,
        Pairs,
        [spectra, points],
        workers=1,
        inline=True,
        streams={"spectra": "xspress", "points": "contrast"},
        key={"spectra": "count"},
    )
    assert summary.ok
    assert summary.scans[0]["done"] == 5


def test_a_stream_that_was_recorded_for_fewer_scans_leaves_the_others_short_and_the_replay_ends(tmp_path: Path) -> None:
    first = recorded(tmp_path / "a.cbors", stins([0, 1], scans=3))
    second = recorded(tmp_path / "b.cbors", stins([0, 1], scans=1))
    summary = replay(numbers, Pairs, [first, second], workers=1, inline=True, streams={"a": "STINS", "b": "STINS"})
    assert [scan["state"] for scan in summary.scans] == ["done", "short", "short"]
    assert "stream 'b' had ended before" in summary.scans[1]["reason"]
    assert [scan["events"] for scan in summary.scans] == [4, 4, 4]


@pytest.mark.parametrize(
    ("streams", "more", "complaint"),
    [
        (None, {}, "--as STREAM:PROTOCOL"),
        ({"a": "STINS", "b": "STINS"}, {}, "1 capture, but 2 streams"),
        ({"a": "STINZ"}, {}, "did you mean 'STINS'"),
        ({"a": "zzz"}, {}, "known are 'EIGER_LEGACY'"),
        ({"a": "STINS"}, {"key": {"b": "count"}}, "'b'"),
    ],
)
def test_what_does_not_fit_raw_captures_is_said(
    tmp_path: Path, streams: dict[str, str] | None, more: dict[str, Any], complaint: str
) -> None:
    file = recorded(tmp_path / "raw.cbors", stins([0]))
    with pytest.raises((PipertError, ValueError), match=re.escape(complaint)):
        replay(numbers, Pairs, file, inline=True, streams=streams, **more)


def test_recorded_events_are_not_aligned_again(tmp_path: Path) -> None:
    with CborsWriter(tmp_path / "events.cbors") as writer:
        writer.write(EventData(0, {}))
    with pytest.raises(PipertError, match="leave key out"):
        replay(numbers, Pairs, tmp_path / "events.cbors", inline=True, key="count")
    with pytest.raises(CaptureError, match="holds events"):
        replay(numbers, Pairs, tmp_path / "events.cbors", inline=True, streams={"a": "STINS"})


def test_a_capture_of_events_is_refused(tmp_path: Path) -> None:
    with CborsWriter(tmp_path / "events.cbors") as writer:
        writer.write(EventData(0, {}))
    with pytest.raises(CaptureError, match="holds events"):
        RecordedFrames(tmp_path / "events.cbors", "it")


class Detector(SourceRoutine):
    """Sends messages of streams as sources of live streams do: several at a time, large parts as views."""

    def __init__(self, *streams: str) -> None:
        super().__init__("detector")
        self.streams = streams

    def setup(self) -> None:
        self.left = [
            StreamFrame(stream, StreamData("STINS", [memoryview(part) for part in parts]))
            for parts in stins([0, 1, 2])
            for stream in self.streams
        ]

    def main_logic(self) -> list[StreamFrame]:
        if not self.left:
            raise EndOfStream
        found, self.left = self.left[:2], self.left[2:]
        return found


def record(path: Path, *streams: str) -> int:
    """Record what comes of live streams; the errors of it."""
    pipe = Pipe(lossless=True, inline=True)
    pipe.create_flow("all", True, Detector(*streams), Recorder(path, name="recorder"))
    return pipe.run(timeout=60).errors


def test_what_is_recorded_behind_a_live_source_is_replayed(tmp_path: Path) -> None:
    assert record(tmp_path / "raw.cbors", "a") == 0
    Pairs.seen.clear()
    summary = replay(numbers, Pairs, tmp_path / "raw.cbors", workers=1, inline=True, streams={"a": "STINS"})
    assert (summary.ok, Pairs.seen) == (True, [(1, [0]), (2, [1]), (3, [2])])


def test_several_live_streams_are_recorded_together_without_pickle_and_replayed(tmp_path: Path) -> None:
    assert record(tmp_path / "raw.mcap", "a", "b") == 0
    assert capture_info(tmp_path / "raw.mcap").pickled == ()
    Pairs.seen.clear()
    streams = {"a": "STINS", "b": "STINS"}
    summary = replay(numbers, Pairs, tmp_path / "raw.mcap", workers=1, inline=True, streams=streams)
    assert summary.ok
    assert Pairs.seen == [(1, [0, 0]), (2, [1, 1]), (3, [2, 2])]


def test_a_recording_of_live_streams_is_replayed_by_processes_to_its_end(tmp_path: Path) -> None:
    record(tmp_path / "raw.mcap", "a", "b")
    streams = {"a": "STINS", "b": "STINS"}
    summary = replay(numbers, Pairs, tmp_path / "raw.mcap", streams=streams, speed=1000)
    assert summary.ok
    assert [(scan["state"], scan["done"]) for scan in summary.scans] == [("done", 5)]


@pytest.mark.expects_errors
def test_a_torn_recording_of_live_streams_is_short_with_the_offset(tmp_path: Path) -> None:
    record(tmp_path / "raw.mcap", "a")
    whole = (tmp_path / "raw.mcap").read_bytes()
    (tmp_path / "raw.mcap").write_bytes(whole[: whole.rindex(b"series_end")])
    summary = replay(numbers, Pairs, tmp_path / "raw.mcap", workers=1, inline=True, streams={"a": "STINS"})
    (scan,) = summary.scans
    assert (summary.ok, scan["state"], scan["done"], scan["lost"]) == (False, "short", 4, 0)
    assert "byte" in scan["reason"]


@pytest.mark.expects_errors
def test_a_recording_of_something_else_is_no_replay_of_streams(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pipe = Pipe(lossless=True, inline=True)
    pipe.create_flow("all", True, ListSource([1, 2, 3]), Recorder(tmp_path / "numbers.mcap"))
    pipe.run(timeout=60)
    summary = replay(numbers, Pairs, tmp_path / "numbers.mcap", workers=1, inline=True, streams={"a": "STINS"})
    assert (summary.ok, summary.scans) == (False, ())
    assert "numbers.mcap has no messages of stream 'a'" in caplog.text


@pytest.mark.expects_errors
def test_a_stream_that_was_not_recorded_is_said_and_the_replay_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record(tmp_path / "raw.mcap", "a", "b")
    for streams, state, complaint in (
        ({"c": "STINS"}, [], "no messages of stream 'c', but of 'a', 'b'"),
        ({"a": "STINS", "c": "STINS"}, ["short"], "no messages of stream 'c', but of 'b'"),
        ({"a": "STINS"}, ["done"], "messages of 'b' are left out"),
    ):
        caplog.clear()
        summary = replay(numbers, Pairs, tmp_path / "raw.mcap", workers=1, inline=True, streams=streams)
        assert [scan["state"] for scan in summary.scans] == state
        assert complaint in caplog.text


@pytest.mark.expects_errors
def test_a_capture_of_raw_messages_has_those_of_one_stream(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert record(tmp_path / "raw.cbors", "a", "b") > 0
    assert "has the messages of stream 'a': those of 'b' need a recorder of their own" in caplog.text
