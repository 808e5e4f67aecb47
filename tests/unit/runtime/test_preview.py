"""Previews: which frame is found, how it is made small, and that nothing about it can harm a routine."""

from __future__ import annotations

import io
import threading
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipert2 import Data, FrameData
from pipert2.runtime.routine import preview
from pipert2.runtime.routine.preview import Encoder, PreviewFrame, Tap, frame_of, is_picture, jpeg, shrunk
from pipert2.testing import VirtualClock, wait_until

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8)


class Framed(FrameData):
    def __init__(self, frame: Any) -> None:
        super().__init__()
        self.frame = frame

    def get_frame(self) -> Any:
        if isinstance(self.frame, BaseException):
            raise self.frame
        return self.frame


@dataclass
class Shot(Data):
    number: int
    picture: np.ndarray[Any, Any]


Pair = namedtuple("Pair", "label picture")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    clock = VirtualClock(100.0)
    monkeypatch.setattr(preview.time, "monotonic", clock.now)
    return clock


class Gallery(list[PreviewFrame]):
    """Gets the pictures of an encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder(self.append)

    def tap(self, **options: Any) -> Tap:
        return Tap(self.encoder, "camera", "output", options.get("rate", 10.0), options.get("size", 480))

    def await_pictures(self, count: int) -> list[PreviewFrame]:
        wait_until(lambda: len(self) >= count, what=f"{count} pictures")
        return list(self)

    def await_quiet(self) -> None:
        """Wait until the encoder has begun with all that it got."""
        wait_until(lambda: not self.encoder._thread.waiting, what="an encoder without work")


@pytest.fixture
def gallery() -> Iterator[Gallery]:
    gallery = Gallery()
    yield gallery
    gallery.encoder.close()


def picture_of(frame: PreviewFrame) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(frame.jpeg)))


# ------------------------------------------------------------------------------------------------ finding the frame


@pytest.mark.parametrize(
    "data",
    [
        GREY,
        Framed(GREY),
        {"text": "x", "small": np.zeros(3), "frame": GREY},
        [1, GREY],
        (GREY, 2),
        Pair("label", GREY),
        Shot(1, GREY),
    ],
    ids=lambda data: type(data).__name__,
)
def test_the_frame_is_found_in(data: Any) -> None:
    found = frame_of(data)
    assert found is not None
    assert np.array_equal(found, GREY)


@pytest.mark.parametrize(
    "data",
    [
        *(None, 1, "text", b"bytes", {}, [], object(), Shot, np.array(3)),
        *(np.zeros(5), np.zeros((4, 4, 2)), np.zeros((0, 4)), np.zeros((2, 2, 2, 3))),
        *(GREY.astype(object), np.zeros((4, 4), "M8[s]"), np.zeros((4, 4), complex), np.zeros((4, 4), "U3")),
    ],
    ids=lambda data: "an object" if type(data) is object else str(data)[:30],
)
def test_there_is_no_frame_in(data: Any) -> None:
    assert frame_of(data) is None


def test_the_first_frame_of_several_is_taken() -> None:
    found = frame_of({"left": GREY, "right": GREY + 1})
    assert found is GREY


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 1), (2, 2, 3), (2, 2, 4), (4000, 2)])
def test_what_is_shaped_as_an_image_is_one(shape: tuple[int, ...]) -> None:
    assert is_picture(np.zeros(shape))


@pytest.mark.parametrize(
    "shape", [(), (9,), (1, 9), (9, 1), (2, 2, 2), (2, 2, 5), (3, 2, 2), (2, 2, 3, 1), (0, 0), (2, 2, 0)]
)
def test_what_is_not_shaped_as_an_image_is_none(shape: tuple[int, ...]) -> None:
    assert not is_picture(np.zeros(shape))


# ------------------------------------------------------------------------------------------------ making it small


KINDS = ["u1", "i1", "u2", "i2", "u4", "i8", "u8", "f2", "f4", "f8", "g", "?", ">u2", ">f4"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(30, 40), (30, 40, 1), (30, 40, 3), (30, 40, 4)])
def test_any_numbers_become_eight_bits(kind: str, shape: tuple[int, ...]) -> None:
    frame = (np.arange(np.prod(shape)).reshape(shape) % 2).astype(kind)
    small = shrunk(frame, 480)
    assert small.dtype == np.uint8
    assert small.shape == (shape[:2] if shape[2:] in ((), (1,)) else (*shape[:2], 3))
    assert jpeg(small)


@settings(deadline=None)
@given(
    height=st.integers(1, 3000),
    width=st.integers(1, 3000),
    size=st.integers(1, 4000),
    channels=st.sampled_from([None, 1, 3, 4]),
)
def test_the_longer_side_is_at_most_the_size(height: int, width: int, size: int, channels: int | None) -> None:
    frame = np.broadcast_to(np.uint8(1), (height, width) if channels is None else (height, width, channels))
    small = shrunk(frame, size)
    assert 1 <= max(small.shape[:2]) <= size


def test_a_picture_that_is_small_enough_keeps_all_its_pixels() -> None:
    assert np.array_equal(shrunk(GREY, 8), GREY)


def test_the_picture_is_a_copy_and_not_a_view() -> None:
    frame = GREY.copy()
    small = shrunk(frame, 480)
    frame[:] = 0
    assert np.array_equal(small, GREY)
    assert small.flags.c_contiguous


@pytest.mark.parametrize(
    "frame",
    [GREY[::-1, ::-1], GREY.T, np.asfortranarray(GREY), np.broadcast_to(GREY[0], (6, 8)), GREY[::2, ::3]],
)
def test_any_layout_will_do(frame: np.ndarray[Any, Any]) -> None:
    assert np.array_equal(shrunk(frame, 480), frame)


def test_transparency_is_left_out() -> None:
    frame = np.zeros((4, 4, 4), np.uint8)
    frame[..., :3] = (1, 2, 3)
    frame[..., 3] = 99
    assert shrunk(frame, 10)[0, 0].tolist() == [1, 2, 3]


def test_floats_are_stretched_from_their_least_to_their_greatest() -> None:
    assert shrunk(np.array([[-1.0, 0.0], [1.0, 3.0]]), 10).tolist() == [[0, 63], [127, 255]]


def test_true_is_white() -> None:
    assert shrunk(np.array([[True, False], [False, True]]), 10).tolist() == [[255, 0], [0, 255]]


def test_all_the_same_is_black() -> None:
    assert not shrunk(np.full((4, 4), 7.5), 10).any()


@pytest.mark.parametrize(
    "values",
    [
        [np.nan, 0.0, 0.5, 1.0],
        [np.inf, -np.inf, 0.0, 1.0],
        [np.nan] * 4,
        [-1e308, 1e308, 0.0, 1.0],
        [5e-324, 0.0, 0.0, 0.0],
        [np.finfo("f8").max, np.finfo("f8").min, np.nan, np.inf],
    ],
    ids=str,
)
def test_odd_numbers_make_a_picture_without_a_warning(values: list[float]) -> None:
    assert shrunk(np.array(values).reshape(2, 2), 10).shape == (2, 2)


# ------------------------------------------------------------------------------------------------ taking pictures


def test_a_picture_tells_what_it_was_made_of(gallery: Gallery) -> None:
    gallery.tap(size=4).see({"frame": np.zeros((60, 80, 3), np.uint16)})
    (frame,) = gallery.await_pictures(1)
    assert (frame.routine, frame.side, frame.number) == ("camera", "output", 1)
    assert (frame.width, frame.height, frame.original, frame.dtype) == (4, 3, (60, 80, 3), "uint16")
    assert picture_of(frame).shape == (3, 4, 3)


def test_the_picture_shows_the_frame(gallery: Gallery) -> None:
    frame = np.zeros((64, 64, 3), np.uint8)
    frame[:, 32:] = (255, 0, 0)
    gallery.tap().see(frame)
    seen = picture_of(gallery.await_pictures(1)[0]).astype(int)
    assert seen[:, :24].max() < 30
    assert seen[:, 40:, 0].min() > 220
    assert seen[:, 40:, 1:].max() < 40


def test_no_more_pictures_than_the_rate_allows(gallery: Gallery, clock: VirtualClock) -> None:
    tap = gallery.tap(rate=10.0)
    for _ in range(1000):
        tap.see(GREY)
        clock.advance(0.01)
    gallery.await_pictures(1)
    assert 95 <= tap._number <= 101


def test_data_without_a_frame_uses_no_picture_number(gallery: Gallery, clock: VirtualClock) -> None:
    tap = gallery.tap()
    for data in ("text", GREY, None, GREY):
        tap.see(data)
        clock.advance(1.0)
    assert tap._number == 2


BAD_FRAMES = {
    "none": None,
    "one dimension": np.zeros(9),
    "two channels": np.zeros((4, 4, 2), np.uint8),
    "five channels": np.zeros((4, 4, 5), np.uint8),
    "four dimensions": np.zeros((2, 4, 4, 3), np.uint8),
    "empty": np.zeros((0, 0), np.uint8),
    "no channels": np.zeros((4, 4, 0), np.uint8),
    "complex": np.zeros((4, 4), complex),
    "objects": np.array([[object()] * 4] * 4),
    "texts": np.array([["a", "b"]] * 2),
    "dates": np.zeros((4, 4), "M8[s]"),
    "structured": np.zeros((4, 4), [("a", "u1")]),
    "a text": "no frame",
    "a ragged list": [[1, 2], [3]],
    "a failure": ValueError("no frame yet"),
    "a failure to be there at all": SystemExit(3),
    "no memory": MemoryError(),
}


@pytest.mark.parametrize("frame", BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_a_frame_that_makes_no_picture_harms_nobody(gallery: Gallery, clock: VirtualClock, frame: Any) -> None:
    tap = gallery.tap()
    tap.see(Framed(frame))
    gallery.await_quiet()
    clock.advance(1.0)
    tap.see(GREY)
    wait_until(lambda: any(found.original == GREY.shape for found in gallery), what="the next picture")


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (1, 70_000), (70_000, 1)])
def test_a_frame_of_one_pixel_in_a_row_harms_nobody(
    gallery: Gallery, clock: VirtualClock, shape: tuple[int, int]
) -> None:
    tap = gallery.tap(size=100_000)
    tap.see(Framed(np.zeros(shape, np.uint8)))
    gallery.await_quiet()
    clock.advance(1.0)
    tap.see(GREY)
    wait_until(lambda: any(found.original == GREY.shape for found in gallery), what="the next picture")


# ------------------------------------------------------------------------------------------------ the encoder


def test_nothing_is_started_before_there_is_a_picture() -> None:
    Encoder(print)
    assert not [thread for thread in threading.enumerate() if thread.name == "pipert2-preview"]


def test_only_the_newest_picture_waits(gallery: Gallery, clock: VirtualClock) -> None:
    # Given an encoder whose receiver is slow
    let_go = threading.Event()
    found: list[int] = []

    def slow(frame: PreviewFrame) -> None:
        found.append(frame.number)
        let_go.wait(10.0)

    encoder = Encoder(slow)
    tap = Tap(encoder, "camera", "output", 10.0, 480)
    tap.see(GREY)
    wait_until(lambda: found == [1])
    # When pictures keep coming
    for _ in range(20):
        clock.advance(1.0)
        tap.see(GREY)
    let_go.set()
    # Then it gets the last one next
    wait_until(lambda: len(found) == 2)
    assert found == [1, 21]
    encoder.close()


def test_a_closed_encoder_has_no_thread_takes_nothing_and_closes_twice(clock: VirtualClock) -> None:
    gallery = Gallery()
    tap = gallery.tap()
    tap.see(GREY)
    gallery.await_pictures(1)
    gallery.encoder.close()
    gallery.encoder.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "pipert2-preview"]
    clock.advance(1.0)
    tap.see(GREY)
    assert len(gallery) == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "pipert2-preview"]
