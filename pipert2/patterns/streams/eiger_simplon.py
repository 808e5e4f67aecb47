"""Eiger and Pilatus detectors of Dectris: the second version of their stream, a CBOR map a message.

A map has a ``type``: ``"start"`` (with ``number_of_images``, ``image_size_x`` ...), ``"image"`` (with ``image_id``,
``data`` by channel, and times) or ``"end"``. Arrays are typed (RFC 8746) and may be packed (Dectris's tag 56500). See
"Stream V2" in https://github.com/dectris/documentation.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pipert2.patterns.capture.cbor import CborError, take
from pipert2.patterns.streams.compression import unpacked
from pipert2.patterns.streams.messages import Data, End, ProtocolError, Start, array, edge, parts_of
from pipert2.patterns.streams.stream_data import Buffer, Place, StreamData
from pipert2.patterns.streams.stream_protocol import StreamProtocol, place_and_number

PROTOCOL = "EIGER_SIMPLON"

_error = functools.partial(ProtocolError, PROTOCOL)
_PLACES = {"start": Place.START, "image": Place.FRAME, "end": Place.END}
_MATRIX, _TYPED, _PACKED = 40, range(64, 88), 56500
_TIMES = ("start_time", "stop_time", "real_time", "series_date")


class Packed(NamedTuple):
    """Elements as they came: packed by *algorithm*, such as ``"bslz4"``; empty if they are not packed. Those without a
    *shape* have one dimension.
    """

    algorithm: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...] | None
    buffer: memoryview


def parse(stream: StreamData | Sequence[Buffer], *, decode: bool = True) -> Start | Data | End:
    """Read one message.

    Args:
        stream: what an event has of a stream, or the message's parts themselves.
        decode: unpack images: ``data`` has an array of rows x columns for each channel. Otherwise it has
            :class:`Packed`.

    Raises:
        ProtocolError: it is none.
        PipertError: what is needed to unpack it is not installed.
    """
    message = _message(stream)
    place, number = _place(message)
    data = message.pop("data", None) if place is Place.FRAME else None
    try:
        header = {name: _whole_value(value) for name, value in message.items()}
        if place is not Place.FRAME:
            return edge(place, header)
        if not isinstance(data, dict):
            raise _error(f"'data' is a map of channels, not {data!r:.80}")
        images = {channel: _unpacked(one) if decode else one for channel, one in data.items()}
    except RecursionError:
        raise _error("it is nested too deep") from None
    times = {name: header[name] for name in _TIMES if name in header}
    return Data(number, images, times, header)


def glance(stream: StreamData | Sequence[Buffer]) -> tuple[Place, int | None]:
    """Where in its stream a message belongs, and its number; raises ProtocolError."""
    return _place(_message(stream))


def _message(stream: StreamData | Sequence[Buffer]) -> dict[str, Any]:
    parts = parts_of(stream, PROTOCOL, _error)
    if len(parts) != 1:
        raise _error(f"it has one part, not {len(parts)}")
    view = memoryview(parts[0]).cast("B")
    try:
        message, end = take(view, 0, _tagged)
    except (CborError, struct.error) as problem:
        raise _error(f"it is no CBOR ({problem})") from None
    if not isinstance(message, dict) or end != len(view):
        raise _error("it is one CBOR map, and nothing else")
    return message


def _place(message: Mapping[str, Any]) -> tuple[Place, int | None]:
    return place_and_number(message, "type", _PLACES, "image_id", _error)


def _tagged(tag: int, value: Any, at: int) -> Any:
    if tag == _PACKED:
        if not isinstance(value, list) or len(value) != 3 or not isinstance(value[2], memoryview):
            raise CborError(at, "packed bytes are an algorithm, the size of an element and bytes")
        return tuple(value)
    if tag in _TYPED:
        algorithm, _, elements = value if type(value) is tuple else ("", 0, value)
        if not isinstance(algorithm, str) or not isinstance(elements, memoryview):
            raise CborError(at, "typed elements are bytes")
        return Packed(algorithm, _dtype(tag, at), None, elements)
    if tag == _MATRIX:
        if not isinstance(value, list) or len(value) != 2 or not isinstance(value[1], Packed):
            raise CborError(at, "an array is its shape and typed elements")
        shape, one = value
        if not isinstance(shape, list) or not all(type(size) is int and 0 <= size < 1 << 32 for size in shape):
            raise CborError(at, f"a shape is a list of sizes, not {shape!r:.50}")
        return one._replace(shape=tuple(shape))
    return value


def _dtype(tag: int, at: int) -> np.dtype[Any]:
    """The type that a tag of RFC 8746 stands for: bits for floats, signs, byte order and size."""
    is_float, signed, little, size = tag >> 4 & 1, tag >> 3 & 1, tag >> 2 & 1, tag & 3
    if (is_float and (signed or size == 3)) or tag == 76:
        raise CborError(at, f"elements of tag {tag} are of no type that is read here")
    return np.dtype(f"{'<' if little else '>'}{'f' if is_float else 'i' if signed else 'u'}{1 << size + is_float}")


def _unpacked(one: Any) -> npt.NDArray[Any]:
    if not isinstance(one, Packed):
        raise _error(f"a channel's data is an array, not {one!r:.80}")
    if not one.algorithm:
        shape = one.shape if one.shape is not None else (len(one.buffer) // one.dtype.itemsize,)
        return array(one.buffer, shape, one.dtype, _error)
    found = unpacked(one.buffer, one.algorithm, one.dtype, _error)
    if one.shape is None:
        return found
    if found.size != math.prod(one.shape):
        raise _error(f"an array of shape {list(one.shape)} has not {found.size} elements")
    return found.reshape(one.shape)


def _whole_value(value: Any) -> Any:
    """A value with its arrays; what is no array stays."""
    if isinstance(value, Packed):
        return _unpacked(value)
    if isinstance(value, dict):
        return {name: _whole_value(one) for name, one in value.items()}
    return [_whole_value(one) for one in value] if isinstance(value, list) else value


STREAM = StreamProtocol(PROTOCOL, parse, glance)
