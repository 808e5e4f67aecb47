"""Reads server-sent events (the event stream format of the WHATWG HTML standard, section 9.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

LARGEST_EVENT = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """An event: its *name*, its *data*, and the *id* that one continues behind."""

    name: str
    data: str
    id: str | None


def read_events(parts: Iterable[bytes]) -> Iterator[ServerSentEvent]:
    """The events in the bytes of a stream, however these are cut; one that is cut off at the end is left out.

    Raises:
        ValueError: an event is larger than 16 MiB, or is not UTF-8.
    """
    name, last_id, data = "", None, list[str]()
    size = 0
    for line in _lines(parts):
        size += len(line)
        if size > LARGEST_EVENT:
            raise ValueError(f"an event of more than {LARGEST_EVENT} bytes")
        if not line:
            if data:
                yield ServerSentEvent(name or "message", "\n".join(data), last_id)
            name, data, size = "", [], 0
            continue
        field, _, value = line.decode("utf-8").partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id":
            last_id = value


def _lines(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Lines, which end with LF or CR LF; the characters that Python too takes for line ends may stand in them."""
    rest: list[bytes] = []
    size = 0
    for part in parts:
        *lines, last = part.split(b"\n")
        for line in lines:
            yield b"".join((*rest, line)).removesuffix(b"\r")
            rest, size = [], 0
        if last:
            rest.append(last)
            size += len(last)
            if size > LARGEST_EVENT:
                raise ValueError(f"a line of more than {LARGEST_EVENT} bytes")
