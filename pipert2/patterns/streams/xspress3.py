"""Xspress3: spectra of fluorescence detectors, as the Tango device of MAX IV publishes them.

::

    {"htype": "header", "filename": "scan_000002_xspress3.hdf5"}
    {"htype": "image", "frame": 0, "shape": [4, 4096], "type": "uint32", "compression": "none"}  spectra  pickled list
    {"htype": "series_end"}

The three parts of an image come as one message, or, from older devices, as three. The pickle is read by
:mod:`~pipert2.patterns.streams.plain_pickle`.
"""

from __future__ import annotations

import functools
import math
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
)
from pipert2.patterns.streams.stream_data import Buffer, Place, StreamData
from pipert2.patterns.streams.stream_protocol import StreamProtocol, place_and_number, place_of

PROTOCOL = "xspress"
META = ("ocr", "AllEvents", "AllGood", "ClockTicks", "TotalTicks", "ResetTicks", "event_widths", "dtc")
"""What the pickled list has, in order; an array by channel each."""

_error = functools.partial(ProtocolError, PROTOCOL)
_PLACES = {"header": Place.START, "image": Place.FRAME, "series_end": Place.END}


def parse(stream: StreamData | Sequence[Buffer]) -> Start | Data | End:
    """Read one message: ``data`` is the spectra, an array of channels x bins; ``meta`` has what :data:`META` names.

    Raises:
        ProtocolError: it is none.
    """
    parts = parts_of(stream, PROTOCOL, _error)
    header = json_object(parts[0], _error)
    place, number = _place(header, parts)
    if place is not Place.FRAME:
        return edge(place, header)
    spectra = array(parts[1], shape_of(header, _error), number_type(header.get("type"), _error), _error)
    found = unpickled(parts[2], "its third part", _error)
    if not isinstance(found, list):
        raise _error(f"its third part is a pickled list, not {found!r:.80}")
    return Data(number, spectra, dict(zip(META, found, strict=False)), header)


def glance(stream: StreamData | Sequence[Buffer]) -> tuple[Place, int | None]:
    """Where in its stream a message belongs, and its number; raises ProtocolError."""
    parts = parts_of(stream, PROTOCOL, _error)
    return _place(json_object(parts[0], _error), parts)


def _place(header: Mapping[str, Any], parts: Sequence[Buffer]) -> tuple[Place, int | None]:
    found = place_and_number(header, "htype", _PLACES, "frame", _error)
    if found[0] is Place.FRAME and len(parts) != 3:
        raise _error(f"an image has a header, a buffer and a pickle, not {len(parts)} parts")
    return found


class Assembler:
    """Puts the three messages of an image together; what does not fit goes on as it is, and is malformed."""

    def __init__(self) -> None:
        self._held: list[Buffer] = []
        self._size = 0

    def __call__(self, parts: list[Buffer]) -> list[list[Buffer]]:
        if self._held and self._fits(parts):
            self._held += parts
            if len(self._held) < 3:
                return []
            complete, self._held = self._held, []
            return [complete]
        broken = [self._held] if self._held else []
        self._held = []
        if len(parts) == 1 and self._begins(parts[0]):
            self._held = list(parts)
            return broken
        return [*broken, parts]

    def _fits(self, parts: list[Buffer]) -> bool:
        if len(parts) != 1:
            return False
        return memoryview(parts[0]).nbytes == self._size if len(self._held) == 1 else bytes(parts[0][:1]) == b"\x80"

    def _begins(self, part: Buffer) -> bool:
        try:
            header = json_object(part, _error)
            if place_of(header, "htype", _PLACES, _error) is not Place.FRAME:
                return False
            dtype = number_type(header.get("type"), _error)
            self._size = math.prod(shape_of(header, _error)) * dtype.itemsize
        except ProtocolError:
            return False
        return True


STREAM = StreamProtocol(PROTOCOL, parse, glance, "sub", Assembler)
