"""The plan of a scan: which streams have a frame in which event, and which workers get it.

Event 0 is the start of all streams, then come the planned events from 1, then the end of all streams. A plan is made of
*parts*, each a table of cells by stream and event, which follow one another in a *sequence*.
"""

from __future__ import annotations

import itertools
import json
import math
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipert2.errors import PipertError, nearest

_WRAP = "reserved_start_end"  # dranspose's own part for start and end
_GENERIC = "generic"


class PlanError(PipertError, ValueError):
    """A plan that cannot be used; *problems* lists all that is wrong with it."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "the plan cannot be used: " + "; ".join(self.problems)


@dataclass(frozen=True, slots=True)
class To:
    """Who gets a frame: one worker, whichever has time; the same one for all of a group; or everyone.

    Attributes:
        group: frames of one group go to the same worker, within one occurrence of a part.
        everyone: all workers get it.
        tags: only workers that have all of these.
    """

    group: int | None = None
    everyone: bool = False
    tags: frozenset[str] = frozenset()


Cell = tuple[To, ...] | None
"""None: the stream has no frame in this event. Empty: it has one, which is discarded. Else: who gets it."""

_MOST_KNOWN = 1024
"""Events of a sequence whose cells are kept, so that they need not be gathered twice for each frame."""

ABSENT: Cell = None
DISCARD: Cell = ()
ANY: Cell = (To(),)
ALL: Cell = (To(everyone=True),)


def group(number: int, *tags: str) -> Cell:
    """A cell whose frame goes where all frames of this group go."""
    return (To(group=number, tags=frozenset(tags)),)


def tagged(*tags: str, everyone: bool = False) -> Cell:
    """A cell whose frame goes to a worker that has these tags, or to all of those."""
    return (To(everyone=everyone, tags=frozenset(tags)),)


class _Part:
    """A table of cells, with the events of each stream's frames."""

    __slots__ = ("cells", "largest_group", "last", "length", "present")

    def __init__(self, cells: Mapping[str, Sequence[Cell]]) -> None:
        self.cells = {stream: tuple(row) for stream, row in cells.items()}
        self.length = max((len(row) for row in self.cells.values()), default=0)
        self.present = {
            stream: [at for at, cell in enumerate(row) if cell is not None] for stream, row in self.cells.items()
        }
        self.last: dict[int | None, int] = {}
        first: dict[int | None, int] = {}
        for row in self.cells.values():
            for at, cell in enumerate(row):
                for to in cell or ():
                    self.last[to.group] = max(at, self.last.get(to.group, 0))
                    first[to.group] = min(at, first.get(to.group, at))
        self.largest_group = max((self.last[one] - first[one] + 1 for one in first if one is not None), default=0)


class Plan:
    """The events of a scan.

    Args:
        parts: by name, tables of cells by stream, all streams of a part equally long.
        sequence: the names of the parts in their order; left out where there is one part, which comes once then.
        endless: repeat the sequence for as long as frames come.

    Raises:
        PlanError: it contradicts itself.

    >>> plan = Plan({"main": {"xrd": [ANY] * 4, "slow": [ABSENT, ABSENT, ABSENT, ANY]}}, ["main", "main"])
    >>> plan.length, plan.event_of("slow", 1), sorted(plan.cells(8))
    (8, 8, ['slow', 'xrd'])
    """

    def __init__(
        self,
        parts: Mapping[str, Mapping[str, Sequence[Cell]]],
        sequence: Sequence[str] | None = None,
        *,
        endless: bool = False,
    ) -> None:
        order = list(sequence) if sequence is not None else list(parts)
        problems = list(_problems(parts, order, sequence is None))
        if problems:
            raise PlanError(problems)
        self._parts = {name: _Part(cells) for name, cells in parts.items()}
        self._order = [self._parts[name] for name in order]
        self.streams = tuple(dict.fromkeys(stream for part in self._parts.values() for stream in part.cells))
        self.endless = endless
        self._known: dict[int, Mapping[str, tuple[To, ...]]] = {}
        self._offsets = list(itertools.accumulate((part.length for part in self._order), initial=0))
        self._frames = {
            stream: list(itertools.accumulate((len(part.present.get(stream, ())) for part in self._order), initial=0))
            for stream in self.streams
        }
        if endless and not self._offsets[-1]:
            raise PlanError(["nothing to repeat: it has no events"])

    @classmethod
    def every(
        cls,
        strides: Mapping[str, int],
        *,
        events: int | None = None,
        group: int | None = None,
        tags: Iterable[str] = (),
    ) -> Plan:
        """One frame of each stream in every so manieth event: the usual plan.

        Args:
            strides: by stream; 1 for a frame in each event, 4 for one in events 4, 8, 12.
            events: how many there are; endless if left out.
            group: so many events in a row go to the same worker.
            tags: of the workers that get them.
        """
        for stream, stride in strides.items():
            if not _is_whole(stride, 1):
                raise PlanError([f"stream {stream!r}: every how manieth event is a number from 1, not {stride!r}"])
        if not strides:
            raise PlanError(["it has no streams"])
        if group is not None and not _is_whole(group, 1):
            raise PlanError([f"group={group!r}: so many events in a row are a number from 1"])
        if events is not None and not _is_whole(events, 0):
            raise PlanError([f"events={events!r} is a number from 0"])
        length = events if events is not None else math.lcm(*strides.values(), group or 1)
        if length > 10_000_000:
            raise PlanError([f"it repeats only after {length} events"])
        wanted = frozenset(tags)
        cells = {
            stream: [
                (To(group=None if group is None else at // group, tags=wanted),) if (at + 1) % stride == 0 else None
                for at in range(length)
            ]
            for stream, stride in strides.items()
        }
        return cls({"main": cells}, ["main"], endless=events is None)

    @classmethod
    def load(cls, source: str | Path | Mapping[str, Any]) -> Plan:
        """Read a mapping of dranspose: a JSON file, or what is in one.

        Raises:
            PlanError: it is none.
        """
        return cls._read(_content(source))

    @classmethod
    def _read(cls, content: Mapping[str, Any]) -> Plan:
        parts, sequence = content, None
        if isinstance(content.get("parts"), Mapping):
            parts, sequence = content["parts"], content.get("sequence")
            if not isinstance(sequence, list) or not all(isinstance(name, str) for name in sequence):
                raise PlanError([f"its 'sequence' is a list of names of parts, not {sequence!r:.80}"])
        else:
            parts, sequence = {"main": content}, ["main"]
        problems: list[str] = []
        read: dict[str, dict[str, list[Cell]]] = {}
        for name, part in parts.items():
            if name == _WRAP:
                continue
            table = part.get("mapping", part) if isinstance(part, Mapping) else part
            if not isinstance(table, Mapping):
                problems.append(f"part {name!r} is a table of cells by stream, not {table!r:.80}")
                continue
            read[name] = {
                stream: [_cell(cell, f"part {name!r}, stream {stream!r}, event {at}", problems) for at, cell in row]
                for stream, row in ((stream, _row(row, name, stream, problems)) for stream, row in table.items())
            }
        if problems:
            raise PlanError(problems)
        return cls(read, [name for name in sequence if name != _WRAP])

    @property
    def length(self) -> int | None:
        """How many events there are between start and end; None if it is endless."""
        return None if self.endless else self._offsets[-1]

    @property
    def tags(self) -> frozenset[frozenset[str]]:
        """The sets of tags that a worker must have, one each."""
        return frozenset(
            to.tags for part in self._order for row in part.cells.values() for cell in row for to in cell or ()
        )

    def refuse(self, workers: Collection[frozenset[str]]) -> None:
        """Make sure that there is somebody for every frame.

        Args:
            workers: the tags that each kind of worker has.

        Raises:
            PlanError: nobody has the tags that it asks for.
        """
        known = sorted({tag for tags in workers for tag in tags})
        problems = []
        for wanted in sorted(map(sorted, self.tags)):
            if any(set(wanted) <= tags for tags in workers):
                continue
            unknown = [tag for tag in wanted if tag not in known] or wanted
            near = nearest(unknown[0], known)
            names = ", ".join(map(repr, unknown))
            problems.append(
                f"no worker has {'the tag' if len(unknown) == 1 else 'the tags'} {names}"
                + (f", did you mean {near!r}?" if near else f"; there are {', '.join(map(repr, known)) or 'none'}")
            )
        if problems:
            raise PlanError(problems)

    @property
    def largest_group(self) -> int:
        """How many events lie between the first and the last of a group, both included; 0 if there are no groups."""
        return max((part.largest_group for part in self._parts.values()), default=0)

    def _place(self, event: int) -> tuple[int, int, int]:
        """Round, occurrence and place within the part of a planned event."""
        around, at = divmod(event - 1, self._offsets[-1]) if self.endless else (0, event - 1)
        occurrence = bisect_right(self._offsets, at) - 1
        return around, occurrence, at - self._offsets[occurrence]

    def occurrence(self, event: int) -> int:
        """Which part of the sequence an event is in, from 0: groups are told apart by it."""
        around, occurrence, _ = self._place(event)
        return around * len(self._order) + occurrence

    def cells(self, event: int) -> Mapping[str, tuple[To, ...]]:
        """The streams that have a frame in an event, with who gets it; empty beyond the last one."""
        if event < 1 or not (self.endless or event <= self._offsets[-1]):
            return {}
        known = self._known.get((event - 1) % self._offsets[-1])
        if known is not None:
            return known
        _, occurrence, at = self._place(event)
        found = {stream: cell for stream, row in self._order[occurrence].cells.items() if (cell := row[at]) is not None}
        if len(self._known) < _MOST_KNOWN:
            self._known[(event - 1) % self._offsets[-1]] = found
        return found

    def event_of(self, stream: str, index: int) -> int | None:
        """The event of a stream's frame number *index*, from 0; None if it is one too many."""
        counts = self._frames.get(stream)
        if counts is None or index < 0 or not counts[-1]:
            return None
        around, at = divmod(index, counts[-1]) if self.endless else (0, index)
        if at >= counts[-1]:
            return None
        occurrence = bisect_right(counts, at) - 1
        within = self._order[occurrence].present[stream][at - counts[occurrence]]
        return around * self._offsets[-1] + self._offsets[occurrence] + within + 1

    def last_of_group(self, event: int, number: int) -> int:
        """The last event of the group that *event* belongs to."""
        _, occurrence, at = self._place(event)
        return event - at + self._order[occurrence].last[number]


def _problems(parts: Mapping[str, Mapping[str, Sequence[Cell]]], order: Sequence[str], whole: bool) -> Iterable[str]:
    if not parts:
        yield "it has no parts"
    if whole and len(parts) > 1:
        yield "it has several parts and no sequence: say in which order they come"
    for name, cells in parts.items():
        lengths = {stream: len(row) for stream, row in cells.items()}
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"{stream!r} has {length}" for stream, length in lengths.items())
            yield f"part {name!r}: all streams have equally many events, but {found}"
    for name in dict.fromkeys(order):
        if name not in parts:
            near = nearest(name, list(parts))
            yield f"its sequence names the part {name!r}, which there is not" + (
                f", did you mean {near!r}?" if near else ""
            )


def _content(source: str | Path | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(source, Mapping):
        return source
    try:
        text = Path(source).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError([f"{source} cannot be read ({getattr(error, 'strerror', None) or error})"]) from None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PlanError([f"{source} is not JSON ({error})"]) from None
    if not isinstance(content, Mapping):
        raise PlanError([f"{source} holds a JSON object, not {content!r:.80}"])
    return content


def _row(row: Any, part: str, stream: str, problems: list[str]) -> Iterable[tuple[int, Any]]:
    if not isinstance(row, list):
        problems.append(f"part {part!r}, stream {stream!r}: a list of cells, not {row!r:.80}")
        return ()
    return enumerate(row)


def _cell(cell: Any, where: str, problems: list[str]) -> Cell:
    if cell is None:
        return None
    if not isinstance(cell, list):
        problems.append(f"{where}: a cell is null or a list of workers, not {cell!r:.80}")
        return None
    found = []
    for worker in cell:
        tags = worker.get("tags", [_GENERIC]) if isinstance(worker, Mapping) else None
        constraint = worker.get("constraint") if isinstance(worker, Mapping) else None
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            problems.append(f"{where}: a worker has a list of tags, not {worker!r:.80}")
            continue
        if constraint is not None and not _is_whole(constraint, None):
            problems.append(f"{where}: a worker's constraint is a whole number or null, not {constraint!r:.80}")
            continue
        wanted = frozenset(tags) - {_GENERIC}
        found.append(To(constraint, constraint is None, wanted))
    return tuple(dict.fromkeys(found))


def _is_whole(value: object, least: int | None) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and (least is None or value >= least)
