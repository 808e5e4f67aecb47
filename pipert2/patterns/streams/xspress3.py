"""Xspress3: spectra of fluorescence detectors, as the Tango device of MAX IV publishes them.

::

    {"htype": "header", "filename": "scan_000002_xspress3.hdf5"}
    {"htype": "image", "frame": 0, "shape": [4, 4096], "type": "uint32", "compression": "none"}  spectra  pickled list
    {"htype": "series_end"}

The three parts of an image come as one message, or, from older devices, as three. The pickle is read by
:mod:`~pipert2.patterns.streams.plain_pickle`.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipert2.patterns.streams.messages import Data, Malformed, Message, array_of, edge, json_object, reads, unpickled
from pipert2.patterns.streams.stream_data import Buffer, Place
from pipert2.patterns.streams.stream_protocol import Head, Heads, StreamProtocol

PROTOCOL = "xspress"
META = ("ocr", "AllEvents", "AllGood", "ClockTicks", "TotalTicks", "ResetTicks", "event_widths", "dtc")
"""What the pickled list has, in order; an array by channel each."""

_HEADS = Heads("htype", {"header": Place.START, "image": Place.FRAME, "series_end": Place.END}, "frame")


@reads(PROTOCOL)
def parse(parts: Sequence[Buffer]) -> Message:
    """Read one message: ``data`` is the spectra, an array of channels x bins; ``meta`` has what :data:`META` names.

    Raises:
        ProtocolError: it is none.
    """
    place, number, header = _head(parts)
    if place is not Place.FRAME:
        return edge(place, header)
    spectra = array_of(header, parts[1])
    return Data(number, spectra, dict(zip(META, unpickled(parts[2], list), strict=False)), header)


@reads(PROTOCOL)
def glance(parts: Sequence[Buffer]) -> tuple[Place, int | None]:
    """Where in its stream a message belongs, and its number; raises ProtocolError."""
    return _head(parts)[:2]


def _head(parts: Sequence[Buffer]) -> Head:
    found = _HEADS.of(json_object(parts[0]))
    if found[0] is Place.FRAME and len(parts) != 3:
        raise Malformed(f"an image has a header, a buffer and a pickle, not {len(parts)} parts")
    return found


class Assembler:
    """Puts the three messages of an image together; what does not fit goes on as it is, and is malformed."""

    def __init__(self) -> None:
        self._held: list[Buffer] = []

    def __call__(self, parts: list[Buffer]) -> list[list[Buffer]]:
        place = _place_of_header(parts)
        if self._held and place is None and len(parts) == 1:
            self._held += parts
            return [] if len(self._held) < 3 else self._let_go()
        broken = self._let_go()
        if place is Place.FRAME and len(parts) == 1:
            self._held = list(parts)
            return broken
        return [*broken, parts]

    def _let_go(self) -> list[list[Buffer]]:
        held, self._held = self._held, []
        return [held] if held else []


def _place_of_header(parts: list[Buffer]) -> Place | None:
    try:
        return _HEADS.of(json_object(parts[0]))[0] if parts else None
    except Malformed:
        return None


STREAM = StreamProtocol(PROTOCOL, parse, glance, "sub", Assembler)
