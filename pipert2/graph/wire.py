"""Wires between routines, and the delivery rules that hold where a wire says nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Any

from pipert2.graph.routine import Routine
from pipert2.graph.transmitter import DataTransmitter

REAL_TIME_CAPACITY = 1
LOSSLESS_CAPACITY = 64
FEEDBACK_CAPACITY = 1024
"""Messages that may wait on a lossless wire that leads back, so that its circle does not soon stand still."""


def _check_capacity(capacity: int, what: str) -> None:
    if isinstance(capacity, bool) or not isinstance(capacity, int) or capacity < 1:
        raise ValueError(f"{what} is a number of messages, 1 or more, not {capacity!r}")


@dataclass(frozen=True, slots=True, init=False)
class Wire:
    """From one routine to one or more others.

    Args:
        source: the routine whose results travel.
        destinations: the routines that get them, each of them every message.
        data_transmitter: how data is placed; where left out, the flow's or the pipe's.
        lossless: True: the source waits when a destination is behind, nothing is lost. False: the newest message wins,
            what a slow destination misses is dropped and counted. Left out: as the pipe says.
        capacity: messages that may wait for each destination; 1 for real-time wires and 64 for lossless ones where left
            out. A lossless wire holds large messages to 32 MiB in all as well (but always admits two).
        where: called in the source's process with each result: whether it travels on this wire. Left out: all do. A
            result that no wire takes is done with.
        capture: a file, ``.mcap``, into which what the source sends is recorded as well, see :class:`Recorder`. What
            the recorder is too slow for is dropped and counted; link a ``Recorder`` by a lossless wire to keep all.
        feedback: the wire leads back to where its data came from. A circle of lossless wires needs one of these; 1,024
            messages may wait on it where nothing else is said.

    Raises:
        TypeError, ValueError: an argument is not what it should be.
    """

    source: Routine
    destinations: tuple[Routine, ...]
    data_transmitter: DataTransmitter | None
    lossless: bool | None
    capacity: int | None
    where: Callable[[Any], Any] | None = dataclass_field(compare=False)
    feedback: bool
    capture: str | Path | None

    def __init__(
        self,
        source: Routine,
        destinations: Routine | Sequence[Routine],
        data_transmitter: DataTransmitter | None = None,
        *,
        lossless: bool | None = None,
        capacity: int | None = None,
        where: Callable[[Any], Any] | None = None,
        feedback: bool = False,
        capture: str | Path | None = None,
    ) -> None:
        several = isinstance(destinations, Iterable) and not isinstance(destinations, type)
        ends = tuple(destinations) if several and not isinstance(destinations, Routine) else (destinations,)
        for role, end in (("source", source), *(("destinations", end) for end in ends)):
            if not isinstance(end, Routine):
                raise TypeError(
                    f"Wire({role}=...): {end!r} is not a routine"
                    + (", create an instance of the class" if isinstance(end, type) else "")
                )
        if not ends:
            raise ValueError(f"Wire(source={source.name!r}): destinations is empty, name at least one routine")
        if data_transmitter is not None and not isinstance(data_transmitter, DataTransmitter):
            raise TypeError(
                f"Wire(data_transmitter=...): {data_transmitter!r} is not a data transmitter"
                + (", create an instance of the class" if isinstance(data_transmitter, type) else "")
            )
        if capacity is not None:
            _check_capacity(capacity, "Wire(capacity=...)")
        if where is not None and not callable(where):
            raise TypeError(f"Wire(where=...) is a function of the data, not {where!r}")
        if capture is not None and not isinstance(capture, str | Path):
            raise TypeError(f"Wire(capture=...) is the path of a file, not {capture!r}")
        if not isinstance(feedback, bool):
            raise TypeError(f"Wire(feedback=...) is True or False, not {feedback!r}")
        for field, value in (
            ("source", source),
            ("destinations", ends),
            ("data_transmitter", data_transmitter),
            ("lossless", lossless),
            ("capacity", capacity),
            ("where", where),
            ("feedback", feedback),
            ("capture", capture),
        ):
            object.__setattr__(self, field, value)

    def to(self, destinations: Sequence[Routine], **changes: Any) -> Wire:
        """The same wire to other destinations, with other *changes* perhaps."""
        options = {
            "data_transmitter": self.data_transmitter,
            "lossless": self.lossless,
            "capacity": self.capacity,
            "where": self.where,
            "feedback": self.feedback,
            "capture": self.capture,
        }
        return Wire(self.source, destinations, **{**options, **changes})


@dataclass(frozen=True, slots=True)
class QueueNetwork:
    """The delivery rule of all wires that do not name their own.

    Args:
        max_queue_sizes: messages that may wait on each wire.
        put_block: True: wires are lossless, the source waits for room.
        get_block: accepted for PipeRT's sake; a routine always waits for its input without using the processor.
        timeout: seconds after which a source that waits for room or memory says so in the log.
    """

    max_queue_sizes: int = 1
    put_block: bool = False
    get_block: bool = True
    timeout: float = 1

    def __post_init__(self) -> None:
        _check_capacity(self.max_queue_sizes, "QueueNetwork(max_queue_sizes=...)")
        if not self.timeout > 0:
            raise ValueError(f"QueueNetwork(timeout=...) is a time in seconds above 0, not {self.timeout!r}")
