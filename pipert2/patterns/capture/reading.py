"""Captures, whatever their format: what is in one, and its messages in order."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pipert2.errors import CaptureError, nearest
from pipert2.patterns.capture import cbors, mcap_format
from pipert2.patterns.capture.cbors import CborsReader, ScanCounter
from pipert2.patterns.capture.class_names import classes_named
from pipert2.patterns.capture.mcap_messages import decoder
from pipert2.patterns.capture.mcap_reader import McapReader
from pipert2.patterns.capture.mcap_summary import Summary, summary_of
from pipert2.patterns.streams.stream_data import EventData

_NANO = 1_000_000_000


@dataclass
class CaptureMessage:
    """A message of a capture, with what the capture knows about it.

    Attributes:
        topic: the channel's name.
        time: when it was recorded, seconds since the epoch; None if that is not known.
        sequence: its number in its channel.
        data: as it was recorded.
    """

    topic: str
    time: float | None
    sequence: int
    data: Any


class Played(NamedTuple):
    """A message as it is met while a capture is played; *load* makes its data."""

    topic: str
    time: int | None
    sequence: int
    offset: int
    load: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Outline:
    """What has to be known of a capture before it is played.

    Attributes:
        topics: the channels' names.
        first, last: ns since the epoch; None if times are not known.
        messages: how many there are; None if nobody has counted them yet.
        classes: by their names, the classes of data that are known here.
        scans: how many there are in it, for event numbers begin anew so often.
    """

    topics: tuple[str, ...]
    first: int | None
    last: int | None
    messages: int | None
    classes: Mapping[str, type]
    scans: int = 1

    @property
    def duration(self) -> float:
        """Seconds from the first message to the last."""
        return (self.last - self.first) / _NANO if self.first is not None and self.last is not None else 0.0


def begins_as_mcap(path: str | Path) -> bool:
    """Whether a file begins as MCAP files do; raises OSError if it cannot be read."""
    with open(path, "rb") as file:
        return file.read(len(mcap_format.MAGIC)) == mcap_format.MAGIC


def is_mcap(path: str | Path) -> bool:
    """Whether a capture is an MCAP file, by its first bytes, else by its name.

    Raises:
        CaptureError: it cannot be read, or is no capture that is known here.
    """
    name = os.fspath(path)
    try:
        if begins_as_mcap(name):
            return True
    except OSError as error:
        raise CaptureError(name, f"it cannot be read: {error.strerror or error}") from error
    if name.endswith(cbors.SUFFIXES):
        return False
    if name.endswith(mcap_format.SUFFIX):
        return True
    raise CaptureError(name, f"it is no MCAP file, and not called {' or '.join(cbors.SUFFIXES)}")


def outline(path: str | Path, *, types: Iterable[type] = (), allow_pickle: bool = False) -> Outline:
    """What has to be known of a capture before it is played; quick if its writer came to its end.

    Raises:
        CaptureError: it cannot be read; its data is of classes that are not known, or pickled, and that is not allowed.
    """
    name = os.fspath(path)
    if not is_mcap(path):
        with CborsReader(path, views=True) as reader:
            return _outline_of_cbors(reader)
    found = summary_of(name)
    known = classes_named(found.classes, types)
    missing = [one for one in found.classes if one not in known]
    if missing:
        raise CaptureError(
            name,
            f"its data is of classes that are not known here: {', '.join(missing)}; import them, or pass types=[...]",
        )
    if found.pickled and not allow_pickle:
        raise CaptureError(
            name,
            f"data in it is pickled ({', '.join(found.pickled)}), and unpickling runs whatever its writer wanted: pass "
            "allow_pickle=True if you trust it",
        )
    return _outline_of_mcap(found, known)


def _outline_of_mcap(found: Summary, known: Mapping[str, type]) -> Outline:
    return Outline(tuple(found.counts), found.first, found.last, sum(found.counts.values()), known)


def _outline_of_cbors(reader: CborsReader) -> Outline:
    first = last = None
    messages = 0
    scans = ScanCounter()
    try:
        for record in reader:
            messages += 1
            scans.see(record.value)
            created = _created(record.value)
            if created is not None:
                first, last = created if first is None else first, created
    except CaptureError:
        pass  # it is played up to there
    return Outline((reader.layout.value,), first, last, messages, {}, scans.scan)


def _created(value: Any) -> int | None:
    created = value.created_at if isinstance(value, EventData) else None
    return round(created.timestamp() * 1e6) * 1000 if created is not None else None


def chosen_topics(path: str | Path, known: tuple[str, ...], wanted: str | Iterable[str] | None) -> tuple[str, ...]:
    """The topics that are wanted: one, several, all with ``"*"``; None means the only one.

    Raises:
        CaptureError: there is no such topic, or it is not clear which is meant.
    """
    name, listed = os.fspath(path), ", ".join(known)
    if wanted is None:
        if len(known) > 1:
            raise CaptureError(name, f"it has several channels, say which one with topic=...: {listed}")
        return known
    if wanted == "*":
        return known
    topics = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    for topic in topics:
        if topic not in known:
            near = nearest(topic, known)
            hint = f"did you mean {near!r}?" if near else f"it has {listed or 'none'}"
            raise CaptureError(name, f"it has no channel {topic!r}: {hint}")
    return topics


def played(
    path: str | Path,
    topics: Iterable[str],
    outline: Outline,
    *,
    since: int = 0,
    scan: int | None = None,
    allow_pickle: bool = False,
) -> Generator[Played, None, bool]:
    """A capture's messages in the file's order, from the time *since* on, of one scan or all.

    Returns:
        Whether its writer came to its end; if not, messages may be missing there.

    Raises:
        CaptureError: the capture is damaged; after its last whole message.
    """
    wanted = frozenset(topics)
    if is_mcap(path):
        return (yield from _played_mcap(path, wanted, outline, since, allow_pickle))
    with CborsReader(path) as reader:
        topic, scans = reader.layout.value, ScanCounter()
        for number, (offset, value) in enumerate(reader):
            time, its = _created(value), scans.see(value)
            if (time is None or time >= since) and scan in (None, its):
                yield Played(topic, time, number, offset, lambda value=value: value)  # type: ignore[misc]
    return True


def _played_mcap(
    path: str | Path, wanted: frozenset[str], outline: Outline, since: int, allow_pickle: bool
) -> Generator[Played, None, bool]:
    with McapReader(path) as reader:
        load = decoder(reader.path, outline.classes, allow_pickle=allow_pickle)
        for message in reader.messages(since):
            if message.time >= since and message.channel.topic in wanted:
                yield Played(
                    message.channel.topic,
                    message.time,
                    message.sequence,
                    message.offset,
                    lambda message=message: load(message),  # type: ignore[misc]
                )
        return reader.closed
