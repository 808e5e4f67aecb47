"""Contrast: what MAX IV's orchestration publishes of each point of a scan, as pickled dicts.

A dict has a ``status``: ``"started"`` (with ``path``, ``scannr``, ``description``, ``snapshot``), ``"running"`` (with
``dt`` and what each device measured), ``"finished"``, or ``"heartbeat"``, which belongs to no stream. Points have no
number: align such a stream by ``key="count"``. Pickles are read by :mod:`~pipert2.patterns.streams.plain_pickle`.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Sequence
from typing import Any

from pipert2.patterns.streams import plain_pickle
from pipert2.patterns.streams.messages import Data, End, ProtocolError, Start, edge, parts_of, unpickled
from pipert2.patterns.streams.stream_data import Buffer, Place, StreamData
from pipert2.patterns.streams.stream_protocol import StreamProtocol, place_of

PROTOCOL = "contrast"

_error = functools.partial(ProtocolError, PROTOCOL)
_PLACES = {"started": Place.START, "running": Place.FRAME, "finished": Place.END}


def parse(stream: StreamData | Sequence[Buffer], *, allow_pickle: bool = False) -> Start | Data | End:
    """Read one message: ``data`` is a dict of what was measured, by device.

    Args:
        stream: what an event has of a stream, or the message's parts themselves.
        allow_pickle: let the pickle make objects of any class, which lets whoever sent it run code here.

    Raises:
        ProtocolError: it is none.
    """
    parts = parts_of(stream, PROTOCOL, _error)
    packet = _packet(parts, pickle.loads if allow_pickle else plain_pickle.loads)
    place = place_of(packet, "status", _PLACES, _error)
    if place is not Place.FRAME:
        return edge(place, packet)
    return Data(None, {name: value for name, value in packet.items() if name != "status"}, {}, packet)


def glance(stream: StreamData | Sequence[Buffer]) -> tuple[Place, int | None]:
    """Where in its stream a message belongs; raises ProtocolError."""
    parts = parts_of(stream, PROTOCOL, _error)
    return place_of(_packet(parts, plain_pickle.loads), "status", _PLACES, _error), None


def _packet(parts: Sequence[Buffer], loads: Any) -> dict[str, Any]:
    if len(parts) != 1:
        raise _error(f"it has one part, not {len(parts)}")
    packet = unpickled(parts[0], "its pickle", _error, loads)
    if not isinstance(packet, dict):
        raise _error(f"it is a pickled dict, not {packet!r:.80}")
    return packet


def _without_heartbeats(parts: list[Buffer]) -> list[list[Buffer]]:
    try:
        return [] if _packet(parts, plain_pickle.loads).get("status") == "heartbeat" else [parts]
    except ProtocolError:
        return [parts]


STREAM = StreamProtocol(PROTOCOL, parse, glance, "sub", lambda: _without_heartbeats, numbered=False)
