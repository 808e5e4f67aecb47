"""Arrays in shared memory: lent to sources, viewed by readers for as long as they like, never overwritten."""

from __future__ import annotations

import time
import zlib
from typing import Any

import numpy as np
import pytest

from pipert2 import (
    BasicTransmitter,
    DestinationRoutine,
    EndOfStream,
    MiddleRoutine,
    Pipe,
    SharedMemoryTransmitter,
    SourceRoutine,
    Wire,
)
from pipert2.testing import CollectingDestination, ListSource

SHAPE = (120, 160, 3)


class Lends(SourceRoutine):
    """Writes numbered frames straight into shared memory, *use* says what is sent of each."""

    def __init__(self, amount: int, use: Any = lambda frame: frame) -> None:
        super().__init__("lends")
        self.amount = amount
        self.use = use
        self.number = 0

    def main_logic(self) -> Any:
        if self.number == self.amount:
            raise EndOfStream
        frame = self.loan(SHAPE, np.uint8)
        assert frame.flags.writeable
        frame[:] = self.number % 251
        self.number += 1
        return self.use(frame)


class Notes(DestinationRoutine):
    """Notes what kind of array comes, and what is in it."""

    def __init__(self, journal: Any) -> None:
        super().__init__("notes")
        self.journal = journal

    def main_logic(self, data: Any) -> None:
        array = data["frame"] if isinstance(data, dict) else data
        kind = "view" if not array.flags.owndata and not array.flags.writeable else "own"
        values = sorted({int(array.min()), int(array.max())})
        self.journal.note(kind, array.shape, array.dtype, *values)


@pytest.mark.parametrize(
    ("use", "shape"),
    [
        (lambda frame: frame, SHAPE),
        (lambda frame: {"frame": frame, "more": "text"}, SHAPE),
        (lambda frame: frame[10:20], (10, 160, 3)),
        (lambda frame: frame[:, ::2], (120, 80, 3)),
        (lambda frame: frame.reshape(120, 480).view(np.uint32), (120, 120)),
        (lambda frame: np.asfortranarray(frame), SHAPE),
    ],
    ids=["whole", "in a dict", "rows", "every other column", "as another type", "as a copy"],
)
def test_what_is_sent_of_a_lent_frame_arrives_as_a_view(chain, journal, use, shape):
    pipe = chain(Lends(30, use), Notes(journal), lossless=True, transmitter=SharedMemoryTransmitter())
    assert pipe.run(timeout=60).errors == 0
    lines = journal.lines()
    assert len(lines) == 30
    assert all(line.startswith(f"view {shape}") for line in lines)
    if shape != (120, 120):
        assert [line.split()[-1] for line in lines] == [str(number) for number in range(30)]


def test_a_lent_frame_on_a_basic_wire_arrives_as_a_private_writable_copy(chain, journal):
    class Writes(DestinationRoutine):
        def main_logic(self, data: Any) -> None:
            data += 1
            journal.note(int(data.max()))

    pipe = chain(Lends(20), Writes("writes"), lossless=True, transmitter=BasicTransmitter())
    assert pipe.run(timeout=60).errors == 0
    assert journal.lines() == [str(number + 1) for number in range(20)]


def test_views_are_read_only(chain):
    class Writes(DestinationRoutine):
        def main_logic(self, data: Any) -> None:
            try:
                data[0] = 1
            except ValueError:
                return
            raise AssertionError("a view could be written to")

    frames = ListSource([np.zeros(size, np.uint8) for size in (10, 4_000, 6_000, 100_000)], "frames")
    pipe = chain(frames, Writes("writes"), lossless=True, transmitter=SharedMemoryTransmitter(0))
    assert pipe.run(timeout=60).errors == 0


class Hoards(DestinationRoutine):
    """Keeps *most* frames and looks at all of them each time."""

    def __init__(self, name: str, most: int) -> None:
        super().__init__(name)
        self.most = most

    def setup(self) -> None:
        self.hoard: list[tuple[Any, int]] = []

    def main_logic(self, data: Any) -> None:
        self.hoard.append((data, zlib.crc32(data)))
        del self.hoard[: -self.most]
        for frame, checksum in self.hoard:
            if zlib.crc32(frame) != checksum:
                raise ValueError("a frame has changed")


@pytest.mark.parametrize("lossless", [False, True], ids=["real-time", "lossless"])
@pytest.mark.parametrize("most", [1, 7, 40])
def test_kept_views_never_change(lossless, most):
    lends, first, second = Lends(400), Hoards("first", most), Hoards("second", 2)
    pipe = Pipe(data_transmitter=SharedMemoryTransmitter(), lossless=lossless)
    for routine in (lends, first, second):
        pipe.create_flow(routine.name, False, routine)
    pipe.link(Wire(lends, (first, second)))
    summary = pipe.run(timeout=60)
    assert (summary.reason, summary.errors) == ("finished", 0)


class Ticks(SourceRoutine):
    count = 0

    def main_logic(self) -> str:
        self.count += 1
        if self.count > 600:
            raise EndOfStream
        self.wait(0.001)
        return "tick"


class Repeats(MiddleRoutine):
    """At each tick the newest frame, so most frames are sent several times."""

    newest: Any = None

    def main_logic(self, data: Any) -> Any:
        if isinstance(data, str):
            return self.newest
        self.newest = data
        return None


class LooksLong(DestinationRoutine):
    """Looks at one frame for long while others pass."""

    def main_logic(self, data: Any) -> None:
        for _ in range(10):
            if data.min() != data.max():
                raise ValueError("a frame is of two minds")
            first = int(data[0, 0, 0])
            time.sleep(0.001)
            if int(data[0, 0, 0]) != first or data.min() != data.max():
                raise ValueError("a frame has changed")


def test_frames_that_are_sent_several_times_do_not_change_under_a_slow_reader():
    class Films(Lends):
        def main_logic(self) -> Any:
            self.wait(0.003)
            return super().main_logic()

    films, ticks, repeats, looks = Films(150), Ticks("ticks"), Repeats("repeats"), LooksLong("looks")
    pipe = Pipe(data_transmitter=SharedMemoryTransmitter())
    for routine in (films, ticks, repeats, looks):
        pipe.create_flow(routine.name, False, routine)
    pipe.link(Wire(films, (repeats,)), Wire(ticks, (repeats,), lossless=True), Wire(repeats, (looks,)))
    summary = pipe.run(timeout=60)
    assert (summary.reason, summary.errors) == ("finished", 0)
    assert {routine.name: routine.received for routine in summary.routines}["looks"] > 10


def test_a_frame_passed_on_by_several_flows_arrives_whole_and_is_not_copied(chain):
    class Passes(MiddleRoutine):
        def main_logic(self, data: Any) -> Any:
            assert not data.flags.owndata
            return data

    looks = Hoards("looks", 3)
    routines = (Lends(300), Passes("one"), Passes("two"), Passes("three"), looks)
    summary = chain(*routines, lossless=True, transmitter=SharedMemoryTransmitter()).run(timeout=60)
    assert (summary.reason, summary.errors) == ("finished", 0)
    assert [wire.received for wire in summary.wires] == [300] * 4


def test_odd_arrays_arrive_as_they_were_sent(chain):
    point = np.dtype([("x", "<f4"), ("y", "<i2"), ("name", "S5")])
    data = [
        np.zeros(0),
        np.zeros((3, 0, 2)),
        np.array(5.0),
        np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1),
        np.asfortranarray(np.arange(10_000.0).reshape(100, 100)),
        np.arange(100_000)[::-3],
        np.array([(1.5, 2, b"abc")] * 2000, point),
        np.arange(5000).astype(">u2"),
        np.array(["a", "bcd"] * 3000),
        np.arange(4).astype("datetime64[s]"),
        np.array([1, "two", None], dtype=object),
        [np.full(2000, number, np.uint8) for number in range(40)],
        {"deep": [{"er": (np.arange(7000), b"x" * 9000)}]},
        bytearray(20_000),
        b"",
    ]
    for transmitter in (BasicTransmitter(), SharedMemoryTransmitter(), SharedMemoryTransmitter(0)):
        seen = CollectingDestination("seen")
        assert chain(ListSource(data, "odd"), seen, lossless=True, transmitter=transmitter).run(timeout=60).errors == 0
        assert len(seen.items()) == len(data)
        for sent, got in zip(data, seen.items(), strict=True):
            if isinstance(sent, np.ndarray):
                assert (sent.dtype, sent.shape) == (got.dtype, got.shape)
                assert np.array_equal(sent, got)
            else:
                assert repr(sent) == repr(got)


def test_messages_of_very_different_sizes_follow_one_another(chain, journal):
    class Sizes(SourceRoutine):
        def setup(self) -> None:
            self.sizes = [0, 1, 400, 512, 5_000, 1 << 20, 3, 30_000_000, 10, 1 << 22, 100_000_000, 7]

        def main_logic(self) -> Any:
            if not self.sizes:
                raise EndOfStream
            size = self.sizes.pop(0)
            return np.full(size, size % 251, np.uint8)

    class Measures(DestinationRoutine):
        def main_logic(self, data: Any) -> None:
            assert data.size == 0 or data.min() == data.max() == data.size % 251
            journal.note(data.size)

    summary = chain(Sizes("sizes"), Measures("measures"), lossless=True).run(timeout=60)
    assert summary.errors == 0
    assert [int(line) for line in journal.lines()] == [
        0, 1, 400, 512, 5_000, 1 << 20, 3, 30_000_000, 10, 1 << 22, 100_000_000, 7,
    ]  # fmt: skip
