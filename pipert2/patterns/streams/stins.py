"""STINS: detector images as a JSON header and a buffer, between a start and an end message.

::

    {"htype": "header", "filename": "raw.h5", "msg_number": 0}
    {"htype": "image", "frame": 0, "shape": [10, 10], "type": "uint16", "compression": "none", "msg_number": 1}  buffer
    {"htype": "series_end", "msg_number": 2}

The protocol is that of MAX IV's detector streams, as dranspose's documentation describes it.

>>> import numpy as np
>>> image = StinsData.of(np.arange(4, dtype="uint16").reshape(2, 2), frame=0, msg_number=1)
>>> parse(image.to_stream_data()).data
array([[0, 1],
       [2, 3]], dtype=uint16)
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pipert2.errors import PipertError
from pipert2.patterns.streams.stream_data import Buffer, Place, StreamData

PROTOCOL = "STINS"
_RAW = "none"
_raw_decode = json.JSONDecoder().raw_decode


class StinsError(PipertError, ValueError):
    """A message that is not STINS; *reason* says what is wrong with it."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __str__(self) -> str:
        return f"not a STINS message: {self.reason}"


@dataclass(frozen=True, slots=True)
class StinsStart:
    """The stream begins. *filename* is where the raw data is saved; empty if it is not.

    *header* is the whole header, with what else the detector says.
    """

    filename: str
    msg_number: int = 0
    header: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    htype: str = "header"

    def to_stream_data(self) -> StreamData:
        """The message, as a detector sends it."""
        own = {"htype": self.htype, "filename": self.filename, "msg_number": self.msg_number}
        return _packed({**self.header, **own})


@dataclass(frozen=True, slots=True, eq=False)
class StinsData:
    """One image.

    Attributes:
        frame: its number, from 0.
        shape: rows and columns.
        type: the numpy name of its elements' type; little-endian.
        compression: ``"none"``, or what :attr:`data` is packed with.
        data: the image, a read-only view of the message; if it is compressed, the bytes as they came.
        header: the whole header, with what else the detector says.
    """

    frame: int
    shape: tuple[int, ...]
    type: str
    compression: str
    data: npt.NDArray[Any]
    msg_number: int = 0
    header: Mapping[str, Any] = field(default_factory=dict, repr=False)
    htype: str = "image"

    @classmethod
    def of(cls, image: npt.ArrayLike, *, frame: int, msg_number: int = 0, **more: Any) -> StinsData:
        """The message for an image; *more* goes into its header."""
        data = np.asarray(image)
        data = data.astype(data.dtype.newbyteorder("<"), order="C", copy=False)
        return cls(frame, data.shape, data.dtype.name, _RAW, data, msg_number, more)

    def to_stream_data(self) -> StreamData:
        """The message, as a detector sends it."""
        own = {
            "htype": self.htype,
            "frame": self.frame,
            "shape": list(self.shape),
            "type": self.type,
            "compression": self.compression,
            "msg_number": self.msg_number,
        }
        return _packed({**self.header, **own}, self.data.tobytes())


@dataclass(frozen=True, slots=True)
class StinsEnd:
    """The stream is over."""

    msg_number: int = 0
    header: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    htype: str = "series_end"

    def to_stream_data(self) -> StreamData:
        """The message, as a detector sends it."""
        return _packed({**self.header, "htype": self.htype, "msg_number": self.msg_number})


def parse(stream: StreamData | Sequence[Buffer]) -> StinsStart | StinsData | StinsEnd:
    """Read one message.

    Args:
        stream: what an event has of a stream, or the message's parts themselves.

    Raises:
        StinsError: it is none.
    """
    parts: Any = getattr(stream, "frames", stream)
    typ = getattr(stream, "typ", PROTOCOL)
    if typ != PROTOCOL:
        raise StinsError(f"the stream's protocol is {typ!r}")
    if not parts:
        raise StinsError("it has no parts")
    header = _header(parts[0])
    kind = header.get("htype")
    if kind == "image":
        return _image(header, parts)
    if len(parts) > 1:
        raise StinsError(f"a {kind!r} message has one part, not {len(parts)}")
    number = _whole(header, "msg_number")
    if kind == "header":
        filename = header.get("filename")
        if not isinstance(filename, str):
            raise StinsError(f"'filename' of the header is a text, not {filename!r:.80}")
        return StinsStart(filename, number, header)
    if kind == "series_end":
        return StinsEnd(number, header)
    raise StinsError(f"'htype' is 'header', 'image' or 'series_end', not {kind!r:.80}")


def _image(header: dict[str, Any], parts: Sequence[Buffer]) -> StinsData:
    if len(parts) != 2:
        raise StinsError(f"an image has a header and a buffer, not {len(parts)} parts")
    shape, name, compression = header.get("shape"), header.get("type"), header.get("compression", _RAW)
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise StinsError(f"'shape' of the header is a list of whole numbers, not {shape!r:.80}")
    if not isinstance(name, str) or not isinstance(compression, str):
        raise StinsError(f"'type' and 'compression' are texts, not {name!r:.80} and {compression!r:.80}")
    dtype = _dtype(name)
    buffer = parts[1]
    if compression != _RAW:
        data: npt.NDArray[Any] = np.frombuffer(buffer, np.uint8)
    else:
        needed, found = math.prod(shape) * dtype.itemsize, memoryview(buffer).nbytes
        if needed != found:
            raise StinsError(f"an image of shape {shape} and type {name!r} has {needed} bytes, not {found}")
        data = np.frombuffer(buffer, dtype).reshape(shape)
    data.flags.writeable = False
    return StinsData(
        _whole(header, "frame"), tuple(shape), name, compression, data, _whole(header, "msg_number"), header
    )


def glance(stream: StreamData | Sequence[Buffer]) -> tuple[Place, int | None]:
    """Where in its stream a message belongs, and the number of its image; the image itself is not looked at.

    Raises:
        StinsError: it is no STINS message.
    """
    parts: Any = getattr(stream, "frames", stream)
    if not parts:
        raise StinsError("it has no parts")
    header = _header(parts[0])
    kind = header.get("htype")
    if kind == "image":
        if len(parts) != 2:
            raise StinsError(f"an image has a header and a buffer, not {len(parts)} parts")
        return Place.FRAME, _whole(header, "frame")
    if kind == "header":
        return Place.START, None
    if kind == "series_end":
        return Place.END, None
    raise StinsError(f"'htype' is 'header', 'image' or 'series_end', not {kind!r:.80}")


def _header(part: Buffer) -> dict[str, Any]:
    try:
        text = str(part, "utf-8")
        header, end = _raw_decode(text) if text[:1] == "{" else (None, -1)
        if end != len(text):  # blanks, or worse: json.loads does all that, and takes longer for it
            header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StinsError(f"its header cannot be read ({error})") from None
    if not isinstance(header, dict):
        raise StinsError(f"its header is a JSON object, not {header!r:.80}")
    return header


def _whole(header: Mapping[str, Any], name: str) -> int:
    value = header.get(name)
    if type(value) is not int or value < 0:
        raise StinsError(f"{name!r} of the header is a number, 0 or more, not {value!r:.80}")
    return value


@functools.lru_cache(maxsize=64)
def _dtype(name: str) -> np.dtype[Any]:
    try:
        dtype = np.dtype(name)
    except (TypeError, ValueError, SyntaxError):
        raise StinsError(f"'type' of the header is a numpy type, not {name!r:.80}") from None
    if dtype.kind not in "biufc":
        raise StinsError(f"'type' of the header is a type of numbers, not {name!r:.80}")
    found: np.dtype[Any] = dtype.newbyteorder("<")
    return found


def _packed(header: Mapping[str, Any], *buffers: bytes) -> StreamData:
    return StreamData(PROTOCOL, [json.dumps(header).encode(), *buffers])
