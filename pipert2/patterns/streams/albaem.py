"""AlbaEM: currents of an electrometer, a JSON object for each point.

::

    {"version": 1, "message_type": "series-start", "message_id": 1}
    {"version": 1, "message_type": "data", "message_id": 2, "frame_number": 0, "timestamp": 7.7, "channel1": -2.8e-11}
    {"version": 1, "message_type": "series-end", "message_id": 6, "detector_specific": {"read_overflow": false}}
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipert2.patterns.streams.messages import Data, Malformed, Message, edge, json_object, only, reads
from pipert2.patterns.streams.stream_data import Buffer, Place
from pipert2.patterns.streams.stream_protocol import Heads, StreamProtocol

PROTOCOL = "albaem"

_HEADS = Heads(
    "message_type", {"series-start": Place.START, "data": Place.FRAME, "series-end": Place.END}, "frame_number"
)
_CHANNEL = re.compile(r"channel\d+")
_TIMES = ("timestamp", "acquisition_timestamp")


@reads(PROTOCOL)
def parse(parts: Sequence[Buffer]) -> Message:
    """Read one message: ``data`` has the current of each channel, by name; ``meta`` the time stamps.

    Raises:
        ProtocolError: it is none.
    """
    place, number, header = _HEADS.of(json_object(only(parts)))
    if place is not Place.FRAME:
        return edge(place, header)
    channels = {name: value for name, value in header.items() if _CHANNEL.fullmatch(name)}
    for name, value in channels.items():
        if type(value) not in (int, float):
            raise Malformed(f"{name!r} is a number, not {value!r:.80}")
    return Data(number, channels, {name: header[name] for name in _TIMES if name in header}, header)


@reads(PROTOCOL)
def glance(parts: Sequence[Buffer]) -> tuple[Place, int | None]:
    """Where in its stream a message belongs, and its number; raises ProtocolError."""
    return _HEADS.of(json_object(only(parts)))[:2]


STREAM = StreamProtocol(PROTOCOL, parse, glance, "sub")
