"""Recorded events of several files, put together by their numbers: decisions only."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipert2.patterns.streams.stream_data import EventData

SLACK = 64
"""Events of a file may be so many places away from where their number belongs."""


@dataclass(slots=True)
class MergeCounts:
    """What was not as it should be: a stream twice in one event, an event too far from its place."""

    duplicate: int = 0
    out_of_order: int = 0


def merged(
    files: Iterable[Iterable[EventData]], counts: MergeCounts, done: int = -1
) -> Iterator[tuple[int, EventData]]:
    """The events of several files, each of which has some of the streams.

    A file in which the numbers begin anew has several scans, which are told apart; the first scans of all files belong
    together, then the second ones.

    Args:
        files: the events of each.
        counts: where is counted what was dropped.
        done: what has a smaller number than this has come too late, in the first scan.

    Returns:
        The number of the scan, from 0, and an event with the streams of all files; in order, each event once.

    >>> from pipert2.patterns.streams.stream_data import StreamData
    >>> a = [EventData(n, {"a": StreamData("x", [])}) for n in (0, 1, 3, 2)]
    >>> b = [EventData(n, {"b": StreamData("x", [])}) for n in (0, 3)]
    >>> [(event.event_number, sorted(event)) for _, event in merged([a, b], MergeCounts())]
    [(0, ['a', 'b']), (1, ['a']), (2, ['a']), (3, ['a', 'b'])]
    """
    sorted_files = [_in_order(events, at, counts, done) for at, events in enumerate(files)]
    in_turn = sorted_files[0] if len(sorted_files) == 1 else heapq.merge(*sorted_files, key=lambda one: one[:3])
    current: EventData | None = None
    current_scan = 0
    own = False
    for scan, number, _, event in in_turn:
        if current is not None:
            if number == current.event_number and scan == current_scan:
                if not own:  # what others gave is not changed; nor is it copied where nothing is added
                    current, own = EventData(number, dict(current.streams), current.created_at), True
                _add(current, event, counts)
                continue
            yield current_scan, current
        current, current_scan, own = event, scan, False
    if current is not None:
        yield current_scan, current


def _add(to: EventData, event: EventData, counts: MergeCounts) -> None:
    for name, data in event.streams.items():
        if name in to.streams:
            counts.duplicate += 1
        else:
            to.streams[name] = data


def _in_order(
    events: Iterable[EventData], file: int, counts: MergeCounts, done: int
) -> Iterator[tuple[int, int, int, EventData]]:
    """The events of one file in order, with the number of their scan."""
    scan = 0
    waiting: deque[tuple[int, EventData]] = (
        deque()
    )  # in order; mostly they come so, which makes this quicker than a heap
    for event in events:
        number = event.event_number
        if number == 0 and (done >= 0 or (waiting and waiting[0][0] == 0)):
            for held, one in waiting:
                yield scan, held, file, one
            waiting.clear()
            scan, done = scan + 1, -1
        if number < done:
            counts.out_of_order += 1
            continue
        if not waiting or number >= waiting[-1][0]:
            waiting.append((number, event))
        else:
            waiting.insert(_place(waiting, number), (number, event))
        if len(waiting) > SLACK:
            done, first = waiting.popleft()
            yield scan, done, file, first
    for number, event in waiting:
        yield scan, number, file, event


def _place(waiting: deque[tuple[int, EventData]], number: int) -> int:
    """Where an event that has come late belongs: behind all that are not after it."""
    return next(at for at, (held, _) in enumerate(waiting) if held > number)
