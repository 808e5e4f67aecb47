"""Long under load: memory, descriptors, threads and shared memory stay flat in every process, and frames stay whole."""

from __future__ import annotations

import contextlib
import json
import os
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from pipert2 import DestinationRoutine, MiddleRoutine, Pipe, SharedMemoryTransmitter, SourceRoutine, Wire, events
from pipert2.patterns.map_reduce.pipes import map_reduce
from pipert2.patterns.map_reduce.recorded_events import ScanSource
from pipert2.patterns.streams.stins import StinsData, StinsEnd, StinsStart, parse
from pipert2.patterns.streams.stream_data import StreamData, StreamFrame
from pipert2.testing import wait_until
from pipert2.transport.pool import STEP_BYTES

SIZES = (100, 2_000, 60_000, 600_000)
OWN = f"pr2-{os.getpid():x}-"
"""What the names of this process's shared memory begin with; other programs may have theirs."""
ALLOWED = {"memory": 8e6, "descriptors": 0, "threads": 0, "shared memory": 2.2 * STEP_BYTES}
"""A pool grows by a step when more slots are in use at once than ever before, which may be late; at most to a limit."""


class Camera(SourceRoutine):
    """Frames of changing size, every other one lent, with their checksums."""

    number = 0

    def main_logic(self) -> dict[str, Any]:
        self.number += 1
        size = SIZES[self.number % len(SIZES)]
        frame = self.loan(size) if self.number % 2 else np.empty(size, np.uint8)
        frame[:] = self.number % 251
        return {"number": self.number, "frame": frame, "checksum": zlib.crc32(frame), "text": "x" * (self.number % 700)}


class Passes(MiddleRoutine):
    def main_logic(self, data: Any) -> Any:
        return data


class Checks(DestinationRoutine):
    """Raises when a frame is not what was sent."""

    factor = 0

    @events("SET")
    def set(self, factor: int) -> int:
        self.factor = factor
        return factor

    def main_logic(self, data: dict[str, Any]) -> None:
        if zlib.crc32(data["frame"]) != data["checksum"]:
            raise ValueError(f"frame {data['number']} is corrupt")


def descriptors(pid: int) -> list[str]:
    """What a process has open, but for the pipe's shared memory, which is counted by itself.

    Before Python 3.13 each mapped segment keeps a descriptor, and a pool may still grow towards its limit.
    """
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink(entry))
    return [target for target in found if not target.startswith("/dev/shm/pr2-")]


def used(pids: list[int]) -> dict[str, float]:
    processes = [psutil.Process(pid) for pid in pids]
    return {
        # Private memory: pages of shared memory are counted once, below.
        "memory": sum(process.memory_info().rss - process.memory_info().shared for process in processes),
        "descriptors": sum(len(descriptors(pid)) for pid in pids),
        "threads": sum(process.num_threads() for process in processes),
        "shared memory": sum(file.stat().st_size for file in Path("/dev/shm").iterdir() if OWN in file.name),
    }


def soak(seconds: float) -> None:
    camera, passes = Camera("camera"), Passes("passes")
    newest, every, passed = Checks("newest"), Checks("every"), Checks("passed")
    with Pipe(data_transmitter=SharedMemoryTransmitter()) as pipe:
        for routine in (camera, passes, newest, every, passed):
            pipe.create_flow(f"in-{routine.name}", False, routine)
        pipe.link(
            Wire(camera, (passes, newest)), Wire(passes, (passed,)), Wire(camera, (every,), lossless=True, capacity=16)
        )
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().routine("passed").received > 2_000, 300)
        pids = [os.getpid(), *(flow.pid for flow in pipe.status().flows if flow.pid is not None)]
        began, before = time.monotonic(), used(pids)
        received = pipe.status().routine("every").received
        while time.monotonic() - began < seconds:
            time.sleep(0.1)  # the soaking itself
            results = pipe.notify_event("SET", wait=60, factor=7)
            assert {result.unwrap() for result in results.values()} == {7}

        def grown() -> dict[str, tuple[float, float]]:
            now = used(pids)
            return {what: (before[what], now[what]) for what in ALLOWED if now[what] > before[what] + ALLOWED[what]}

        try:  # what is open for a moment only, as who looks at /proc has it, is not there the next time
            wait_until(lambda: not grown(), 10.0)
        except TimeoutError:
            pytest.fail(f"before and after: {grown()}")
        status = pipe.status()
    assert sum(routine.errors for routine in status.routines) == 0, status.routines
    assert [flow.restarts for flow in status.flows] == [0] * 5
    assert status.routine("every").received > received + seconds
    assert status.wire("camera", "every").dropped == 0


@pytest.mark.timeout(600)
def test_ten_seconds_under_load_leave_everything_flat():
    soak(10.0)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_ten_minutes_under_load_leave_everything_flat():
    soak(600.0)


class Images(ScanSource):
    """A scan of so many small images, as fast as they are taken."""

    def __init__(self, count: int) -> None:
        super().__init__("images")
        self.count = count

    def messages(self) -> Iterator[list[StreamFrame]]:
        image = bytes(200)
        yield [StreamFrame("xrd", StinsStart("").to_stream_data())]
        kind = '"shape": [10, 10], "type": "uint16", "compression": "none"'
        for first in range(0, self.count, 64):
            yield [
                StreamFrame(
                    "xrd",
                    StreamData(
                        "STINS",
                        [f'{{"htype": "image", "frame": {at}, {kind}, "msg_number": {at + 1}}}'.encode(), image],
                    ),
                )
                for at in range(first, min(first + 64, self.count))
            ]
        yield [StreamFrame("xrd", StinsEnd(self.count + 1).to_stream_data())]


def mean(event: Any) -> float | None:
    message = parse(event["xrd"])
    return float(message.data[:2, 8:].mean()) if isinstance(message, StinsData) else None


def scan_of(images: int, folder: Path) -> None:
    """One scan; what each process has for itself is the same a quarter into it and near its end."""
    report = folder / "report"
    pipe = Pipe(lossless=True)
    map_reduce(pipe, Images(images), mean, lambda result: None, streams=["xrd"], report=report)
    with pipe:
        pipe.notify_event("start", wait=60)

        def reduced() -> int:
            return 0 if report.exists() else 64 * pipe.status().routine("reduce").received

        wait_until(lambda: report.exists() or reduced() > images // 4, timeout=images / 1000 + 60)
        pids = [flow.pid for flow in pipe.status().flows if flow.pid is not None]
        before = {pid: used([pid])["memory"] for pid in pids}
        assert not report.exists()
        after = before
        while not report.exists():
            with contextlib.suppress(psutil.NoSuchProcess):
                after = {pid: used([pid])["memory"] for pid in pids}
            time.sleep(0.5)  # the soaking itself
    (scan,) = [json.loads(line) for line in report.read_text().splitlines()]
    assert (scan["state"], scan["done"]) == ("done", images + 2)
    grown = {pid: after[pid] - before[pid] for pid in pids if after[pid] > before[pid] + 12e6}
    assert not grown, (before, after)


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)  # on a machine that others load as well
def test_a_scan_of_ten_million_events_takes_no_more_memory_than_its_beginning(tmp_path: Path):
    scan_of(int(os.environ.get("SOAK_EVENTS", 10_000_000)), tmp_path)
