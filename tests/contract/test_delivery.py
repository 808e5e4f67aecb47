"""The promises of wires: order, no loss or the newest, isolation, views that last, ways of one's own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipert2 import (
    BasicTransmitter,
    DataTransmitter,
    EndOfStream,
    MiddleRoutine,
    Pipe,
    PipeStatus,
    SharedMemoryTransmitter,
    SourceRoutine,
    Wire,
)
from pipert2.testing import CollectingDestination, ListSource, wait_until

pytestmark = pytest.mark.usefixtures("_by_value")
VIEWS = SharedMemoryTransmitter()
GIB = 1 << 30


def started(pipe: Pipe, *flows: str) -> None:
    pipe.notify_event("start", {flow: [] for flow in flows})


def finished(pipe: Pipe, *routines: str) -> PipeStatus:
    wait_until(lambda: all(pipe.status().routine(name).finished for name in routines), 60.0, f"the end of {routines}")
    return pipe.status()


class Frames(SourceRoutine):
    """Sends arrays full of 1, 2, 3, ...; loaned ones if told so."""

    def __init__(self, count: int, size: int = 10_000, *, loans: bool = False) -> None:
        super().__init__("frames")
        self.count, self.size, self.loans = count, size, loans

    def setup(self) -> None:
        self.sent = 0

    def main_logic(self) -> Any:
        if self.sent == self.count:
            raise EndOfStream
        self.sent += 1
        frame = self.loan(self.size) if self.loans else np.empty(self.size, np.uint8)
        frame[:] = self.sent
        return frame


class Passing(MiddleRoutine):
    def main_logic(self, data: Any) -> Any:
        return data


class Looking(CollectingDestination):
    """Notes first and last value of each array, and whether it may be written to; keeps the arrays if told so."""

    def __init__(self, name: str, *, keeps: bool = False) -> None:
        super().__init__(name)
        self.keeps = keeps

    def setup(self) -> None:
        super().setup()
        self.kept: list[np.ndarray] = []

    def main_logic(self, data: Any) -> None:
        if self.keeps:
            self.kept.append(data)
        else:
            super().main_logic((int(data[0]), int(data[-1]), data.flags.writeable))

    def cleanup(self) -> None:
        for data in self.kept:
            super().main_logic((int(data.min()), int(data.max()), data.flags.writeable))
        super().cleanup()


def row(*routines: Any, inline: bool, **options: Any) -> Pipe:
    """A pipe of routines one behind the other, each in a flow named after it."""
    pipe = Pipe(inline=inline, **options)
    for routine in routines:
        pipe.create_flow(routine.name, False, routine)
    pipe.link(*(Wire(one, other) for one, other in pairwise(routines)))
    return pipe


# ------------------------------------------------------------------------------------------------ order and loss


@pytest.mark.parametrize("capacity", [1, 64])
def test_a_lossless_wire_delivers_everything_once_and_in_order(inline: bool, capacity: int) -> None:
    numbers, through, seen = ListSource(range(1500), "numbers"), Passing("through"), CollectingDestination("seen")
    pipe = Pipe(inline=inline, lossless=True)
    for routine in (numbers, through, seen):
        pipe.create_flow(routine.name, False, routine)
    pipe.link(Wire(numbers, through, capacity=capacity), Wire(through, seen, capacity=capacity))
    assert pipe.run(timeout=60.0).reason == "finished"
    assert seen.items() == list(range(1500))


@pytest.mark.parametrize("apart", [True, False], ids=["two flows", "one flow"])
@pytest.mark.parametrize("capacity", [1, 3])
def test_a_real_time_wire_keeps_the_newest_and_counts_the_rest(inline: bool, apart: bool, capacity: int) -> None:
    # Given a destination that is not started before the source is through
    numbers, seen = ListSource(range(200), "numbers"), CollectingDestination("seen")
    pipe = Pipe(inline=inline)
    pipe.create_flow("numbers", False, *([numbers] if apart else [numbers, seen]))
    if apart:
        pipe.create_flow("seen", False, seen)
    pipe.link(Wire(numbers, seen, capacity=capacity))
    with pipe:
        pipe.notify_event("start", {"numbers": ["numbers"]})
        finished(pipe, "numbers")
        # When it is started
        pipe.notify_event("start", {seen.flow_name: ["seen"]})
        wire = finished(pipe, "seen").wire("numbers", "seen")
    # Then it gets the newest, and the rest is counted
    assert seen.items() == list(range(200))[-capacity:]
    assert (wire.sent, wire.received, wire.dropped, wire.queued) == (200, capacity, 200 - capacity, 0)


def test_each_wire_of_a_source_follows_its_own_rule(inline: bool) -> None:
    # Given a source with a lossless wire and a real-time one, and transmitters of either kind
    frames = Frames(100)
    everything, newest = Looking("everything"), Looking("newest")
    pipe = Pipe(inline=inline)
    for routine in (frames, everything, newest):
        pipe.create_flow(routine.name, False, routine)
    pipe.link(Wire(frames, everything, BasicTransmitter(), lossless=True), Wire(frames, newest, VIEWS))
    with pipe:
        # When the real-time reader comes late
        started(pipe, "frames", "everything")
        finished(pipe, "everything")
        started(pipe, "newest")
        status = finished(pipe, "newest")
    # Then one gets all of it as its own, the other the last one as a view
    assert everything.items() == [(number, number, True) for number in range(1, 101)]
    assert newest.items() == [(100, 100, False)]
    assert status.wire("frames", "newest").dropped == 99
    assert status.wire("frames", "everything").dropped == 0


def test_every_message_of_a_fast_source_is_accounted_for(inline: bool) -> None:
    seen = CollectingDestination("seen")
    pipe = row(ListSource(range(3000), "numbers"), Passing("through"), seen, inline=inline)
    summary = pipe.run(timeout=60.0)
    for wire in summary.wires:
        assert wire.sent == wire.received + wire.dropped
    assert seen.items() == sorted(set(seen.items()))
    assert seen.items()[-1] == 2999


# ------------------------------------------------------------------------------------------------ views


@pytest.mark.parametrize("loans", [False, True], ids=["own arrays", "loaned arrays"])
def test_views_are_passed_on_along_a_chain(inline: bool, loans: bool) -> None:
    seen = Looking("seen")
    routines = (Frames(60, loans=loans), Passing("one"), Passing("two"), seen)
    summary = row(*routines, inline=inline, lossless=True, data_transmitter=VIEWS).run(timeout=60.0)
    assert seen.items() == [(number, number, False) for number in range(1, 61)]
    assert summary.errors == 0


def test_views_that_were_passed_on_become_private_behind_a_basic_wire(inline: bool) -> None:
    frames, through, seen = Frames(30), Passing("through"), Looking("seen")
    pipe = Pipe(inline=inline, lossless=True)
    for routine in (frames, through, seen):
        pipe.create_flow(routine.name, False, routine)
    pipe.link(Wire(frames, through, VIEWS), Wire(through, seen, BasicTransmitter()))
    pipe.run(timeout=60.0)
    assert seen.items() == [(number, number, True) for number in range(1, 31)]


def test_who_keeps_everything_finds_everything_as_it_was(inline: bool) -> None:
    seen = Looking("seen", keeps=True)
    summary = row(Frames(60), seen, inline=inline, lossless=True, data_transmitter=VIEWS).run(timeout=60.0)
    assert seen.items() == [(number, number, False) for number in range(1, 61)]
    assert summary.wires[0].copied > 0


# ------------------------------------------------------------------------------------------------ ways of one's own


class ThroughFiles(DataTransmitter):
    """Data lies in files, and their names travel."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def transmit(self) -> Callable[[Any], Any]:
        def write(data: Any) -> str:
            handle, name = tempfile.mkstemp(dir=self.folder, suffix=".npy")
            with os.fdopen(handle, "wb") as file:
                np.save(file, data)
            return name

        return write

    def receive(self) -> Callable[[Any], Any]:
        return lambda name: np.load(name)


def test_a_transmitter_of_ones_own_carries_its_wire_and_no_other(inline: bool, tmp_path: Path) -> None:
    frames, through_files, plain = Frames(20), Looking("through_files"), Looking("plain")
    pipe = Pipe(inline=inline, lossless=True)
    for routine in (frames, through_files, plain):
        pipe.create_flow(routine.name, False, routine)
    pipe.link(Wire(frames, through_files, ThroughFiles(tmp_path)), Wire(frames, plain, VIEWS))
    pipe.run(timeout=60.0)
    assert [item[:2] for item in through_files.items()] == [(number, number) for number in range(1, 21)]
    assert plain.items() == [(number, number, False) for number in range(1, 21)]
    assert len(list(tmp_path.iterdir())) == 20


# ------------------------------------------------------------------------------------------------ what cannot travel


class Mixed(SourceRoutine):
    """Sends numbers, every third of them wrapped in something that cannot be pickled."""

    def main_logic(self) -> Iterator[Any]:
        for number in range(30):
            yield (item for item in [number]) if number % 3 == 0 else number


@pytest.mark.expects_errors
def test_data_that_cannot_travel_is_counted_and_the_rest_goes_on(inline: bool) -> None:
    seen = CollectingDestination("seen")
    summary = row(Mixed("mixed"), seen, inline=inline, lossless=True).run(timeout=60.0)
    assert seen.items() == [number for number in range(30) if number % 3]
    assert (summary.wires[0].dropped, summary.errors) == (10, 10)


# ------------------------------------------------------------------------------------------------ very large


@pytest.mark.skipif(
    not Path("/dev/shm").is_dir() or shutil.disk_usage("/dev/shm").free < 3 * GIB,
    reason="a message of 1 GiB takes 3 GiB of free /dev/shm",
)
def test_a_gibibyte_arrives() -> None:
    seen = Looking("seen")
    summary = row(Frames(1, GIB, loans=True), seen, inline=False, lossless=True, data_transmitter=VIEWS).run(
        timeout=90.0
    )
    assert seen.items() == [(1, 1, False)]
    assert summary.wires[0].received == 1
