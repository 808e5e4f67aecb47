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

from collections.abc import Sequence
from typing import Any

from pipert2.patterns.streams.compression import decoded
from pipert2.patterns.streams.messages import (
    Data,
    Malformed,
    Message,
    array,
    edge,
    json_object,
    reads,
    shape_of,
    type_of,
)
from pipert2.patterns.streams.stream_data import Buffer, Place
from pipert2.patterns.streams.stream_protocol import Head, Heads, StreamProtocol

PROTOCOL = "EIGER_LEGACY"

_HEADS = Heads("htype", {"dheader-1.0": Place.START, "dimage-1.0": Place.FRAME, "dseries_end-1.0": Place.END}, "frame")


@reads(PROTOCOL)
def parse(parts: Sequence[Buffer], *, decode: bool = True) -> Message:
    """Read one message.

    Args:
        parts: what an event has of a stream, or the message's parts themselves.
        decode: unpack the image: ``data`` is an array of rows x columns. Otherwise it is the bytes as they came, and
            ``meta["encoding"]`` says how they are packed.

    Returns:
        Of a start the header has the configuration as ``config``, and a table that was sent under its name, such as
        ``flatfield``. Of an image, ``meta`` has its times, and the ``appendix`` if there is one.

    Raises:
        ProtocolError: it is none.
        PipertError: what is needed to unpack it is not installed.
    """
    place, number, header = _head(parts)
    if place is not Place.FRAME:
        return edge(place, {**header, **_details(parts[1:])} if place is Place.START else header)
    image = json_object(parts[1])
    meta = {**image, **json_object(parts[3])}
    if len(parts) == 5:
        meta["appendix"] = bytes(parts[4])
    if not decode:
        return Data(number, parts[2], meta, header)
    return Data(number, decoded(parts[2], image.get("encoding"), shape_of(image)[::-1], type_of(image)), meta, header)


@reads(PROTOCOL)
def glance(parts: Sequence[Buffer]) -> tuple[Place, int | None]:
    """Where in its stream a message belongs, and its number; raises ProtocolError."""
    return _head(parts)[:2]


def _head(parts: Sequence[Buffer]) -> Head:
    found = _HEADS.of(json_object(parts[0]))
    if found[0] is Place.FRAME and len(parts) not in (4, 5):
        raise Malformed(f"an image has 4 parts, or 5 with an appendix, not {len(parts)}")
    return found


def _details(parts: Sequence[Buffer]) -> dict[str, Any]:
    """What comes with the header: its configuration, tables (a header and a buffer each), an appendix."""
    found: dict[str, Any] = {}
    left = list(parts)
    while left:
        part = left.pop(0)
        try:
            one = json_object(part)
        except Malformed:
            one = {}
        kind = one.get("htype")
        if left and isinstance(kind, str):
            found[kind.removeprefix("d").removesuffix("-1.0")] = _table(one, left.pop(0))
        elif one and not found:
            found["config"] = one
        else:
            found["appendix"] = bytes(part)
    return found


def _table(header: dict[str, Any], part: Buffer) -> Any:
    try:
        return array(part, shape_of(header)[::-1], type_of(header))
    except Malformed:  # cut short by whoever recorded it: no reason to go without the scan
        return bytes(part)


STREAM = StreamProtocol(PROTOCOL, parse, glance)
