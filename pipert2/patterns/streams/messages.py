"""What the messages of streams are read into, and how their headers are read; each protocol has a module of its own.

>>> header = json_object(b'{"frame": 3, "shape": [2, 2], "type": "uint16"}', functools.partial(ProtocolError, "mine"))
>>> whole(header, "frame", functools.partial(ProtocolError, "mine"))
3
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pipert2.errors import PipertError
from pipert2.patterns.streams import plain_pickle
from pipert2.patterns.streams.stream_data import Buffer, Place, StreamData

_raw_decode = json.JSONDecoder().raw_decode


class ProtocolError(PipertError, ValueError):
    """A message that is not of the *protocol* that it should be; *reason* says what is wrong with it."""

    def __init__(self, protocol: str, reason: str) -> None:
        self.protocol = protocol
        self.reason = reason

    def __str__(self) -> str:
        return f"not a {self.protocol} message: {self.reason}"


MakeError = Callable[[str], ProtocolError]
"""Makes the error of a reason."""


@dataclass(frozen=True, slots=True)
class Start:
    """The stream begins; *header* is what the device says of it."""

    header: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """One frame.

    Attributes:
        number: the frame's, from 0; None if the protocol does not say it.
        data: what was measured, as the protocol's module says: an array, or a dict by channel.
        meta: what came with it.
        header: the frame's header as it came.
    """

    number: int | None
    data: Any
    meta: Mapping[str, Any] = field(default_factory=dict)
    header: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class End:
    """The stream is over; *header* is what the device says of it."""

    header: Mapping[str, Any] = field(default_factory=dict)


def edge(place: Place, header: Mapping[str, Any]) -> Start | End:
    """The start or the end that a header says."""
    return Start(header) if place is Place.START else End(header)


def parts_of(stream: StreamData | Sequence[Buffer], protocol: str, error: MakeError) -> Sequence[Buffer]:
    """The parts of a message, at least one, of what an event has of a stream or of the parts themselves."""
    if isinstance(stream, StreamData):
        if stream.typ != protocol:
            raise error(f"the stream's protocol is {stream.typ!r}")
        stream = stream.frames
    if not stream:
        raise error("it has no parts")
    return stream


def lone_object(stream: StreamData | Sequence[Buffer], protocol: str, error: MakeError) -> dict[str, Any]:
    """The JSON object that a message of one part is."""
    parts = parts_of(stream, protocol, error)
    if len(parts) != 1:
        raise error(f"it has one part, not {len(parts)}")
    return json_object(parts[0], error)


def json_object(part: Buffer, error: MakeError) -> dict[str, Any]:
    """The JSON object that is in a part."""
    try:
        text = str(part, "utf-8")
        header, end = _raw_decode(text) if text[:1] == "{" else (None, -1)
        if end != len(text):  # blanks, or worse: json.loads does all that, and takes longer for it
            header = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise error(f"its header cannot be read ({problem})") from None
    if not isinstance(header, dict):
        raise error(f"its header is a JSON object, not {header!r:.80}")
    return header


def unpickled(part: Buffer, what: str, error: MakeError, loads: Callable[[Any], Any] = plain_pickle.loads) -> Any:
    """What a pickled part has; nothing of it is run unless another *loads* does that."""
    try:
        return loads(part)
    except Exception as problem:  # whatever unpickling raises
        raise error(f"{what} cannot be read: {problem}") from None


def whole(header: Mapping[str, Any], name: str, error: MakeError) -> int:
    """The number, 0 or more, that a header has under a name."""
    value = header.get(name)
    if type(value) is not int or value < 0:
        raise error(f"{name!r} of the header is a number, 0 or more, not {value!r:.80}")
    return value


def shape_of(header: Mapping[str, Any], error: MakeError) -> tuple[int, ...]:
    """The ``shape`` of a header."""
    shape = header.get("shape")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise error(f"'shape' of the header is a list of whole numbers, not {shape!r:.80}")
    return tuple(shape)


def number_type(name: Any, error: MakeError) -> np.dtype[Any]:
    """The numpy type of numbers of a name, little-endian."""
    dtype = _number_type(name) if isinstance(name, str) else None
    if dtype is None:
        raise error(f"'type' of the header is a numpy type of numbers, not {name!r:.80}")
    return dtype


@functools.lru_cache(maxsize=64)
def _number_type(name: str) -> np.dtype[Any] | None:
    try:
        dtype = np.dtype(name)
    except (TypeError, ValueError, SyntaxError):
        return None
    found: np.dtype[Any] = dtype.newbyteorder("<")
    return found if dtype.kind in "biufc" and not dtype.shape else None


def array(buffer: Buffer, shape: Sequence[int], dtype: np.dtype[Any], error: MakeError) -> npt.NDArray[Any]:
    """The array whose elements a part has, a read-only view of it."""
    needed, found = math.prod(shape) * dtype.itemsize, memoryview(buffer).nbytes
    if needed != found:
        raise error(f"an array of shape {list(shape)} and type {dtype.name!r} has {needed} bytes, not {found}")
    data = np.frombuffer(buffer, dtype).reshape(shape)
    data.flags.writeable = False
    return data
