"""Contrast: what MAX IV's orchestration publishes of each point of a scan, as pickled dicts.

A dict has a ``status``: ``"started"`` (with ``path``, ``scannr``, ``description``, ``snapshot``), ``"running"`` (with
``dt`` and what each device measured), ``"finished"``, or ``"heartbeat"``, which belongs to no stream. Points have no
number: align such a stream by ``key="count"``. Pickles are read by :mod:`~pipert2.patterns.streams.plain_pickle`.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence

from pipert2.patterns.streams import plain_pickle
from pipert2.patterns.streams.messages import Data, Malformed, Message, edge, only, reads, unpickled
from pipert2.patterns.streams.stream_data import Buffer, Place
from pipert2.patterns.streams.stream_protocol import Heads, StreamProtocol

PROTOCOL = "contrast"

_HEADS = Heads("status", {"started": Place.START, "running": Place.FRAME, "finished": Place.END})


@reads(PROTOCOL)
def parse(parts: Sequence[Buffer], *, allow_pickle: bool = False) -> Message:
    """Read one message: ``data`` is a dict of what was measured, by device.

    Args:
        parts: what an event has of a stream, or the message's parts themselves.
        allow_pickle: let the pickle make objects of any class, which lets whoever sent it run code here.

    Raises:
        ProtocolError: it is none.
    """
    loads = pickle.loads if allow_pickle else plain_pickle.loads
    place, number, packet = _HEADS.of(unpickled(only(parts), dict, loads))
    if place is not Place.FRAME:
        return edge(place, packet)
    return Data(number, {name: value for name, value in packet.items() if name != "status"}, {}, packet)


@reads(PROTOCOL)
def glance(parts: Sequence[Buffer]) -> tuple[Place, int | None]:
    """Where in its stream a message belongs; raises ProtocolError."""
    return _HEADS.of(unpickled(only(parts), dict))[:2]


def _without_heartbeats(parts: list[Buffer]) -> list[list[Buffer]]:
    try:
        return [] if unpickled(only(parts), dict).get("status") == "heartbeat" else [parts]
    except Malformed:
        return [parts]


STREAM = StreamProtocol(PROTOCOL, parse, glance, "sub", lambda: _without_heartbeats, numbered=False)
