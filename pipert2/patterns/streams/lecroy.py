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

import functools
from collections.abc import Mapping, Sequence
from typing import Any

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
    unpickled,
    whole,
)
from pipert2.patterns.streams.stream_data import Buffer, Place, StreamData
from pipert2.patterns.streams.stream_protocol import StreamProtocol

PROTOCOL = "lecroy_9fwdWp6Rq7"
"""As it is called in captures."""

_error = functools.partial(ProtocolError, PROTOCOL)
_PREPARE, _BEGIN, _END, _STOP = range(4)


def parse(stream: StreamData | Sequence[Buffer]) -> Start | Data | End:
    """Read one message: ``data`` has an array of triggers x samples for each channel; ``meta`` the header of each, with
    its ``timestamps``.

    Raises:
        ProtocolError: it is none.
    """
    parts = parts_of(stream, PROTOCOL, _error)
    header = json_object(parts[0], _error)
    place, number = _place(header, parts)
    if place is not Place.FRAME:
        return edge(place, header)
    traces: dict[int, Any] = {}
    meta: dict[int, Any] = {}
    for at in range(1, len(parts) - 1, 3):
        one = json_object(parts[at], _error)
        channel = whole(one, "ch", _error)
        traces[channel] = array(parts[at + 1], shape_of(one, _error), number_type(one.get("dtype"), _error), _error)
        meta[channel] = {**one, "timestamps": unpickled(parts[at + 2], "its pickle of time stamps", _error)}
    if len(traces) != len(header["channels"]):
        raise _error(f"it has traces of channels {sorted(traces)}, not of {header['channels']}")
    return Data(number, traces, meta, header)  # type: ignore[arg-type]


def glance(stream: StreamData | Sequence[Buffer]) -> tuple[Place, int | None]:
    """Where in its stream a message belongs, and its number; raises ProtocolError."""
    parts = parts_of(stream, PROTOCOL, _error)
    return _place(json_object(parts[0], _error), parts)


def _place(header: Mapping[str, Any], parts: Sequence[Buffer]) -> tuple[Place, int | None]:
    what = header.get("what")
    if what in (_PREPARE, _STOP):
        return (Place.START if what == _PREPARE else Place.END), None
    channels = header.get("channels")
    if what != _BEGIN or not isinstance(channels, list) or not channels:
        raise _error("it begins neither with a start, nor an end, nor triggers of some channels")
    if len(parts) != 2 + 3 * len(channels):
        raise _error(f"triggers of {len(channels)} channels have {2 + 3 * len(channels)} parts, not {len(parts)}")
    end = json_object(parts[-1], _error)
    if end.get("what") != _END:
        raise _error("its last part is not the end of triggers")
    number = whole(end, "frame", _error) // len(channels) - 1  # it counts traces
    if number < 0:
        raise _error(f"'frame' at the end of triggers counts traces, {len(channels)} or more, not {end['frame']}")
    return Place.FRAME, number


class Assembler:
    """Puts the messages between the beginning and the end of triggers together."""

    def __init__(self) -> None:
        self._begin: list[Buffer] = []
        self._held: list[Buffer] = []
        self._repeats = False

    def __call__(self, parts: list[Buffer]) -> list[list[Buffer]]:
        try:
            header = json_object(parts[0], _error) if parts else {}
        except ProtocolError:
            return [parts]
        if header.get("htype") == "traces":
            self._held += parts
            return []
        what = header.get("what")
        if what == _END:
            found, self._held = [*self._begin, *self._held, *parts], []
            if not self._repeats:
                self._begin = []
            return [found]
        broken = [[*self._begin, *self._held]] if self._held else []  # traces without an end
        self._held, self._begin = [], []
        if what != _BEGIN:
            return [*broken, parts]
        self._begin, self._repeats = parts, header.get("ntriggers") == -1
        return broken


STREAM = StreamProtocol(PROTOCOL, parse, glance, "sub", Assembler)
