"""Eiger and Pilatus detectors of Dectris: the first version of their stream, messages of several parts.

::

    {"htype": "dheader-1.0", "series": 6, "header_detail": "all"}  configuration  [tables]  [appendix]
    {"htype": "dimage-1.0", "series": 6, "frame": 0, "hash": "59bb..."}
        {"htype": "dimage_d-1.0", "shape": [3262, 3108], "type": "uint32", "encoding": "bs32-lz4<", "size": 755083}
        image  {"htype": "dconfig-1.0", "start_time": 0, "stop_time": 9999900, "real_time": 9999900}  [appendix]
    {"htype": "dseries_end-1.0", "series": 6}

A *shape* is said as columns and rows. See "Stream" in the SIMPLON API reference.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipert2.patterns.streams.compression import raw_lz4, unpacked
from pipert2.patterns.streams.messages import (
    Data,
    End,
    ProtocolError,
    Start,
    array,
    edge,
    json_object,
    number_type,
    parts_of,
    shape_of,
)
from pipert2.patterns.streams.stream_data import Buffer, Place, StreamData
from pipert2.patterns.streams.stream_protocol import StreamProtocol, place_and_number

PROTOCOL = "EIGER_LEGACY"

_error = functools.partial(ProtocolError, PROTOCOL)
_PLACES = {"dheader-1.0": Place.START, "dimage-1.0": Place.FRAME, "dseries_end-1.0": Place.END}
_ENCODING = re.compile(r"(?:bs(\d+)-)?(lz4)?<?")


def parse(stream: StreamData | Sequence[Buffer], *, decode: bool = True) -> Start | Data | End:
    """Read one message.

    Args:
        stream: what an event has of a stream, or the message's parts themselves.
        decode: unpack the image: ``data`` is an array of rows x columns. Otherwise it is the bytes as they came, and
            ``meta["encoding"]`` says how they are packed.

    Returns:
        Of a start the header has the configuration as ``config``, and a table that was sent under its name, such as
        ``flatfield``. Of an image, ``meta`` has its times, and the ``appendix`` if there is one.

    Raises:
        ProtocolError: it is none.
        PipertError: what is needed to unpack it is not installed.
    """
    parts = parts_of(stream, PROTOCOL, _error)
    header = json_object(parts[0], _error)
    place, number = _place(header, parts)
    if place is not Place.FRAME:
        return edge(place, {**header, **_details(parts[1:])} if place is Place.START else header)
    image = json_object(parts[1], _error)
    meta = {**image, **json_object(parts[3], _error)}
    if len(parts) == 5:
        meta["appendix"] = bytes(parts[4])
    return Data(number, _image(parts[2], image) if decode else parts[2], meta, header)


def glance(stream: StreamData | Sequence[Buffer]) -> tuple[Place, int | None]:
    """Where in its stream a message belongs, and its number; raises ProtocolError."""
    parts = parts_of(stream, PROTOCOL, _error)
    return _place(json_object(parts[0], _error), parts)


def _place(header: Mapping[str, Any], parts: Sequence[Buffer]) -> tuple[Place, int | None]:
    found = place_and_number(header, "htype", _PLACES, "frame", _error)
    if found[0] is Place.FRAME and len(parts) not in (4, 5):
        raise _error(f"an image has 4 parts, or 5 with an appendix, not {len(parts)}")
    return found


def _details(parts: Sequence[Buffer]) -> dict[str, Any]:
    """What comes with the header: its configuration, tables (a header and a buffer each), an appendix."""
    found: dict[str, Any] = {}
    at = 0
    while at < len(parts):
        try:
            one = json_object(parts[at], _error)
        except ProtocolError:
            one = {}
        kind = one.get("htype")
        if isinstance(kind, str) and at + 1 < len(parts):
            found[kind.removeprefix("d").removesuffix("-1.0")] = _table(one, parts[at + 1])
            at += 2
            continue
        found["config" if at == 0 and one else "appendix"] = one if at == 0 and one else bytes(parts[at])
        at += 1
    return found


def _table(header: Mapping[str, Any], part: Buffer) -> npt.NDArray[Any] | bytes:
    try:
        return array(part, shape_of(header, _error)[::-1], number_type(header.get("type"), _error), _error)
    except ProtocolError:  # cut short by whoever recorded it: no reason to go without the scan
        return bytes(part)


def _image(part: Buffer, header: Mapping[str, Any]) -> npt.NDArray[Any]:
    shape, dtype = shape_of(header, _error)[::-1], number_type(header.get("type"), _error)
    encoding = header.get("encoding")
    found = _ENCODING.fullmatch(encoding) if isinstance(encoding, str) else None
    if found is None or (found[1] and (not found[2] or int(found[1]) != 8 * dtype.itemsize)):
        raise _error(f"'encoding' is one such as 'bs32-lz4<', 'lz4<' or '<', which fits the type, not {encoding!r:.80}")
    if not found[2]:
        return array(part, shape, dtype, _error)
    size = math.prod(shape) * dtype.itemsize
    if not found[1]:
        return np.frombuffer(raw_lz4(part, size, _error), dtype).reshape(shape)
    return array(unpacked(part, "bslz4", dtype, _error).data.cast("B"), shape, dtype, _error)


STREAM = StreamProtocol(PROTOCOL, parse, glance)
