"""Sketches of what a routine shows: few points of a curve, a small picture of an array."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

ShownKind = Literal["number", "text", "curve", "image"]
LONGEST_TEXT = 2_000
MOST_POINTS = 500
"""Of a curve."""
MOST_PIXELS = 320
"""Of an image's longer side."""
_MOST_IN_LIST = 10_000
_EXACT = 10**15
# Dark blue to yellow, as bright as the number is large: it is read the same in grey, and by the colour-blind.
_COLOURS = "440154 482878 3e4989 31688e 26828e 1f9e89 35b779 6ece58 b5de2b fde725"

_Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class ShownValue:
    """Something that a routine shows, as a sketch for people.

    Attributes:
        routine: who shows it; of a replica its own name.
        name, kind: what it is: a ``"number"``, a ``"text"``, a ``"curve"`` (1-D array) or an ``"image"`` (2-D array).
        time: when it was shown last (seconds since the epoch).
        text: the newest number or the text; of an array its shape and dtype.
        shape: of the array; empty for anything else.
        at, values: the points of a curve, and the elements where they stand; of a number when it was what. ``None``
            is a value that is not finite.
        least, greatest: of an array's finite elements; ``None`` if there are none.
        png: an image's picture; elements that are not finite are transparent.
    """

    routine: str
    name: str
    kind: ShownKind
    time: float
    text: str
    shape: tuple[int, ...] = ()
    at: tuple[float, ...] = ()
    values: tuple[float | None, ...] = ()
    least: float | None = None
    greatest: float | None = None
    png: bytes = b""


@dataclass(frozen=True, slots=True)
class Held:
    """A value that waits for somebody to look; of another's memory only a part: *shape* is that of the whole."""

    kind: ShownKind
    value: Any
    shape: tuple[int, ...] = ()
    dtype: str = ""


def kind_of(value: Any) -> ShownKind | None:
    """How a value is shown; None if it cannot be."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype.kind not in "biuf":
            return None
        kinds: dict[int, ShownKind] = {0: "number", 1: "curve", 2: "image"}
        return kinds.get(value.ndim)
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, list | tuple) and len(value) <= _MOST_IN_LIST:
        try:
            return kind_of(np.asarray(value))
        except ValueError:  # rows of different lengths
            return None
    return None


def hold(kind: ShownKind, value: Any) -> Held:
    """Keep a value, without a copy where that is safe: an array may lie in shared memory, which others wait for."""
    if kind == "text":
        return Held(kind, whole_text(value[:LONGEST_TEXT]))
    if kind == "number":
        return Held(kind, value.item() if isinstance(value, np.ndarray | np.generic) else value)
    if isinstance(value, np.ma.MaskedArray):
        value = np.ma.filled(value.astype(np.float64), np.nan)
    array = np.asarray(value)
    shape, dtype = tuple(int(length) for length in array.shape), str(array.dtype)
    if array.base is not None or not array.flags.owndata:
        array = (array[_steps(array)] if array.ndim == 2 else array).copy()
    return Held(kind, array, shape, dtype)


def sketch(routine: str, name: str, time: float, held: Held, points: Sequence[tuple[int, float]]) -> ShownValue:
    """A sketch of a value; *points* are those of a number, in microseconds."""
    if held.kind == "text":
        return ShownValue(routine, name, "text", time, held.value)
    if held.kind == "number":
        at = tuple(stamp / 1e6 for stamp, _ in points)
        values = tuple(_finite(value) for _, value in points)
        return ShownValue(routine, name, "number", time, number_text(held.value), (), at, values)
    array: _Array = held.value
    text = f"{' x '.join(map(str, held.shape))} {held.dtype}"
    least, greatest = _extremes(array)
    if held.kind == "curve":
        at, values = _curve(array)
        return ShownValue(routine, name, "curve", time, text, held.shape, at, values, least, greatest)
    small = array[_steps(array)]
    return ShownValue(routine, name, "image", time, text, held.shape, (), (), least, greatest, _png(small))


def whole_text(text: str) -> str:
    """*text*, without halves of characters, which cannot be sent."""
    return str(text) if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def as_float(value: Any) -> float:
    """A number as a float, infinite if it is too large for one."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def number_text(value: Any) -> str:
    """A number as people read it."""
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) < _EXACT):
        return str(value)
    return f"{as_float(value):.6g}"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _steps(array: _Array) -> tuple[slice, slice]:
    step = max(1, -(-max(array.shape) // MOST_PIXELS))
    return slice(None, None, step), slice(None, None, step)


def _extremes(array: _Array) -> tuple[float | None, float | None]:
    if array.dtype.kind == "f":
        array = array[np.isfinite(array)]
    return (_finite(float(array.min())), _finite(float(array.max()))) if array.size else (None, None)


def _curve(array: _Array) -> tuple[tuple[float, ...], tuple[float | None, ...]]:
    """The points of a curve; of a long one the least and the greatest of each stretch, so that no peak is lost."""
    with np.errstate(all="ignore"):
        values = array.astype(np.float64)
    at = np.arange(len(values))
    if len(values) > MOST_POINTS:
        length = -(-2 * len(values) // MOST_POINTS)
        padded = np.full((-(-len(values) // length), length), np.nan)
        padded.reshape(-1)[: len(values)] = np.where(np.isfinite(values), values, np.nan)
        starts = np.arange(len(padded)) * length
        least = np.where(np.isnan(padded), np.inf, padded).argmin(axis=1)
        most = np.where(np.isnan(padded), -np.inf, padded).argmax(axis=1)
        at = np.unique(np.concatenate([starts + least, starts + most, [len(values) - 1]]))
        values = values[at]
    return tuple(at.tolist()), tuple(_finite(value) for value in values.tolist())


def _png(array: _Array) -> bytes:
    """A picture of an array: the least element dark, the greatest bright, those that are not finite transparent."""
    if not array.size:
        return b""
    from PIL import Image  # few pipes are looked at, and all others would wait for its import

    with np.errstate(all="ignore"):
        values = array.astype(np.float64)
        there = np.isfinite(values)
        values = np.where(there, values, 0.0) / 2.0  # so that no difference overflows
        low = values[there].min() if there.any() else 0.0
        high = values[there].max() if there.any() else 0.0
        spread = (values - low) / (high - low) if high > low else values * 0.0
    indices = np.where(there, 1 + np.clip(np.rint(spread * 254.0), 0, 254), 0).astype(np.uint8)
    picture = Image.frombytes("P", (array.shape[1], array.shape[0]), indices.tobytes())
    picture.putpalette(_palette())
    file = io.BytesIO()
    picture.save(file, "PNG", transparency=0, compress_level=3)
    return file.getvalue()


def _palette() -> bytes:
    """Colour 0 is that of nothing; the others go through the marks evenly."""
    marks = np.array([[int(mark[at : at + 2], 16) for at in (0, 2, 4)] for mark in _COLOURS.split()], float)
    places = np.linspace(0, len(marks) - 1, 255)
    columns = [np.interp(places, np.arange(len(marks)), marks[:, colour]) for colour in range(3)]
    colours: _Array = np.rint(np.stack(columns, axis=1)).astype(np.uint8)
    return bytes(3) + colours.tobytes()
