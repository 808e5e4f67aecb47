"""Images as detectors pack them, unpacked: LZ4, and LZ4 of transposed bits (bitshuffle), by the libraries of HDF5.

Frames from the network are not trusted: that their blocks fit what they say is made sure before a library sees them.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipert2.errors import PipertError
from pipert2.patterns.streams.messages import Malformed, array
from pipert2.patterns.streams.stream_data import Buffer

_HEADER = struct.Struct(">QI")  # the size of everything, and that of a block, before it was packed
_SIZE = struct.Struct(">I")
_MOST_AT_ONCE = 255  # LZ4 makes no more bytes of one
_ENCODING = re.compile(r"(?:bs(\d{1,2})-)?(lz4)?<?")


def decoded(buffer: Buffer, encoding: Any, shape: Sequence[int], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The image that was packed in a way that is said as ``"bs32-lz4<"``, ``"lz4<"`` or, if not at all, ``"<"``.

    Raises:
        Malformed: it is not packed like that.
        PipertError: h5py and hdf5plugin, or lz4, are not installed.
    """
    found = _ENCODING.fullmatch(encoding) if isinstance(encoding, str) else None
    if found is None or (found[1] and (not found[2] or int(found[1]) != 8 * dtype.itemsize)):
        raise Malformed(
            f"'encoding' is one such as 'bs32-lz4<', 'lz4<' or '<', which fits the type, not {encoding!r:.80}"
        )
    if not found[2]:
        return array(buffer, shape, dtype)
    if found[1]:
        return array(unpacked(buffer, "bslz4", dtype).data.cast("B"), shape, dtype)
    return array(raw_lz4(buffer, math.prod(shape) * dtype.itemsize), shape, dtype)


def unpacked(buffer: Buffer, algorithm: str, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The elements that were packed, in one dimension.

    Args:
        buffer: what the detector sent.
        algorithm: ``"bslz4"`` or ``"lz4"``, both as in HDF5 files.
        dtype: of the elements.

    Raises:
        Malformed: it is not packed like that.
        PipertError: h5py and hdf5plugin, or lz4, are not installed.
    """
    view = memoryview(buffer).cast("B")
    how = _ALGORITHMS.get(algorithm)
    if how is None:
        raise Malformed(f"its data is packed by {algorithm!r:.80}, which is not known")
    if len(view) < _HEADER.size:
        raise Malformed(f"its packed data has {len(view)} bytes")
    size, block = _HEADER.unpack_from(view)
    if size % dtype.itemsize or size > _MOST_AT_ONCE * len(view) or not 0 < block <= 1 << 30:
        raise Malformed(f"its packed data of {len(view)} bytes cannot be {size} bytes in blocks of {block}")
    return how(view, size, block, dtype)


def raw_lz4(buffer: Buffer, size: int) -> bytes:
    """The *size* bytes of one LZ4 block."""
    try:
        import lz4.block
    except ImportError:
        raise PipertError('images that are packed by LZ4 need lz4: pip install "pipert2[detectors]"') from None
    if size > _MOST_AT_ONCE * memoryview(buffer).nbytes:
        raise Malformed(f"{memoryview(buffer).nbytes} packed bytes cannot be {size}")
    try:
        found: bytes = lz4.block.decompress(buffer, uncompressed_size=size)
    except (lz4.block.LZ4BlockError, ValueError) as problem:
        raise Malformed(f"its packed data cannot be unpacked: {problem}") from None
    if len(found) != size:
        raise Malformed(f"its packed data has {len(found)} bytes, not {size}")
    return found


def _lz4(view: memoryview, size: int, block: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    found = np.empty(size, np.uint8)
    at = _HEADER.size
    for begin in range(0, size, block):
        end = min(begin + block, size)
        start, at = _block(view, at)
        same = at - start == end - begin  # what does not get smaller is not packed
        found[begin:end] = np.frombuffer(view[start:at] if same else raw_lz4(view[start:at], end - begin), "u1")
    if at != len(view):
        raise Malformed(f"{len(view) - at} bytes are left of its packed data")
    return found.view(dtype)


def _bslz4(view: memoryview, size: int, block: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    try:
        import h5py
        import hdf5plugin
    except ImportError:
        raise PipertError(
            'images that are packed by bitshuffle need h5py and hdf5plugin: pip install "pipert2[detectors]"'
        ) from None
    eight = 8 * dtype.itemsize
    if block % eight:
        raise Malformed(f"its packed blocks of {block} bytes are not of eights of elements")
    at = _HEADER.size
    for _ in range(size // block + (size % block >= eight)):
        _, at = _block(view, at)
    if at + size % eight != len(view):  # the last elements, fewer than eight, are not packed
        raise Malformed(f"its packed data has {len(view)} bytes, its blocks {at + size % eight}")
    if not size:
        return np.empty(0, dtype)
    shape = (size // dtype.itemsize,)
    with h5py.File("packed", "w", driver="core", backing_store=False) as file:
        found = file.create_dataset("data", shape, dtype, chunks=shape, **hdf5plugin.Bitshuffle(nelems=0, cname="lz4"))
        found.id.write_direct_chunk((0,), view)
        try:
            values: npt.NDArray[Any] = found[()]
        except OSError as problem:
            raise Malformed(f"its packed data cannot be unpacked: {problem}") from None
    return values


def _block(view: memoryview, at: int) -> tuple[int, int]:
    """Where a block begins, behind its size, and where it ends."""
    start = at + _SIZE.size
    end = start + _SIZE.unpack_from(view, at)[0] if start <= len(view) else start
    if end > len(view):
        raise Malformed("its packed data ends in the middle of a block")
    return start, end


_ALGORITHMS: dict[str, Callable[..., npt.NDArray[Any]]] = {"lz4": _lz4, "bslz4": _bslz4}
