"""What the messages of streams are read into, and how their parts are read; each protocol has a module of its own.

>>> @reads("mine")
... def parse(parts):
...     header = json_object(only(parts))
...     return Data(whole(header, "at"), header["current"])
>>> parse([b'{"at": 3, "current": 2.5}'])
Data(number=3, data=2.5, meta={})
>>> parse([b'{"at": "x"}'])
Traceback (most recent call last):
pipert2.patterns.streams.messages.ProtocolError: not a mine message: 'at' of the header is a number, 0 or more, not 'x'
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from pipert2.errors import PipertError
from pipert2.patterns.streams import plain_pickle
from pipert2.patterns.streams.stream_data import Buffer, Place, StreamData

Stream = StreamData | Sequence[Buffer]
"""What an event has of a stream, or the parts of a message themselves."""

_More = ParamSpec("_More")
_Read = TypeVar("_Read")
_Kind = TypeVar("_Kind")
_raw_decode = json.JSONDecoder().raw_decode


class Malformed(PipertError, ValueError):
    """What is wrong with a message; :func:`reads` says of which protocol it should have been."""


class ProtocolError(PipertError, ValueError):
    """A message that is not of the *protocol* that it should be; *reason* says what is wrong with it."""

    def __init__(self, protocol: str, reason: str) -> None:
        self.protocol = protocol
        self.reason = reason

    def __str__(self) -> str:
        return f"not a {self.protocol} message: {self.reason}"


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
    meta: Mapping[Any, Any] = field(default_factory=dict)
    header: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class End:
    """The stream is over; *header* is what the device says of it."""

    header: Mapping[str, Any] = field(default_factory=dict)


def reads(
    protocol: str, error: Callable[[str], ProtocolError] | None = None
) -> Callable[[Callable[Concatenate[Sequence[Buffer], _More], _Read]], Callable[Concatenate[Stream, _More], _Read]]:
    """Let a function of a message's parts, at least one, take what an event has of a stream as well.

    Args:
        protocol: of the message.
        error: makes the error of a reason; :class:`ProtocolError` if left out.

    Returns:
        A decorator. The function's :class:`Malformed` becomes an error that names the protocol.
    """
    make = error if error is not None else functools.partial(ProtocolError, protocol)

    def decorate(
        read: Callable[Concatenate[Sequence[Buffer], _More], _Read],
    ) -> Callable[Concatenate[Stream, _More], _Read]:
        @functools.wraps(read)
        def of_stream(stream: Stream, /, *more: _More.args, **options: _More.kwargs) -> _Read:
            if isinstance(stream, StreamData):
                if stream.typ != protocol:
                    raise make(f"the stream's protocol is {stream.typ!r}")
                stream = stream.frames
            if not stream:
                raise make("it has no parts")
            try:
                return read(stream, *more, **options)
            except Malformed as problem:
                raise make(str(problem)) from None
            except RecursionError:
                raise make("it is nested too deep") from None

        return of_stream

    return decorate


Message = Start | Data | End
"""What a message is read into."""


def edge(place: Place, header: Mapping[str, Any]) -> Message:
    """The start or the end that a header says."""
    return Start(header) if place is Place.START else End(header)


def only(parts: Sequence[Buffer]) -> Buffer:
    """The part of a message that has but one."""
    if len(parts) != 1:
        raise Malformed(f"it has one part, not {len(parts)}")
    return parts[0]


def json_object(part: Buffer) -> dict[str, Any]:
    """The JSON object that is in a part."""
    try:
        text = str(part, "utf-8")
        header, end = _raw_decode(text) if text[:1] == "{" else (None, -1)
        if end != len(text):  # blanks, or worse: json.loads does all that, and takes longer for it
            header = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise Malformed(f"its header cannot be read ({problem})") from None
    if not isinstance(header, dict):
        raise Malformed(f"its header is a JSON object, not {header!r:.80}")
    return header


def unpickled(part: Buffer, kind: type[_Kind], loads: Callable[[Any], Any] = plain_pickle.loads) -> _Kind:
    """The dict or list that is pickled in a part; nothing of it is run unless another *loads* does that."""
    try:
        found = loads(part)
    except Exception as problem:  # whatever unpickling raises
        raise Malformed(f"its pickle cannot be read: {problem}") from None
    if not isinstance(found, kind):
        raise Malformed(f"its pickle is a {kind.__name__}, not {found!r:.80}")
    return found


def whole(header: Mapping[str, Any], name: str) -> int:
    """The number, 0 or more, that a header has under a name."""
    value = header.get(name)
    if type(value) is not int or value < 0:
        raise Malformed(f"{name!r} of the header is a number, 0 or more, not {value!r:.80}")
    return value


def shape_of(header: Mapping[str, Any]) -> tuple[int, ...]:
    """The ``shape`` of a header."""
    shape = header.get("shape")
    if isinstance(shape, list):
        for size in shape:  # a generator takes four times as long
            if type(size) is not int or size < 0:
                break
        else:
            return tuple(shape)
    raise Malformed(f"'shape' of the header is a list of whole numbers, not {shape!r:.80}")


def type_of(header: Mapping[str, Any], name: str = "type") -> np.dtype[Any]:
    """The numpy type of numbers, little-endian, that a header has under a name."""
    value = header.get(name)
    dtype = _number_type(value) if isinstance(value, str) else None
    if dtype is None:
        raise Malformed(f"{name!r} of the header is a numpy type of numbers, not {value!r:.80}")
    return dtype


@functools.lru_cache(maxsize=64)
def _number_type(name: str) -> np.dtype[Any] | None:
    try:
        dtype = np.dtype(name)
    except (TypeError, ValueError, SyntaxError):
        return None
    found: np.dtype[Any] = dtype.newbyteorder("<")
    return found if dtype.kind in "biufc" and not dtype.shape else None


def array(buffer: Buffer, shape: Sequence[int], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The array whose elements a part has, a read-only view of it."""
    needed, found = math.prod(shape) * dtype.itemsize, memoryview(buffer).nbytes
    if needed != found:
        raise Malformed(f"an array of shape {list(shape)} and type {dtype.name!r} has {needed} bytes, not {found}")
    data = np.frombuffer(buffer, dtype).reshape(shape)
    if type(buffer) is not bytes:  # those cannot be written to as it is
        data.flags.writeable = False
    return data


def array_of(header: Mapping[str, Any], buffer: Buffer, *, key: str = "type") -> npt.NDArray[Any]:
    """The array whose ``shape`` and type, under the name *key*, a header has, and whose elements the next part."""
    return array(buffer, shape_of(header), type_of(header, key))
