"""The messages between what aligns, what maps and what reduces: several events at a time, each with its scan's id."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pipert2.patterns.capture.cbors_blocks import EventBlock
from pipert2.patterns.events.scan import Closing
from pipert2.patterns.events.settled import Outcome
from pipert2.patterns.streams.stream_data import EventData, StreamData

FIRST_BATCH, LARGEST_BATCH = 8, 64  # events: as long as it is not known what one costs, and where they cost nothing
LARGEST_BYTES = 9 << 20
"""Of a batch, and of what a source sends at once: four 16-bit images of 1024 x 1024, with their headers."""
_BATCH_SECONDS = 0.005
LARGE_FRAME = 32 * 1024  # bytes from which on it travels as an array, which the wire does not copy into its message

# What the routines of a scan say to one another over the event bus.
CALL = "pipert2.scan.call"
"""All workers: an event that everyone gets; with ``last`` the end of the scan."""
BEGUN = "pipert2.scan.begun"
"""What makes batches: a reducer has begun with a scan; whether another one had before, which is gone then."""
CLOSED = "pipert2.scan.closed"
"""Everybody: a scan is over, with its report."""
ABORT = "pipert2.scan.abort"
"""Everybody: end the scans that run, now."""
PACE = "pipert2.scan.pace"
"""What makes batches: so many events are to be in one."""
TICK = "pipert2.scan.tick"
"""The reducer: time has passed."""
SCANS = "pipert2.scans"
"""The reducer: say how your scans are. What makes batches: say what you saw of the frames of the one that runs."""


def fitting(seconds: float) -> int:
    """How many events that take so long are to be in a batch: enough that sending it costs little beside them, and so
    few that workers share them evenly, and something is heard of them soon.

    >>> fitting(1e-6), fitting(0.001), fitting(10.0)
    (64, 5, 1)
    """
    return max(1, min(LARGEST_BATCH, int(_BATCH_SECONDS / max(seconds, 1e-9))))


class ScanEnd(NamedTuple):
    """The source of recorded events has come to the end of a scan; *problem* says what was wrong, if anything.

    With a *stream*: nothing further comes of that one, neither in this scan nor in later ones.
    """

    problem: str = ""
    stream: str = ""


class Share(NamedTuple):
    """An event for one worker; *copies* workers get this event, perhaps with other streams."""

    number: int
    copies: int
    streams: tuple[tuple[str, str, tuple[Any, ...]], ...]
    tick: bool = False


class Lane(NamedTuple):
    """Where workers of one kind are: their flow, the routine in it, and the tags that they have."""

    flow: str
    routine: str
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Batch:
    """Events for one worker, in order.

    Attributes:
        number: counts the batches of the scan.
        lane: the flow whose workers it is for.
        shares: the events, read.
        block: or recorded events that are not; *tick*: the first of them is marked with one.
        parameters: what holds for these events, pickled; the same bytes for as long as nothing changes.
        opening: the scan's first event, for a worker that was not there when it came.
        broadcast: what all workers made of events that everyone got, by event.
        notes: events that nobody gets, and why.
        closing: the scan has no further batches.
        last: the scan's last event, with its closing.
    """

    scan_id: str
    number: int
    lane: str
    shares: tuple[Share, ...]
    parameters: bytes
    block: EventBlock | None = None
    tick: bool = False
    opening: Share | None = None
    broadcast: tuple[tuple[int, tuple[Made, ...]], ...] = ()
    notes: tuple[tuple[int, Outcome], ...] = ()
    closing: Closing | None = None
    last: Share | None = None


class Kind(IntEnum):
    """What a worker made of an event."""

    NOTHING = 0
    RESULT = 1
    FAILURE = 2


class Item(NamedTuple):
    """What a worker made of one event: its result, or reason and traceback."""

    number: int
    copies: int
    kind: Kind
    payload: Any


@dataclass(frozen=True, slots=True)
class Made:
    """What one worker made of some events; *packed* and *buffers* are a pickled list of :class:`Item`."""

    worker: str
    parameters_hash: str
    packed: bytes
    buffers: tuple[npt.NDArray[np.uint8], ...] = ()

    def items(self) -> list[Item]:
        """Unpack them; raises what unpickling the user's results raises."""
        return [Item(*one) for one in pickle.loads(self.packed, buffers=self.buffers)]


@dataclass(frozen=True, slots=True)
class Results:
    """What a worker made of a batch, with what the batch said."""

    batch: Batch
    made: Made


def make(worker: str, parameters_hash: str, items: Sequence[Item]) -> Made:
    """Pack what was made; a result that cannot be pickled becomes a failure of its event."""
    buffers: list[pickle.PickleBuffer] = []
    plain = [tuple(one) for one in items]
    try:
        packed = pickle.dumps(plain, 5, buffer_callback=buffers.append)
    except Exception:
        buffers.clear()
        packed = pickle.dumps([tuple(_sendable(one)) for one in items], 5, buffer_callback=buffers.append)
    return Made(worker, parameters_hash, packed, tuple(np.frombuffer(one.raw(), np.uint8) for one in buffers))


def _sendable(item: Item) -> Item:
    try:
        pickle.dumps(item.payload, 5)
    except Exception as error:
        reason = f"the result cannot be sent: {type(error).__name__}: {error}"
        return Item(item.number, item.copies, Kind.FAILURE, (reason, ""))
    return item


def pack_streams(streams: Mapping[str, StreamData]) -> tuple[tuple[str, str, tuple[Any, ...]], ...]:
    """What streams have for an event as a :class:`Share` has it."""
    return tuple([(name, data.typ, tuple(map(_packed, data.frames))) for name, data in streams.items()])


def _packed(frame: Any) -> Any:
    kind = type(frame)
    if kind is bytes:
        return frame if len(frame) < LARGE_FRAME else np.frombuffer(frame, np.uint8)
    view = frame if kind is memoryview else memoryview(frame)
    if type(view.obj) is np.ndarray and view.nbytes == view.obj.nbytes >= LARGE_FRAME:
        return view.obj  # it may lie in shared memory already
    return bytes(view) if view.nbytes < LARGE_FRAME else np.frombuffer(view, np.uint8)


def divided(shares: Sequence[Share], most: int, largest: int = LARGEST_BYTES) -> Iterator[tuple[Share, ...]]:
    """Events in portions of *most* of them, or fewer where they have more than *largest* bytes in large frames.

    >>> [len(one) for one in divided([Share(n, 1, ()) for n in range(5)], 2)]
    [2, 2, 1]
    """
    begin = size = 0
    for at, share in enumerate(shares):
        own = 0
        for _, _, frames in share.streams:
            for one in frames:
                if type(one) is np.ndarray:
                    own += one.nbytes
        if at - begin >= most or (size and size + own > largest):
            yield tuple(shares[begin:at])
            begin, size = at, 0
        size += own
    if begin < len(shares):
        yield tuple(shares[begin:])


def pack_block(block: EventBlock) -> EventBlock:
    """A block as a :class:`Batch` has it."""
    return block._replace(data=_packed(block.data))


def events_of(batch: Batch) -> Iterator[tuple[int, int, bool, EventData]]:
    """The events of a batch as users get them, each with its number, its copies, and whether it has a tick.

    Raises:
        CborError: one cannot be read.
    """
    for share in batch.shares:
        yield share.number, share.copies, share.tick, unpack_event(share)
    if batch.block is not None:
        tick = batch.tick
        for event in batch.block.read(LARGE_FRAME):
            yield event.event_number, 1, tick, event
            tick = False


def unpack_event(share: Share) -> EventData:
    """The event as users get it."""
    streams = {}
    for name, typ, frames in share.streams:
        streams[name] = StreamData(typ, [one.data if type(one) is np.ndarray else one for one in frames])
    return EventData(share.number, streams)
