"""AlbaEM: currents of an electrometer, a JSON object for each point.

::

    {"version": 1, "message_type": "series-start", "message_id": 1}
    {"version": 1, "message_type": "data", "message_id": 2, "frame_number": 0, "timestamp": 7.7, "channel1": -2.8e-11}
    {"version": 1, "message_type": "series-end", "message_id": 6, "detector_specific": {"read_overflow": false}}
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipert2.patterns.streams.messages import Data, End, ProtocolError, Start, edge, lone_object
from pipert2.patterns.streams.stream_data import Buffer, Place, StreamData
from pipert2.patterns.streams.stream_protocol import StreamProtocol, place_and_number

PROTOCOL = "albaem"

_error = functools.partial(ProtocolError, PROTOCOL)
_PLACES = {"series-start": Place.START, "data": Place.FRAME, "series-end": Place.END}
_CHANNEL = re.compile(r"channel\d+")
_TIMES = ("timestamp", "acquisition_timestamp")


def parse(stream: StreamData | Sequence[Buffer]) -> Start | Data | End:
    """Read one message: ``data`` has the current of each channel, by name; ``meta`` the time stamps.

    Raises:
        ProtocolError: it is none.
    """
    header = lone_object(stream, PROTOCOL, _error)
    place, number = _place(header)
    if place is not Place.FRAME:
        return edge(place, header)
    channels = {name: value for name, value in header.items() if _CHANNEL.fullmatch(name)}
    for name, value in channels.items():
        if type(value) not in (int, float):
            raise _error(f"{name!r} is a number, not {value!r:.80}")
    return Data(number, channels, {name: header[name] for name in _TIMES if name in header}, header)


def glance(stream: StreamData | Sequence[Buffer]) -> tuple[Place, int | None]:
    """Where in its stream a message belongs, and its number; raises ProtocolError."""
    return _place(lone_object(stream, PROTOCOL, _error))


def _place(header: Mapping[str, Any]) -> tuple[Place, int | None]:
    return place_and_number(header, "message_type", _PLACES, "frame_number", _error)


STREAM = StreamProtocol(PROTOCOL, parse, glance, "sub")
