"""PandABox over ZeroMQ: positions that were captured, as JSON objects with several points each.

::

    {"message_id": 1, "message_type": "series-start", "version": 1, "arm_time": "2024-10-07T08:49:10.627Z"}
    {"message_id": 2, "message_type": "data", "version": 1, "frame_number": 0, "energy": [8879.1, 8879.3, 8879.5]}
    {"message_id": 3, "message_type": "series-end", "version": 1}

A live stream is taken apart, so that each message has one point. What a PandABox sends itself is in
:mod:`~pipert2.patterns.streams.panda_tcp`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from pipert2.patterns.streams.messages import Data, Malformed, Message, edge, json_object, only, reads
from pipert2.patterns.streams.stream_data import Buffer, Place
from pipert2.patterns.streams.stream_protocol import Head, Heads, StreamProtocol

PROTOCOL = "PCAP"

_HEADS = Heads(
    "message_type", {"series-start": Place.START, "data": Place.FRAME, "series-end": Place.END}, "frame_number"
)
_AROUND = ("message_id", "message_type", "version", "frame_number")


@reads(PROTOCOL)
def parse(parts: Sequence[Buffer]) -> Message:
    """Read one message: ``data`` has a number for each field that was captured, or a list where it has several points.

    Raises:
        ProtocolError: it is none.
    """
    place, number, header = _head(parts)
    if place is not Place.FRAME:
        return edge(place, header)
    return Data(number, {name: value for name, value in header.items() if name not in _AROUND}, {}, header)


@reads(PROTOCOL)
def glance(parts: Sequence[Buffer]) -> tuple[Place, int | None]:
    """Where in its stream a message belongs, and its number; raises ProtocolError."""
    return _head(parts)[:2]


def _head(parts: Sequence[Buffer]) -> Head:
    found = _HEADS.of(json_object(only(parts)))
    if found[0] is Place.FRAME and len({len(one) for one in found[2].values() if isinstance(one, list)}) > 1:
        raise Malformed("its lists have different lengths")
    return found


def _apart(parts: list[Buffer]) -> list[list[Buffer]]:
    """A message for each point."""
    try:
        _, first, header = _head(parts)
    except Malformed:
        return [parts]
    lists = {name: value for name, value in header.items() if isinstance(value, list)}
    if first is None or not lists:
        return [parts]
    points = [dict(zip(lists, point, strict=True)) for point in zip(*lists.values(), strict=True)]
    return [
        [json.dumps({**header, "frame_number": number, **point}).encode()] for number, point in enumerate(points, first)
    ]


STREAM = StreamProtocol(PROTOCOL, parse, glance, "sub", lambda: _apart)
