"""Detectors that speak STINS over ZeroMQ are analysed live."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipert2 import Pipe
from pipert2.patterns.map_reduce.pipes import map_reduce
from pipert2.patterns.streams import stins
from pipert2.patterns.streams.zmq_stream import ZmqStream
from pipert2.testing import wait_until
from tests.processes import whole_lines

zmq: Any = pytest.importorskip("zmq")


@pytest.fixture
def detector() -> Iterator[Any]:
    context = zmq.Context()
    socket = context.socket(zmq.PUSH)
    socket.setsockopt(zmq.LINGER, 0)
    socket.bind("tcp://127.0.0.1:*")
    yield socket
    socket.close()
    context.term()


def test_two_scans_of_a_detector_are_analysed_while_they_are_measured(detector: Any, tmp_path: Path) -> None:
    report = tmp_path / "scans"
    sums = tmp_path / "sums"

    def total(event: Any) -> Any:
        message = stins.parse(event["xrd"])
        return int(message.data.sum()) if isinstance(message, stins.StinsData) else None

    def note(result: Any) -> None:
        with sums.open("a") as file:
            file.write(f"{result.payload}\n")

    pipe = Pipe(lossless=True)
    url = detector.getsockopt_string(zmq.LAST_ENDPOINT)
    map_reduce(pipe, ZmqStream("xrd", url), total, note, streams=["xrd"], report=report)
    with pipe:
        pipe.notify_event("start", wait=60)
        for scan in range(2):
            messages: list[Any] = [stins.StinsStart("")]
            messages += [stins.StinsData.of(np.full((64, 64), n, np.uint32), frame=n) for n in range(20)]
            for message in [*messages, stins.StinsEnd()]:
                detector.send_multipart(message.to_stream_data().frames)
            wait_until(lambda wanted=scan + 1: len(whole_lines(report)) == wanted)
    found = [json.loads(line) for line in report.read_text().splitlines()]
    assert [(one["state"], one["done"]) for one in found] == [("done", 22)] * 2
    assert sums.read_text().split() == [str(64 * 64 * n) for n in range(20)] * 2


@pytest.mark.parametrize(
    "arguments",
    [
        {"url": "localhost"},
        {"url": "tcp://127.0.0.1:1", "pattern": "req"},
        {"url": "tcp://127.0.0.1:1", "waiting": 0},
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="ZmqStream"):
        ZmqStream("xrd", **arguments)


def test_large_messages_that_wait_are_bounded_by_their_memory(detector: Any) -> None:
    detector.setsockopt(zmq.SNDHWM, 1)
    detector.setsockopt(zmq.SNDTIMEO, 30)
    detector.bind("tcp://127.0.0.1:*")  # again, because what waits at the sender is bounded from here on only
    source = ZmqStream("xrd", detector.getsockopt_string(zmq.LAST_ENDPOINT))
    image = bytes(16 << 20)
    source.setup()
    try:
        detector.send(image, copy=False)
        wait_until(lambda: source.main_logic() is not None, timeout=60)
        sent = sum(1 for _ in range(40) if not _is_full(detector, image))
    finally:
        source.cleanup()
    assert sent < 20


def _is_full(detector: Any, image: bytes) -> bool:
    try:
        detector.send(image, copy=False)
    except zmq.Again:
        return True
    return False
