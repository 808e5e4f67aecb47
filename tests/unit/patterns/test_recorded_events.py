"""Recorded events come when they are due."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from pipert2 import PipertError
from pipert2.patterns.capture.cbors_writer import CborsWriter
from pipert2.patterns.events.batch import ScanEnd
from pipert2.patterns.map_reduce import recorded_events
from pipert2.patterns.map_reduce.pipes import replay
from pipert2.patterns.map_reduce.recorded_events import RecordedEvents
from pipert2.patterns.streams.stream_data import EventData, StreamData

BEGAN = datetime(2026, 1, 1, tzinfo=timezone.utc)


def capture(path: Path, times: list[float | None], scans: int = 1) -> Path:
    with CborsWriter(path) as writer:
        for _ in range(scans):
            for number, time in enumerate(times):
                created = BEGAN + timedelta(seconds=time) if time is not None else None
                writer.write(EventData(number, {"a": StreamData("x", [b"1", b"2"])}, created))
    return path


class Now:
    """A clock that goes on by as much as is waited; every other wait is cut short."""

    def __init__(self) -> None:
        self.time = 100.0
        self.waits = 0

    def __call__(self) -> float:
        return self.time

    def wait(self, seconds: float) -> bool:
        self.waits += 1
        self.time += seconds / 2 if self.waits % 2 else seconds
        return False


def sent(monkeypatch: pytest.MonkeyPatch, path: Path, speed: float) -> list[tuple[float, Any]]:
    """What is sent, with the second at which it is."""
    now = Now()
    monkeypatch.setattr(recorded_events, "monotonic", now)
    source = RecordedEvents([path], speed=speed)
    monkeypatch.setattr(source, "wait", now.wait)
    found = []
    for message in source.messages():
        found += [(round(now.time - 100.0, 6), one) for one in message]
    return found


def test_events_come_as_far_apart_as_they_were_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = sent(monkeypatch, capture(tmp_path / "a.cbors", [0.0, 1.0, 1.5, 4.0]), speed=1.0)
    assert [(at, one.event_number) for at, one in found[:-1]] == [(0.0, 0), (1.0, 1), (1.5, 2), (4.0, 3)]
    assert found[-1] == (4.0, ScanEnd())


def test_events_come_so_many_times_as_fast_and_the_next_scan_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = sent(monkeypatch, capture(tmp_path / "a.cbors", [0.0, 8.0], scans=2), speed=4.0)
    assert [(at, one.event_number) for at, one in found if isinstance(one, EventData)] == [
        (0.0, 0),
        (2.0, 1),
        (2.0, 0),
        (4.0, 1),
    ]


def test_a_speed_is_refused_where_there_is_no_time(tmp_path: Path) -> None:
    path = capture(tmp_path / "a.cbors", [None, None])
    with pytest.raises(PipertError, match="does not say when"):
        replay(lambda event: None, lambda result: None, path, speed=1.0)
    with pytest.raises(ValueError, match="above 0"):
        RecordedEvents([path], speed=0.0)
