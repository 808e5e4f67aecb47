"""PandABox over TCP: positions as the box itself sends them, lines of text.

::

    arm_time: 2023-12-19T07:51:12.754Z
    format: ASCII
    fields:
     PCAP.BITS0 uint32 Value
     INENC1.VAL double Mean scale: 1 offset: 0 units: mm
    (an empty line)
     301989857 592910924.7
    END 1 Disarmed

The header up to the empty line is one message, and so is each line behind it. A line says no number: align such a
stream by ``key="count"``. See "Data capture" in the documentation of the PandABlocks server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipert2.patterns.streams.messages import Data, End, Malformed, Message, Start, only, reads
from pipert2.patterns.streams.stream_data import Buffer, Place
from pipert2.patterns.streams.stream_protocol import StreamProtocol

PROTOCOL = "PCAP_RAW"


@reads(PROTOCOL)
def parse(parts: Sequence[Buffer], fields: Sequence[str] = ()) -> Message:
    """Read one message.

    Args:
        parts: what an event has of a stream, or the message's parts themselves.
        fields: ``header["fields"]`` of the start, which every worker gets as the first event.

    Returns:
        Of a start the header has the names of fields as ``fields``, such as ``"INENC1.VAL.Mean"``. Of a line, ``data``
        has a number for each field, or is a list of numbers if *fields* is left out.

    Raises:
        ProtocolError: it is none.
    """
    place, text = _place(parts)
    if place is Place.START:
        return Start(_header(text))
    if place is Place.END:
        count, _, reason = text.removeprefix("END ").strip().partition(" ")
        return End({"frames": _number(count), "reason": reason})
    numbers = [_number(word) for word in text.split()]
    if fields and len(numbers) != len(fields):
        raise Malformed(f"it has {len(numbers)} numbers, not {len(fields)}")
    return Data(None, dict(zip(fields, numbers, strict=True)) if fields else numbers)


@reads(PROTOCOL)
def glance(parts: Sequence[Buffer]) -> tuple[Place, int | None]:
    """Where in its stream a message belongs; raises ProtocolError."""
    return _place(parts)[0], None


def _place(parts: Sequence[Buffer]) -> tuple[Place, str]:
    """Where a message belongs, and its text."""
    try:
        text = str(only(parts), "ascii")
    except UnicodeDecodeError:
        raise Malformed("it is no text") from None
    for begin, place in (("arm_time:", Place.START), ("END ", Place.END), (" ", Place.FRAME)):
        if text.startswith(begin) and text.strip():
            return place, text
    raise Malformed(f"it begins with 'arm_time:', 'END' or a space, not {text[:20]!r}")


def _header(text: str) -> dict[str, Any]:
    header: dict[str, Any] = {}
    fields = []
    for line in filter(None, text.splitlines()):
        if not line.startswith(" "):
            name, _, value = line.partition(":")
            header[name] = value.strip()
        elif len(words := line.split()) >= 3:
            fields.append(f"{words[0]}.{words[2]}")
        else:
            raise Malformed(f"a field has a name, a type and what is captured, not {line!r:.80}")
    return {**header, "fields": fields}


def _number(word: str) -> int | float:
    try:
        return int(word) if word.lstrip("-").isdecimal() else float(word)
    except ValueError:
        raise Malformed(f"{word!r:.40} is no number") from None


STREAM = StreamProtocol(PROTOCOL, parse, glance, numbered=False)
