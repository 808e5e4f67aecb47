"""What the ends of a link say to each other arrives as it was said, or is refused."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from pipert2.engine.link.frames import (
    BadFrameError,
    Clocks,
    Kind,
    Report,
    There,
    kind_of,
    ranges_of,
    unpack_clocks,
    unpack_report,
    unpack_there,
)
from pipert2.engine.link.payload import END, NOBODY, Packer, parcels_of

HEAD = There(Kind.BATCH, True, 3, 9, 5, 2, 77)


@dataclass
class Picture:
    frame: np.ndarray
    mask: np.ndarray
    name: str


def carried(*data: Any) -> list[Any]:
    packer = Packer()
    parcels = [packer.parcel(one, 10 + at, 20 + at, (1, at)) for at, one in enumerate(data)]
    frame = bytes(packer.batch(HEAD._replace(messages=len(parcels)), parcels))
    found = parcels_of(unpack_there(frame), frame)
    assert [(one.sequence, one.born, one.identity) for one in found] == [
        (10 + at, 20 + at, (1, at)) for at in range(len(data))
    ]
    return [one.data() for one in found]


def test_heads_reports_and_clocks_arrive_as_they_were_sent() -> None:
    assert unpack_there(HEAD.pack()) == HEAD
    for answers in ((), ((2, b"two"), (7, b""))):
        report = Report(1, 2, 3, 4, True, 5, ((1, 3), (7, 7)), answers)
        assert unpack_report(report.pack()) == report
    clocks = Clocks(Kind.PONG, 1, 2, 3)
    assert unpack_clocks(clocks.pack()) == clocks


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.uint8),
        np.arange(24, dtype=">f4").reshape(2, 3, 4),
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(100)[::7],
        np.zeros((0, 3)),
        np.array(5),
        np.array([1 + 2j]),
        np.array(["2020-01-01"], "datetime64[D]"),
        np.array([("a", 1)], [("name", "U3"), ("number", "i2")]),
        np.array([{"a": 1}, None]),
        np.random.default_rng(1).integers(0, 255, (300, 400, 3), np.uint8),
    ],
    ids=lambda array: f"{array.dtype} {array.shape}",
)
def test_arrays_arrive_whatever_their_kind_and_layout(array: np.ndarray) -> None:
    for got in (*carried(array), *(one["x"] for one in carried({"x": array})), carried([array])[0][0]):
        assert got.dtype == array.dtype
        np.testing.assert_array_equal(got, array)


def test_a_batch_keeps_messages_apart() -> None:
    picture = Picture(np.full((200, 300), 7, np.uint8), np.ones(3, bool), "first")
    small, number, got, nothing = carried({"a": [1, 2]}, 5, picture, None)
    assert (small, number, nothing) == ({"a": [1, 2]}, 5, None)
    assert got.name == "first"
    assert got.mask.tolist() == [True] * 3
    assert got.frame.tobytes() == picture.frame.tobytes()


def test_large_arrays_are_not_pickled() -> None:
    frame = np.zeros(1_000_000, np.uint8)
    parcel = Packer().parcel({"frame": frame, "number": 3}, 1, 1, NOBODY)
    assert len(parcel.stream) < 300
    assert np.shares_memory(parcel.arrays[0], frame)


def test_more_arrays_than_a_record_counts_arrive_all_the_same() -> None:
    (got,) = carried([np.full(10, at) for at in range(300)])
    assert [int(one[0]) for one in got] == list(range(300))


def test_the_end_of_a_stream_is_a_message_without_data() -> None:
    frame = bytes(Packer().batch(HEAD._replace(messages=1), [END]))
    (found,) = parcels_of(unpack_there(frame), frame)
    assert found.ends


def test_bytes_that_no_link_has_sent_are_refused_and_never_break_anything() -> None:
    picks = random.Random(1)
    packer = Packer()
    parcels = [packer.parcel({"x": np.arange(50)}, 1, 1, NOBODY), packer.parcel(3, 1, 1, NOBODY)]
    good = [
        bytes(packer.batch(HEAD._replace(messages=2), parcels)),
        Report(1, 2, 3, 4, True, 5, ((1, 3),), ((2, b"two"),)).pack(),
        Clocks(Kind.PING, 1, 2, 3).pack(),
        b"",
        b"hello",
    ]
    for _ in range(20_000):
        frame = bytearray(picks.choice(good))
        for _ in range(picks.randint(1, 4)):
            if frame and picks.random() < 0.7:
                frame[picks.randrange(len(frame))] = picks.randrange(256)
            else:
                frame = frame[: picks.randint(0, len(frame))]
        for read in (_read_there, unpack_report, unpack_clocks, kind_of):
            try:
                read(bytes(frame))
            except BadFrameError:
                pass


def _read_there(frame: bytes) -> None:
    head = unpack_there(frame)
    parcels_of(head, frame)


def test_numbers_become_ranges() -> None:
    assert ranges_of([]) == []
    assert ranges_of([5, 5, 4, 9]) == [(4, 5), (9, 9)]
