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

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pipert2.patterns.streams.messages import (
    Malformed,
    ProtocolError,
    Stream,
    array,
    json_object,
    reads,
    shape_of,
    type_of,
    whole,
)
from pipert2.patterns.streams.stream_data import Buffer, Place, StreamData
from pipert2.patterns.streams.stream_protocol import Head, Heads, StreamProtocol

PROTOCOL = "STINS"
_RAW = "none"
_HEADS = Heads("htype", {"header": Place.START, "image": Place.FRAME, "series_end": Place.END}, "frame")


class StinsError(ProtocolError):
    """A message that is not STINS; *reason* says what is wrong with it."""

    def __init__(self, reason: str) -> None:
        super().__init__(PROTOCOL, reason)


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


@reads(PROTOCOL, StinsError)
def parse(parts: Sequence[Buffer]) -> StinsStart | StinsData | StinsEnd:
    """Read one message.

    Args:
        parts: what an event has of a stream, or the message's parts themselves.

    Raises:
        StinsError: it is none.
    """
    place, frame, header = _head(parts)
    number = whole(header, "msg_number")
    if frame is not None:
        return _image(frame, number, header, parts[1])
    if len(parts) > 1:
        raise Malformed(f"a {header['htype']!r} message has one part, not {len(parts)}")
    if place is Place.END:
        return StinsEnd(number, header)
    filename = header.get("filename")
    if not isinstance(filename, str):
        raise Malformed(f"'filename' of the header is a text, not {filename!r:.80}")
    return StinsStart(filename, number, header)


def glance(stream: Stream) -> tuple[Place, int | None]:
    """Where in its stream a message belongs, and the number of its image; the image itself is not looked at.

    Raises:
        StinsError: it is no STINS message.
    """
    parts: Sequence[Buffer] = stream.frames if isinstance(stream, StreamData) else stream
    try:  # by hand: @reads makes it a fifth slower, and it is asked for each frame
        place, frame, _ = _head(parts)
    except (Malformed, IndexError) as problem:
        raise StinsError(str(problem) if parts else "it has no parts") from None
    return place, frame


def _head(parts: Sequence[Buffer]) -> Head:
    found = _HEADS.of(json_object(parts[0]))
    if found[0] is Place.FRAME and len(parts) != 2:
        raise Malformed(f"an image has a header and a buffer, not {len(parts)} parts")
    return found


def _image(frame: int, number: int, header: dict[str, Any], buffer: Buffer) -> StinsData:
    shape, dtype, compression = shape_of(header), type_of(header), header.get("compression", _RAW)
    if not isinstance(compression, str):
        raise Malformed(f"'compression' of the header is a text, not {compression!r:.80}")
    data: npt.NDArray[Any]
    if compression == _RAW:
        data = array(buffer, shape, dtype)
    else:
        data = np.frombuffer(buffer, np.uint8)
        data.flags.writeable = False
    return StinsData(frame, shape, header["type"], compression, data, number, header)


def _packed(header: Mapping[str, Any], *buffers: bytes) -> StreamData:
    return StreamData(PROTOCOL, [json.dumps(header).encode(), *buffers])


STREAM = StreamProtocol(PROTOCOL, parse, glance)
