"""What a detector sent, recorded message by message, is analysed as if it was sent again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipert2 import CaptureError, Pipe
from pipert2.patterns.capture.cbors_writer import CborsWriter
from pipert2.patterns.map_reduce.pipes import map_reduce
from pipert2.patterns.map_reduce.recorded_frames import RecordedFrames
from pipert2.patterns.streams.protocols import protocol_of
from pipert2.patterns.streams.stream_data import EventData
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
def test_a_capture_without_an_end_is_told_and_the_pipe_ends(tmp_path: Path) -> None:
    file = recorded(tmp_path / "raw.cbors", stream_messages.ALBAEM[:-1])
    report = replayed(file, "albaem", tmp_path, "number")
    assert report["state"] in ("aborted", "short")


def test_a_capture_of_events_is_refused(tmp_path: Path) -> None:
    with CborsWriter(tmp_path / "events.cbors") as writer:
        writer.write(EventData(0, {}))
    with pytest.raises(CaptureError, match="holds events"):
        RecordedFrames(tmp_path / "events.cbors", "it")
