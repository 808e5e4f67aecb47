"""Recorded events of several files, put together by their numbers: decisions only."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipert2.patterns.stream_data import EventData

SLACK = 64
"""Events of a file may be so many places away from where their number belongs."""


@dataclass(slots=True)
class MergeCounts:
    """What was not as it should be: a stream twice in one event, an event too far from its place."""

    duplicate: int = 0
    out_of_order: int = 0


def merged(files: Iterable[Iterable[EventData]], counts: MergeCounts) -> Iterator[tuple[int, EventData]]:
    """The events of several files, each of which has some of the streams.

    A file in which the numbers begin anew has several scans, which are told apart; the first scans of all files belong
    together, then the second ones.

    Args:
        files: the events of each.
        counts: where is counted what was dropped.

    Returns:
        The number of the scan, from 0, and an event with the streams of all files; in order, each event once.

    >>> from pipert2.patterns.stream_data import StreamData
    >>> a = [EventData(n, {"a": StreamData("x", [])}) for n in (0, 1, 3, 2)]
    >>> b = [EventData(n, {"b": StreamData("x", [])}) for n in (0, 3)]
    >>> [(event.event_number, sorted(event)) for _, event in merged([a, b], MergeCounts())]
    [(0, ['a', 'b']), (1, ['a']), (2, ['a']), (3, ['a', 'b'])]
    """
    sorted_files = [_in_order(events, at, counts) for at, events in enumerate(files)]
    current: tuple[int, EventData] | None = None
    for scan, number, _, event in heapq.merge(*sorted_files, key=lambda one: one[:3]):
        if current is not None and (current[0], current[1].event_number) == (scan, number):
            streams = current[1].streams
            for name, data in event.streams.items():
                if name in streams:
                    counts.duplicate += 1
                else:
                    streams[name] = data
            continue
        if current is not None:
            yield current
        current = (scan, EventData(number, dict(event.streams), event.created_at))
    if current is not None:
        yield current


def _in_order(events: Iterable[EventData], file: int, counts: MergeCounts) -> Iterator[tuple[int, int, int, EventData]]:
    """The events of one file in order, with the number of their scan."""
    scan = serial = 0
    done = -1
    waiting: list[tuple[int, int, EventData]] = []
    for event in events:
        number = event.event_number
        if number == 0 and (done >= 0 or any(held[0] == 0 for held in waiting)):
            while waiting:
                first = heapq.heappop(waiting)
                yield scan, first[0], file, first[2]
            scan, done = scan + 1, -1
        if number < done:
            counts.out_of_order += 1
            continue
        heapq.heappush(waiting, (number, serial, event))
        serial += 1
        if len(waiting) > SLACK:
            done, _, first_event = heapq.heappop(waiting)
            yield scan, done, file, first_event
    while waiting:
        number, _, event = heapq.heappop(waiting)
        yield scan, number, file, event
