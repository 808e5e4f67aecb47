"""Previews: small pictures of the frames that a routine gets or returns, for people to look at."""

from __future__ import annotations

import dataclasses
import io
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pipert2.graph.data import FrameData
from pipert2.runtime.routine.side_thread import SideThread

logger = logging.getLogger(__name__)

Side = Literal["input", "output"]
_Picture = np.ndarray[Any, np.dtype[Any]]

_QUALITY = 75
_FEWEST_PIXELS = 2


@dataclass(frozen=True, slots=True)
class PreviewFrame:
    """A picture of what a routine got or returned.

    Attributes:
        routine, side: which; *side* is ``"input"`` or ``"output"``.
        number: counts the pictures of this preview from 1.
        time: when the routine had the data (seconds since the epoch).
        width, height: of the picture. original: the shape of the frame it was made of. dtype: of its elements.
        jpeg: the picture.
    """

    routine: str
    side: str
    number: int
    time: float
    width: int
    height: int
    original: tuple[int, ...]
    dtype: str
    jpeg: bytes


class Tap:
    """Looks at the data that passes, keeps to a rate, and hands what it takes to an encoder."""

    def __init__(self, encoder: Encoder, routine: str, side: Side, rate: float, size: int) -> None:
        self._encoder = encoder
        self._key = (routine, side)
        self._period = 1.0 / rate
        self._size = size
        self._due = 0.0
        self._number = 0

    def see(self, data: Any) -> None:
        """Take a picture, if it is time and the data has one. Never raises, never waits."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + self._period
        try:
            frame = frame_of(data)
            if frame is None:
                return
            small = shrunk(frame, self._size)
        except BaseException:  # a get_frame() of the user's that fails must not harm the routine
            return
        self._number += 1
        routine, side = self._key
        height, width = small.shape[:2]
        shape = tuple(int(length) for length in frame.shape)
        blank = PreviewFrame(routine, side, self._number, time.time(), width, height, shape, str(frame.dtype), b"")
        self._encoder.put(self._key, blank, small)


class Encoder:
    """Makes JPEG pictures in a thread of its own, the newest of each tap.

    Args:
        send: gets each finished picture.
    """

    def __init__(self, send: Callable[[PreviewFrame], None]) -> None:
        self._send = send
        self._thread: SideThread[tuple[PreviewFrame, _Picture]] = SideThread("pipert2-preview", self._encode)
        self.close = self._thread.close

    def put(self, key: tuple[str, str], blank: PreviewFrame, picture: _Picture) -> None:
        """Encode *picture* as soon as may be, in place of an older one of the same tap that still waits."""
        self._thread.put(key, (blank, picture))

    def _encode(self, job: tuple[PreviewFrame, _Picture]) -> None:
        blank, picture = job
        try:
            encoded = jpeg(picture)
        except Exception:  # a shape that JPEG does not have
            logger.debug("a preview of %s cannot be encoded", blank.routine, exc_info=True)
        else:
            self._send(dataclasses.replace(blank, jpeg=encoded))


def frame_of(data: Any) -> _Picture | None:
    """The frame in a message: that of :class:`FrameData`, the data itself, or the first image-shaped value in it."""
    if isinstance(data, FrameData):
        frame = np.asarray(data.get_frame())
        return frame if is_picture(frame) else None
    if is_picture(data):
        return data  # type: ignore[no-any-return]
    values: Any = ()
    if isinstance(data, Mapping):
        values = data.values()
    elif isinstance(data, tuple | list):
        values = data[:8]
    elif dataclasses.is_dataclass(data):
        values = [getattr(data, field.name, None) for field in dataclasses.fields(data)]
    return next((value for value in values if is_picture(value)), None)


def is_picture(value: Any) -> bool:
    """Whether *value* is shaped as an image: height x width, or that x 1, 3 or 4; of numbers."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf" or min(value.shape, default=0) < 1:
        return False
    flat = value.ndim == 2 or (value.ndim == 3 and value.shape[2] in (1, 3, 4))
    return flat and min(value.shape[:2]) >= _FEWEST_PIXELS


def shrunk(frame: _Picture, size: int) -> _Picture:
    """A copy of *frame* with at most *size* pixels on its longer side, as 8-bit grey or RGB.

    Every n-th pixel is taken: what matters in the routine's thread is that it takes microseconds. Numbers other than
    8-bit are stretched from their least to their greatest.
    """
    step = max(1, -(-max(frame.shape[:2]) // size))
    small = frame[::step, ::step]
    if small.ndim == 3:
        small = small[:, :, 0] if small.shape[2] == 1 else small[:, :, :3]
    if small.dtype == np.uint8:
        return np.array(small, order="C")
    if small.dtype == bool:
        return small.astype(np.uint8) * 255
    with np.errstate(all="ignore"):
        values = (
            np.nan_to_num(small.astype(np.float64), posinf=0.0, neginf=0.0) / 2.0
        )  # so that no difference overflows
        low, high = float(values.min()), float(values.max())
        return ((values - low) / (high - low) * 255.0 if high > low else values * 0.0).astype(np.uint8)


def jpeg(picture: _Picture) -> bytes:
    """*picture*, 8-bit grey or RGB, as a JPEG file."""
    file = io.BytesIO()
    from PIL import Image  # few pipes are looked at, and all others would wait for its import

    Image.fromarray(picture).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
