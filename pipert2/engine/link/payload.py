"""Messages as the bytes of a batch, and back: what pickle makes of the data, and the arrays beside it as they lie.

Each message is its record, the lengths of its arrays, its pickle stream and its arrays; stream and arrays begin at
multiples of 16 bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pipert2.engine.link.frames import HEAD_BYTES, BadFrameError, There
from pipert2.transport.codec import Encoded, Encoder, dumps_plain, loads, unflatten

_RECORD = struct.Struct("<BBHIQQQQ")  # kind, arrays, nothing, length of the stream, sequence, born, queue, number
_LENGTH = struct.Struct("<Q")
_ALIGN = 16
_PLAIN, _FLAT, _END = range(3)
_LARGE = 64 * 1024
"""Batches from here on are put together in memory that is used again: fresh memory costs more than the copy."""
_MOST_ARRAYS = 255
"""Data with more arrays than that goes as one stream."""

NOBODY = (0, 0)


class Parcel(NamedTuple):
    """A message on its way.

    Attributes:
        sequence: of its source.
        born: when it was made, on the sender's clock, ns.
        identity: names it within a run of the sender's pipe, whoever sends it however often; ``NOBODY``: nothing does.
        kind, stream, arrays: its data.
    """

    sequence: int
    born: int
    identity: tuple[int, int]
    kind: int
    stream: Any
    arrays: Sequence[Any]

    @property
    def ends(self) -> bool:
        """Whether it is no message but the end of the stream."""
        return self.kind == _END

    @property
    def size(self) -> int:
        """Bytes of its data."""
        if not self.arrays:  # most are small, and this is asked of each
            return len(self.stream)
        return len(self.stream) + sum(memoryview(array).nbytes for array in self.arrays)

    def data(self) -> Any:
        """The data; raises whatever unpickling it raises."""
        return unflatten(self.stream, self.arrays) if self.kind == _FLAT else loads(self.stream, buffers=self.arrays)

    def passed_on(self) -> Any:
        """The data for somebody who only passes it on: encoded as it is, if there are no arrays beside it."""
        return self.data() if self.arrays else Encoded(self.kind == _FLAT, self.stream)


END = Parcel(0, 0, NOBODY, _END, b"", ())


class Packer:
    """Makes parcels and batches; one for each egress."""

    def __init__(self) -> None:
        self._encode = Encoder()
        self._memory = bytearray()

    def parcel(self, data: Any, sequence: int, born: int, identity: tuple[int, int]) -> Parcel:
        """A message as a parcel, which looks at the arrays in *data*.

        Raises:
            UnsendableDataError: it cannot be pickled.
        """
        flat, stream, arrays = self._encode(data)
        if len(arrays) > _MOST_ARRAYS:
            return Parcel(sequence, born, identity, _PLAIN, dumps_plain(data), ())
        return Parcel(sequence, born, identity, _FLAT if flat else _PLAIN, stream, [_flat(array) for array in arrays])

    def batch(self, head: There, parcels: Sequence[Parcel]) -> bytes | bytearray:
        """A whole frame; to be given away before the next one is made."""
        pieces: list[Any] = [head.pack()]
        size = HEAD_BYTES
        for sequence, born, (queue, number), kind, stream, arrays in parcels:
            lengths = [array.nbytes for array in arrays]
            record = _RECORD.pack(kind, len(arrays), 0, len(stream), sequence, born, queue, number)
            record += b"".join(map(_LENGTH.pack, lengths))
            for piece in (record, stream, *arrays):
                length = piece.nbytes if type(piece) is np.ndarray else len(piece)
                pad = -(size + length) % _ALIGN
                pieces += (piece, _ZEROS[:pad]) if pad else (piece,)
                size += length + pad
        if size < _LARGE:
            return b"".join(pieces)
        memory = self._memory
        if len(memory) != size:
            memory = self._memory = bytearray(size)
        whole, at = np.frombuffer(memory, np.uint8), 0
        for piece in pieces:
            part = piece if type(piece) is np.ndarray else np.frombuffer(piece, np.uint8)
            whole[at : at + part.nbytes] = part
            at += part.nbytes
        return memory


_ZEROS = bytes(_ALIGN)


def _flat(array: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """An array's memory as bytes, in its own order; copied only if it has holes."""
    if not array.flags.forc:
        array = np.ascontiguousarray(array)
    return (array if array.flags.c_contiguous else array.T).reshape(-1).view(np.uint8)


def parcels_of(head: There, frame: bytes) -> list[Parcel]:
    """The parcels of a batch, whose streams and arrays lie in *frame*.

    Raises:
        BadFrameError: it is damaged.
    """
    view, at, end = memoryview(frame), HEAD_BYTES, len(frame)
    found = []
    try:
        for _ in range(head.messages):
            kind, count, _, length, sequence, born, queue, number = _RECORD.unpack_from(frame, at)
            at += _RECORD.size
            lengths = [_LENGTH.unpack_from(frame, at + _LENGTH.size * index)[0] for index in range(count)]
            at += _LENGTH.size * count
            at += -at % _ALIGN
            parts = []
            for size in (length, *lengths):
                if size > end - at:
                    raise BadFrameError("it is cut off")
                parts.append(view[at : at + size])
                at += size + -(at + size) % _ALIGN
            if kind > _END:
                raise BadFrameError(f"there is no kind {kind} of messages")
            found.append(Parcel(sequence, born, (queue, number), kind, parts[0], parts[1:]))
    except struct.error:
        raise BadFrameError("it is cut off") from None
    return found
