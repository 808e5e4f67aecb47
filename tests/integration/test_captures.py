"""Captures of pipes with real processes."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipert2 import (
    CaptureError,
    EndOfStream,
    FrameData,
    Parameter,
    Pipe,
    PipeBuildError,
    Recorder,
    Replay,
    SharedMemoryTransmitter,
    SourceRoutine,
    Wire,
)
from pipert2.patterns.capture.info import capture_info
from pipert2.patterns.capture.mcap_reader import TORN
from pipert2.pipe.recording import Recording
from pipert2.testing import CollectingDestination, ListSource, wait_until

pytest.importorskip("mcap")


@dataclass
class Shot(FrameData):
    frame: Any
    number: int

    def get_frame(self) -> Any:
        return self.frame


class Camera(SourceRoutine):
    """Sends as many frames as it is told to."""

    count = Parameter(0)

    def setup(self) -> None:
        self.number = 0

    def main_logic(self) -> Any:
        if self.number >= self.count:
            raise EndOfStream
        self.number += 1
        return Shot(np.full((48, 64, 3), self.number % 251, np.uint8), self.number)


def camera(count: int, name: str = "camera") -> Camera:
    made = Camera(name)
    made.count = count
    return made


def play(source: Replay, *, ok: bool = True, **options: Any) -> list[Any]:
    seen = CollectingDestination("seen")
    pipe = Pipe(lossless=True, **options)
    pipe.create_flow("in", False, source)
    pipe.create_flow("out", False, seen)
    pipe.link(Wire(source, seen))
    assert pipe.run(timeout=60.0).ok is ok
    return seen.items()


def recorded(path: Path) -> int:
    """How many messages are in a capture; 0 while it is not there, or only just made."""
    try:
        return capture_info(path).messages
    except CaptureError:
        return 0


@pytest.mark.parametrize("transmitter", [None, SharedMemoryTransmitter()])
@pytest.mark.parametrize("compression", [None, "zstd"])
def test_what_was_recorded_on_a_lossless_wire_is_replayed_in_order(
    transmitter: Any, compression: Any, tmp_path: Path
) -> None:
    path = tmp_path / "run.mcap"
    source, recorder = camera(300), Recorder(path, topic="camera", compression=compression)
    pipe = Pipe(lossless=True, data_transmitter=transmitter)
    pipe.create_flow("in", False, source)
    pipe.create_flow("recording", False, recorder)
    pipe.link(Wire(source, recorder))
    assert pipe.run(timeout=60.0).ok

    found = play(Replay(path, speed="max"), data_transmitter=transmitter)

    assert [shot.number for shot in found] == list(range(1, 301))
    assert all(bool((shot.frame == shot.number % 251).all()) and shot.frame.shape == (48, 64, 3) for shot in found)


def test_what_a_recorder_on_a_real_time_wire_misses_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    source, recorder, seen = camera(500), Recorder(path, name="recorder"), CollectingDestination("seen")
    pipe = Pipe()
    pipe.create_flow("in", False, source)
    pipe.create_flow("out", False, seen)
    pipe.create_flow("recording", False, recorder)
    pipe.link(Wire(source, seen, lossless=True), Wire(source, recorder, lossless=False))
    summary = pipe.run(timeout=60.0)

    assert summary.ok
    assert len(seen.items()) == 500
    (wire,) = [wire for wire in summary.wires if wire.destination == "recorder"]
    assert capture_info(path).messages + wire.dropped == 500
    numbers = [shot.number for shot in play(Replay(path, speed="max"))]
    assert numbers == sorted(set(numbers))


def test_recorder_of_several_wires_keeps_them_apart(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    numbers, texts = ListSource(list(range(50)), "numbers"), ListSource([f"t{n}" for n in range(30)], "texts")
    first, second = Recorder(path, topic="numbers"), Recorder(path, topic="texts")
    pipe = Pipe(lossless=True)
    pipe.create_flow("in", False, numbers, texts)
    pipe.create_flow("recording", False, first, second)
    pipe.link(Wire(numbers, first), Wire(texts, second))
    assert pipe.run(timeout=60.0).ok

    assert play(Replay(path, topic="numbers", speed="max")) == list(range(50))
    both = play(Replay(path, topic="*", speed="max"))
    assert [one.data for one in both if one.topic == "texts"] == [f"t{n}" for n in range(30)]
    assert len(both) == 80


@pytest.mark.expects_errors
def test_what_a_killed_recorder_had_flushed_is_readable_and_its_successor_begins_another_file(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    source, recorder = camera(10**9), Recorder(path, name="recorder", flush_every=0.02)
    source.set_const_fps(200)
    with Pipe() as pipe:
        pipe.create_flow("in", False, source)
        pipe.create_flow("recording", False, recorder)
        pipe.link(Wire(source, recorder))
        pipe.notify_event("start", wait=60.0)
        wait_until(lambda: recorded(path) >= 20, timeout=60.0)
        (flow,) = [flow for flow in pipe.status().flows if flow.name == "recording"]
        assert flow.pid is not None
        os.kill(flow.pid, signal.SIGKILL)
        wait_until(lambda: recorded(tmp_path / "run-2.mcap") >= 5, timeout=60.0)

    first, second = capture_info(path), capture_info(tmp_path / "run-2.mcap")
    assert first.messages >= 20
    assert (first.closed, second.whole) == (False, True)
    assert first.problem in (None, TORN)  # it may have been killed while the system wrote
    played = play(Replay(path, speed="max"), ok=first.problem is None)
    assert len(played) == first.messages
    assert all(bool((shot.frame == shot.number % 251).all()) for shot in played)


@pytest.mark.expects_errors
def test_replay_whose_process_dies_goes_on_near_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    numbers, recorder = ListSource(list(range(300)), "numbers"), Recorder(path)
    numbers.set_const_fps(100)
    pipe = Pipe(lossless=True)
    pipe.create_flow("in", True, numbers, recorder)
    assert pipe.run(timeout=60.0).ok

    source, seen = Replay(path, name="replay"), CollectingDestination("seen")
    with Pipe(lossless=True) as pipe:
        pipe.create_flow("in", False, source)
        pipe.create_flow("out", False, seen)
        pipe.link(Wire(source, seen))
        pipe.notify_event("start", wait=60.0)
        wait_until(lambda: source.position > 0, timeout=60.0)
        before = source.position
        (flow,) = [flow for flow in pipe.status().flows if flow.name == "in"]
        assert flow.pid is not None
        os.kill(flow.pid, signal.SIGKILL)
        wait_until(lambda: 299 in seen.items(), timeout=60.0)

    items = seen.items()
    assert set(items) == set(range(300))
    assert items.count(0) == 1, f"it began anew instead of at {before} s"


def test_wires_that_say_so_and_a_caller_from_outside_record_into_the_same_file_once_each(tmp_path: Path) -> None:
    path = tmp_path / "all.mcap"
    pipe, numbers, letters = Pipe(lossless=True), ListSource([1, 2], "numbers"), ListSource(["a"], "letters")
    seen = CollectingDestination("seen")
    pipe.create_flow("recording", True, seen)
    pipe.create_flow("numbers", True, numbers)
    pipe.create_flow("letters", True, letters)
    pipe.link(Wire(numbers, seen, capture=path), Wire(letters, seen, capture=tmp_path / "letters.mcap"))
    pipe.recordings += [Recording("numbers", path, lossless=True), Recording("letters", path, lossless=True)]
    assert pipe.run(timeout=60).ok
    assert capture_info(path).messages == 3
    assert capture_info(tmp_path / "letters.mcap").messages == 1
    assert {flow.name for flow in pipe.status().flows} == {"recording", "recording-2", "numbers", "letters"}
    assert [one.name for one in pipe.status().routines if one.name.startswith("record-")] == [
        *("record-numbers", "record-letters", "record-letters-2")
    ]


def test_a_pipe_that_could_not_be_built_gets_its_recorders_once(tmp_path: Path) -> None:
    pipe, numbers, seen = Pipe(lossless=True, inline=True), ListSource([1, 2], "numbers"), CollectingDestination("seen")
    pipe.create_flow("all", False, numbers, seen)
    pipe.create_flow("other", False, CollectingDestination("floating"))
    pipe.link(Wire(numbers, seen))
    pipe.recordings.append(Recording("numbers", tmp_path / "a.mcap", lossless=True))
    for _ in range(2):
        with pytest.raises(PipeBuildError, match="floating"):
            pipe.build()
    pipe.link(Wire(numbers, pipe.routine("floating")))
    assert pipe.run(timeout=60).ok
    assert capture_info(tmp_path / "a.mcap").messages == 2


@pytest.mark.expects_errors
def test_the_run_of_a_damaged_capture_is_not_ok_but_all_that_is_in_it_arrives(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors"
    pipe = Pipe(inline=True, lossless=True)
    pipe.create_flow("all", True, ListSource([[b"%d" % number] for number in range(50)]), Recorder(path))
    assert pipe.run(timeout=60).ok
    path.write_bytes(path.read_bytes()[:-3])
    pipe, replay, seen = Pipe(lossless=True), Replay(path, speed="max", name="replay"), CollectingDestination("seen")
    pipe.create_flow("first", True, replay)
    pipe.create_flow("last", True, seen)
    pipe.link(Wire(replay, seen))
    summary = pipe.run(timeout=60)
    assert not summary.ok
    assert "routine 'replay' failed: cleanup" in summary.reason
    assert "a.cbors" in summary.reason
    found = seen.items()
    assert [int(frames[0]) for frames in found] == list(range(len(found)))
    assert len(found) == 49
