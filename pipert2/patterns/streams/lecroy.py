"""LeCroy oscilloscopes: the traces of each trigger, by channel, as the Tango device of MAX IV publishes them.

::

    {"htype": "msg", "what": 0, "frame": 0}                                                        prepare: the start
    {"htype": "msg", "what": 1, "frame": 0, "ntriggers": -1, "seqno": 0, "channels": [2, 4]}       triggers begin
    {"htype": "traces", "ch": 2, "frame": 0, "shape": [1, 8002], "dtype": "float64", ...}  traces  pickled time stamps
    {"htype": "msg", "what": 2, "frame": 2}                                                        triggers end
    {"htype": "msg", "what": 3, "frame": 4, "frames": 4}                                           stop: the end

What lies between the beginning and the end of triggers is one message here, with those two around it; a device that
goes on by itself (``"ntriggers": -1``) says the beginning once only. Pickles are read by
:mod:`~pipert2.patterns.streams.plain_pickle`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipert2.patterns.streams.messages import (
    Data,
    Malformed,
    Message,
    array_of,
    edge,
    json_object,
    reads,
    unpickled,
    whole,
)
from pipert2.patterns.streams.stream_data import Buffer, Place
from pipert2.patterns.streams.stream_protocol import Head, StreamProtocol

PROTOCOL = "lecroy_9fwdWp6Rq7"
"""As it is called in captures."""

_PREPARE, _BEGIN, _END, _STOP = range(4)


@reads(PROTOCOL)
def parse(parts: Sequence[Buffer]) -> Message:
    """Read one message: ``data`` has an array of triggers x samples for each channel; ``meta`` the header of each, with
    its ``timestamps``.

    Raises:
        ProtocolError: it is none.
    """
    place, number, header = _head(parts)
    if place is not Place.FRAME:
        return edge(place, header)
    traces: dict[int, Any] = {}
    meta: dict[int, Any] = {}
    for part, samples, stamps in zip(parts[1:-1:3], parts[2:-1:3], parts[3:-1:3], strict=True):
        one = json_object(part)
        channel = whole(one, "ch")
        traces[channel] = array_of(one, samples, key="dtype")
        meta[channel] = {**one, "timestamps": unpickled(stamps, object)}
    if len(traces) != len(header["channels"]):
        raise Malformed(f"it has traces of channels {sorted(traces)}, not of {header['channels']}")
    return Data(number, traces, meta, header)


@reads(PROTOCOL)
def glance(parts: Sequence[Buffer]) -> tuple[Place, int | None]:
    """Where in its stream a message belongs, and its number; raises ProtocolError."""
    return _head(parts)[:2]


def _head(parts: Sequence[Buffer]) -> Head:
    header = json_object(parts[0])
    what, channels = header.get("what"), header.get("channels")
    if what in (_PREPARE, _STOP):
        return (Place.START if what == _PREPARE else Place.END), None, header
    if what != _BEGIN or not isinstance(channels, list) or not channels:
        raise Malformed("it begins neither with a start, nor an end, nor triggers of some channels")
    if len(parts) != 2 + 3 * len(channels):
        raise Malformed(f"triggers of {len(channels)} channels have {2 + 3 * len(channels)} parts, not {len(parts)}")
    end = json_object(parts[-1])
    traces = whole(end, "frame")  # so far, of all channels
    if end.get("what") != _END or traces < len(channels):
        raise Malformed("its last part is not the end of triggers, with the number of traces so far as 'frame'")
    return Place.FRAME, traces // len(channels) - 1, header


class Assembler:
    """Puts the messages between the beginning and the end of triggers together."""

    def __init__(self) -> None:
        self._begin: list[Buffer] = []
        self._held: list[Buffer] = []
        self._repeats = False

    def __call__(self, parts: list[Buffer]) -> list[list[Buffer]]:
        try:
            header = json_object(parts[0]) if parts else {}
        except Malformed:
            return [parts]
        what = header.get("what")
        if header.get("htype") == "traces" or what == _END:
            self._held += parts
            return self._let_go(self._repeats) if what == _END else []
        broken = self._let_go(False) if self._held else []  # traces without an end
        if what != _BEGIN:
            self._begin = []
            return [*broken, parts]
        self._begin, self._repeats = parts, header.get("ntriggers") == -1
        return broken

    def _let_go(self, repeats: bool) -> list[list[Buffer]]:
        found, self._held = [*self._begin, *self._held], []
        self._begin = self._begin if repeats else []
        return [found]


STREAM = StreamProtocol(PROTOCOL, parse, glance, "sub", Assembler)
