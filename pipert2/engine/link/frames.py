"""What the two ends of a link say to each other, as bytes.

Each Zenoh payload is one frame: head, then what its kind says. Numbers are little endian. An egress numbers what it
sends from 1 within an *epoch*, its life from start to stop; *run* is the same for all epochs of one run of its pipe.

- ``BATCH`` (there): messages with consecutive numbers, see :mod:`pipert2.engine.link.payload`. One that ends the stream
  has no data.
- ``PROBE`` (there): nothing but the head. Answered by a report.
- ``CLOSE`` (there): the end of the stream is known to be confirmed.
- ``REPORT`` (back): what has arrived, and what is done.
- ``PING`` (back) and ``PONG`` (there): the clocks of both ends.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

from pipert2.errors import PipertError

_MAGIC = b"pr2l"
_VERSION = 2

_WAY_THERE = struct.Struct("<4sBBHQQQQQQ")
_WAY_BACK = struct.Struct("<4sBBHQQQQQI")
_RANGE = struct.Struct("<QQ")
_ANSWER = struct.Struct("<QQ")
_CLOCKS = struct.Struct("<4sBBHQQQ")
_MOST_RANGES = 4096


class Kind(IntEnum):
    """The kinds of frames."""

    BATCH = 1
    PROBE = 2
    CLOSE = 3
    REPORT = 4
    PING = 5
    PONG = 6


class BadFrameError(PipertError):
    """Bytes that no link has sent."""


class There(NamedTuple):
    """The head of what an egress sends.

    Attributes:
        kind, lossless: what it is, and the rule of the link.
        run, epoch: see above.
        first: the number of the first message in it; in a probe, that of the next one to come.
        oldest: the lowest number that the egress still wants to be confirmed.
        stamp: when it was sent (monotonic clock of the sender, ns).
        messages: how many are in it.
    """

    kind: Kind
    lossless: bool
    run: int
    epoch: int
    first: int
    oldest: int
    stamp: int
    messages: int = 0

    def pack(self) -> bytes:
        """Its bytes."""
        return _WAY_THERE.pack(
            _MAGIC,
            _VERSION,
            self.kind,
            self.lossless,
            self.run,
            self.epoch,
            self.first,
            self.oldest,
            self.stamp,
            self.messages,
        )


HEAD_BYTES, CLOCKS_BYTES = _WAY_THERE.size, _CLOCKS.size


class Report(NamedTuple):
    """What an ingress says.

    Attributes:
        ingress: the ingress's life, from start to stop or the death of its process.
        run, epoch: of the egress that it is for.
        expected: the lowest number that has not arrived.
        missing: whether something has arrived that comes after that, so that what is between is lost.
        echo: the stamp of the frame that this answers; 0: none.
        done: numbers that are done, as ranges with both ends.
        answers: what destinations returned for some of these, by number, as bytes.
    """

    ingress: int
    run: int
    epoch: int
    expected: int
    missing: bool
    echo: int
    done: Sequence[tuple[int, int]]
    answers: Sequence[tuple[int, bytes]] = ()

    def pack(self) -> bytes:
        """Its bytes."""
        done = self.done[:_MOST_RANGES]
        head = _WAY_BACK.pack(
            _MAGIC,
            _VERSION,
            Kind.REPORT,
            self.missing,
            self.ingress,
            self.run,
            self.epoch,
            self.expected,
            self.echo,
            len(done),
        )
        answers = [piece for number, value in self.answers for piece in (_ANSWER.pack(number, len(value)), value)]
        return b"".join((head, *(_RANGE.pack(*one) for one in done), *answers))


class Clocks(NamedTuple):
    """A ping, or the answer to it: *asked* on the clock of who pings, *answered* on the other one's."""

    kind: Kind
    run: int
    asked: int
    answered: int

    def pack(self) -> bytes:
        """Its bytes."""
        return _CLOCKS.pack(_MAGIC, _VERSION, self.kind, 0, self.run, self.asked, self.answered)


def kind_of(frame: bytes) -> Kind:
    """What a frame is.

    Raises:
        BadFrameError: it is none.
    """
    if len(frame) < 8 or frame[:4] != _MAGIC:
        raise BadFrameError("it does not begin as the frames of links do")
    if frame[4] != _VERSION:
        raise BadFrameError(f"it is of version {frame[4]} of the links' protocol, this is version {_VERSION}")
    try:
        return Kind(frame[5])
    except ValueError:
        raise BadFrameError(f"there is no kind {frame[5]} of frames") from None


def unpack_there(frame: bytes) -> There:
    """The head of what an egress has sent.

    Raises:
        BadFrameError: it is none.
    """
    kind = kind_of(frame)
    if len(frame) < _WAY_THERE.size:
        raise BadFrameError("it is too short")
    _, _, _, flags, run, epoch, first, oldest, stamp, messages = _WAY_THERE.unpack_from(frame)
    if flags > 1 or not 0 < oldest <= first:
        raise BadFrameError("its numbers cannot be")
    return There(kind, bool(flags), run, epoch, first, oldest, stamp, messages)


def unpack_report(frame: bytes) -> Report:
    """What an ingress has said.

    Raises:
        BadFrameError: it is no report.
    """
    if kind_of(frame) is not Kind.REPORT or len(frame) < _WAY_BACK.size:
        raise BadFrameError("it is no report")
    _, _, _, missing, ingress, run, epoch, expected, echo, count = _WAY_BACK.unpack_from(frame)
    at = _WAY_BACK.size + _RANGE.size * count
    if len(frame) < at:
        raise BadFrameError("its length is wrong")
    done = tuple(_RANGE.unpack_from(frame, _WAY_BACK.size + _RANGE.size * at) for at in range(count))
    if any(low > high for low, high in done):
        raise BadFrameError("its ranges cannot be")
    return Report(ingress, run, epoch, expected, bool(missing), echo, done, _answers(frame, at))


def _answers(frame: bytes, at: int) -> tuple[tuple[int, bytes], ...]:
    found = []
    while at < len(frame):
        if len(frame) - at < _ANSWER.size:
            raise BadFrameError("its length is wrong")
        number, length = _ANSWER.unpack_from(frame, at)
        at += _ANSWER.size
        if length > len(frame) - at:
            raise BadFrameError("its length is wrong")
        found.append((number, frame[at : at + length]))
        at += length
    return tuple(found)


def unpack_clocks(frame: bytes) -> Clocks:
    """A ping, or its answer.

    Raises:
        BadFrameError: it is neither.
    """
    kind = kind_of(frame)
    if kind not in (Kind.PING, Kind.PONG) or len(frame) != _CLOCKS.size:
        raise BadFrameError("it is neither ping nor pong")
    _, _, _, _, run, asked, answered = _CLOCKS.unpack_from(frame)
    return Clocks(kind, run, asked, answered)


def ranges_of(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Numbers as ranges with both ends, in order.

    >>> ranges_of([7, 1, 2, 3])
    [(1, 3), (7, 7)]
    """
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1] = found[-1][0], number
        elif not found or number != found[-1][1]:
            found.append((number, number))
    return found
