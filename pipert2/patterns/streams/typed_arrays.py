"""CBOR messages with arrays in them as Dectris sends them: typed (RFC 8746), and packed perhaps (tag 56500)."""

from __future__ import annotations

import math
import struct
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pipert2.patterns.capture.arrays import DTYPES, ROWS
from pipert2.patterns.capture.cbor import CborError, take
from pipert2.patterns.streams.compression import unpacked
from pipert2.patterns.streams.messages import Malformed, array
from pipert2.patterns.streams.stream_data import Buffer

_PACKED, _CLAMPED = 56500, 68


class Packed(NamedTuple):
    """Elements as they came: packed by *algorithm*, such as ``"bslz4"``; empty if they are not packed. Those without a
    *shape* have one dimension.
    """

    algorithm: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...] | None
    buffer: memoryview

    def unpacked(self) -> npt.NDArray[Any]:
        """The array; raises Malformed if these are not its elements."""
        if not self.algorithm:
            shape = self.shape if self.shape is not None else (len(self.buffer) // self.dtype.itemsize,)
            return array(self.buffer, shape, self.dtype)
        found = unpacked(self.buffer, self.algorithm, self.dtype)
        if self.shape is None:
            return found
        if found.size != math.prod(self.shape):
            raise Malformed(f"an array of shape {list(self.shape)} has not {found.size} elements")
        return found.reshape(self.shape)


def cbor_map(part: Buffer) -> dict[str, Any]:
    """The map that a message is, its arrays :class:`Packed`; raises Malformed."""
    view = memoryview(part).cast("B")
    try:
        message, end = take(view, 0, _tagged)
    except (CborError, struct.error) as problem:
        raise Malformed(f"it is no CBOR ({problem})") from None
    if not isinstance(message, dict) or end != len(view):
        raise Malformed("it is one CBOR map, and nothing else")
    return message


def with_arrays(value: Any) -> Any:
    """A value of :func:`cbor_map` with the arrays that are packed in it, however deep."""
    if isinstance(value, Packed):
        return value.unpacked()
    if isinstance(value, dict):
        return {name: with_arrays(one) for name, one in value.items()}
    return [with_arrays(one) for one in value] if isinstance(value, list) else value


def _tagged(tag: int, value: Any, at: int) -> Any:
    if tag == _PACKED:
        if not isinstance(value, list) or len(value) != 3 or not isinstance(value[2], memoryview):
            raise CborError(at, "packed bytes are an algorithm, the size of an element and bytes")
        return tuple(value)
    if 64 <= tag < 88:
        algorithm, _, elements = value if type(value) is tuple else ("", 0, value)
        if not isinstance(algorithm, str) or not isinstance(elements, memoryview):
            raise CborError(at, "typed elements are bytes")
        dtype = DTYPES.get(64 if tag == _CLAMPED else tag)
        if dtype is None:
            raise CborError(at, f"elements of tag {tag} are of no type that is read here")
        return Packed(algorithm, dtype, None, elements)
    if tag == ROWS:
        if not isinstance(value, list) or len(value) != 2 or not isinstance(value[1], Packed):
            raise CborError(at, "an array is its shape and typed elements")
        shape, one = value
        if not isinstance(shape, list) or not all(type(size) is int and 0 <= size < 1 << 32 for size in shape):
            raise CborError(at, f"a shape is a list of sizes, not {shape!r:.50}")
        return one._replace(shape=tuple(shape))
    return value
