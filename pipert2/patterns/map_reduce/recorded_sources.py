"""The sources of a replay: one for all captures of events, one for each capture of a stream's raw messages, or one for
a capture of several streams.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipert2.errors import PipertError, UnknownNameError
from pipert2.graph.routine import Routine
from pipert2.patterns.capture.cbors import CborsReader, Layout
from pipert2.patterns.capture.reading import begins_as_mcap
from pipert2.patterns.map_reduce.recorded_events import RecordedEvents
from pipert2.patterns.map_reduce.recorded_frames import RecordedFrames
from pipert2.patterns.map_reduce.recorded_streams import RecordedStreams
from pipert2.patterns.streams.protocols import known_protocols, protocol_of
from pipert2.patterns.streams.stream_data import EventData
from pipert2.patterns.streams.stream_protocol import StreamProtocol


class UnknownProtocolError(UnknownNameError):
    """No protocol of this name, in pipert2 or in what is installed beside it."""

    kind = "stream protocol"


class RecordedSources(NamedTuple):
    """What sends what is recorded, and what :class:`~pipert2.patterns.events.align.Align` has to know of it."""

    sources: list[Routine]
    align: dict[str, Any]


def sources_of(
    paths: Sequence[str | Path],
    streams: Mapping[str, str] | None,
    align: Mapping[str, Any],
    *,
    hold: bool,
    speed: float | None,
) -> RecordedSources:
    """The sources of a replay.

    Args:
        paths: the captures.
        streams: they hold the raw messages of these streams: names, with their protocols; ``.cbors`` files one each,
            in this order, an MCAP file all of them. None: events.
        align: what the user wants of aligning, which only raw messages need.
        hold: do not end when all is sent and over.
        speed: times as fast as they were recorded; as fast as they are taken if left out.

    Raises:
        PipertError: the captures hold something else, or a protocol is not known.
    """
    together = [path for path in paths if _is_mcap(path)]
    if together and streams is None:
        raise PipertError(
            f"{together[0]} is an MCAP file: say of which streams it holds the messages, and in which protocols, with "
            "--as STREAM:PROTOCOL for each (in Python streams={...})"
        )
    if together and len(paths) > 1:
        raise PipertError(f"{together[0]} is an MCAP file, which holds all streams of a scan: replay it by itself")
    if streams is None:
        for path in paths:
            _check_events(path, timed=speed is not None)
        if align:
            raise PipertError(f"recorded events are aligned already: leave {', '.join(align)} out")
        return RecordedSources([RecordedEvents(paths, "capture", hold=hold, speed=speed)], {})
    if speed is not None and not together:
        raise PipertError("raw messages do not say when they were recorded: leave the speed out")
    if len(paths) != len(streams) and not together:
        files, named = (
            f"{count} {what}{'s' * (count != 1)}" for count, what in ((len(paths), "capture"), (len(streams), "stream"))
        )
        raise PipertError(f"{files}, but {named}: of raw messages each capture has those of one stream")
    protocols = {stream: _protocol(name) for stream, name in streams.items()}
    sources: list[Routine]
    if together:
        sources = [RecordedStreams(paths[0], list(streams), name="capture", hold=hold, speed=speed)]
    else:
        sources = [
            RecordedFrames(path, stream, protocol=protocol.name, name=f"capture-{stream}", hold=hold)
            for path, (stream, protocol) in zip(paths, protocols.items(), strict=True)
        ]
    keys = {stream: "number" if protocol.numbered else "count" for stream, protocol in protocols.items()}
    key = align.get("key", {})
    return RecordedSources(
        sources, {"streams": list(streams), **align, "key": {**keys, **key} if isinstance(key, Mapping) else key}
    )


def _is_mcap(path: str | Path) -> bool:
    try:
        return begins_as_mcap(path)
    except OSError:  # whoever reads it says so
        return False


def _check_events(path: str | Path, *, timed: bool) -> None:
    with CborsReader(path, views=True) as reader:
        if reader.layout is not Layout.EVENTS:
            raise PipertError(
                f"{path} holds the raw messages of one stream, not events: say of which one, and in which protocol, "
                "with --as STREAM:PROTOCOL (in Python streams={...})"
            )
        first = next(iter(reader), None) if timed else None
    if first is not None and isinstance(first.value, EventData) and first.value.created_at is None:
        raise PipertError(f"{path} does not say when its events were recorded: leave the speed out")


def _protocol(name: str) -> StreamProtocol:
    found = protocol_of(name)
    if found is None:
        raise UnknownProtocolError(name, known_protocols(), "this installation")
    return found
