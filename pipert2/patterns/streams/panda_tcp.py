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

import functools
from collections.abc import Sequence
from typing import Any

from pipert2.patterns.streams.messages import Data, End, ProtocolError, Start, parts_of
from pipert2.patterns.streams.stream_data import Buffer, Place, StreamData
from pipert2.patterns.streams.stream_protocol import StreamProtocol

PROTOCOL = "PCAP_RAW"

_error = functools.partial(ProtocolError, PROTOCOL)


def parse(stream: StreamData | Sequence[Buffer], fields: Sequence[str] = ()) -> Start | Data | End:
    """Read one message.

    Args:
        stream: what an event has of a stream, or the message's parts themselves.
        fields: ``header["fields"]`` of the start, which every worker gets as the first event.

    Returns:
        Of a start the header has the names of fields as ``fields``, such as ``"INENC1.VAL.Mean"``. Of a line, ``data``
        has a number for each field, or is a list of numbers if *fields* is left out.

    Raises:
        ProtocolError: it is none.
    """
    text = _text(stream)
    place = _place(text)
    if place is Place.START:
        return Start(_header(text))
    if place is Place.END:
        count, _, reason = text[len("END ") :].strip().partition(" ")
        return End({"frames": _number(count), "reason": reason})
    numbers = [_number(word) for word in text.split()]
    if fields and len(numbers) != len(fields):
        raise _error(f"it has {len(numbers)} numbers, not {len(fields)}")
    return Data(None, dict(zip(fields, numbers, strict=True)) if fields else numbers)


def glance(stream: StreamData | Sequence[Buffer]) -> tuple[Place, int | None]:
    """Where in its stream a message belongs; raises ProtocolError."""
    return _place(_text(stream)), None


def _text(stream: StreamData | Sequence[Buffer]) -> str:
    parts = parts_of(stream, PROTOCOL, _error)
    if len(parts) != 1:
        raise _error(f"it has one part, not {len(parts)}")
    try:
        return str(parts[0], "ascii")
    except UnicodeDecodeError:
        raise _error("it is no text") from None


def _place(text: str) -> Place:
    if text.startswith("arm_time:"):
        return Place.START
    if text.startswith("END "):
        return Place.END
    if text.startswith(" ") and text.strip():
        return Place.FRAME
    raise _error(f"it begins with 'arm_time:', 'END' or a space, not {text[:20]!r}")


def _header(text: str) -> dict[str, Any]:
    header: dict[str, Any] = {}
    fields = []
    for line in text.splitlines():
        if line.startswith(" "):
            words = line.split()
            if len(words) < 3:
                raise _error(f"a field has a name, a type and what is captured, not {line!r:.80}")
            fields.append(f"{words[0]}.{words[2]}")
        elif line:
            name, _, value = line.partition(":")
            header[name] = value.strip()
    return {**header, "fields": fields}


def _number(word: str) -> int | float:
    try:
        return int(word) if word.lstrip("-").isdecimal() else float(word)
    except ValueError:
        raise _error(f"{word!r:.40} is no number") from None


STREAM = StreamProtocol(PROTOCOL, parse, glance, numbered=False)
