"""Eiger and Pilatus detectors of Dectris: the second version of their stream, a CBOR map a message.

A map has a ``type``: ``"start"`` (with ``number_of_images``, ``image_size_x`` ...), ``"image"`` (with ``image_id``,
``data`` by channel, and times) or ``"end"``. Arrays are typed (RFC 8746) and may be packed (Dectris's tag 56500). See
"Stream V2" in https://github.com/dectris/documentation.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipert2.patterns.streams.messages import Data, Malformed, Message, edge, only, reads
from pipert2.patterns.streams.stream_data import Buffer, Place
from pipert2.patterns.streams.stream_protocol import Heads, StreamProtocol
from pipert2.patterns.streams.typed_arrays import Packed, cbor_map, with_arrays

PROTOCOL = "EIGER_SIMPLON"

_HEADS = Heads("type", {"start": Place.START, "image": Place.FRAME, "end": Place.END}, "image_id")
_TIMES = ("start_time", "stop_time", "real_time", "series_date")


@reads(PROTOCOL)
def parse(parts: Sequence[Buffer], *, decode: bool = True) -> Message:
    """Read one message.

    Args:
        parts: what an event has of a stream, or the message's parts themselves.
        decode: unpack images: ``data`` has an array of rows x columns for each channel. Otherwise it has
            :class:`~pipert2.patterns.streams.typed_arrays.Packed`.

    Raises:
        ProtocolError: it is none.
        PipertError: what is needed to unpack it is not installed.
    """
    place, number, message = _HEADS.of(cbor_map(only(parts)))
    if place is not Place.FRAME:
        return edge(place, with_arrays(message))
    images = message.pop("data", None)
    if not isinstance(images, dict) or not all(isinstance(one, Packed) for one in images.values()):
        raise Malformed(f"'data' is a map of channels with an array each, not {images!r:.80}")
    header = with_arrays(message)
    times = {name: header[name] for name in _TIMES if name in header}
    return Data(number, with_arrays(images) if decode else images, times, header)


@reads(PROTOCOL)
def glance(parts: Sequence[Buffer]) -> tuple[Place, int | None]:
    """Where in its stream a message belongs, and its number; raises ProtocolError."""
    return _HEADS.of(cbor_map(only(parts)))[:2]


STREAM = StreamProtocol(PROTOCOL, parse, glance)
