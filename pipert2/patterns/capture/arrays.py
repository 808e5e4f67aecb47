"""Arrays in captures: their dtypes in words, and their elements as bytes. RFC 8746 has tags for most types."""

from __future__ import annotations

import re
from typing import Any, cast

import numpy as np

_Array = np.ndarray[Any, np.dtype[Any]]

ROWS, COLUMNS = 40, 1040
TYPED = {
    "|u1": 64, ">u2": 65, ">u4": 66, ">u8": 67, "<u2": 69, "<u4": 70, "<u8": 71,
    "|i1": 72, ">i2": 73, ">i4": 74, ">i8": 75, "<i2": 77, "<i4": 78, "<i8": 79,
    ">f2": 80, ">f4": 81, ">f8": 82, "<f2": 84, "<f4": 85, "<f8": 86,
}  # fmt: skip
DTYPES = {tag: np.dtype(name) for name, tag in TYPED.items()}
_SIMPLE_DTYPE = re.compile(r"[<>|=]?[biufcmMSUV]\d*(\[\w+\])?")
_MOST_DIMENSIONS = 32
_COPIED_BELOW = 1 << 16  # bytes; smaller arrays do not keep the memory alive that they were read with


def is_plain(dtype: np.dtype[Any]) -> bool:
    """Whether arrays of it can be written as their bytes, and it in words."""
    if dtype.hasobject or not dtype.itemsize:
        return False
    if dtype.names is None:
        return dtype.subdtype is None or is_plain(dtype.subdtype[0])
    fields: Any = dtype.fields
    return all(len(field) == 2 and is_plain(field[0]) for field in fields.values())  # a third one is a title


def bytes_of(value: _Array) -> memoryview | bytes:
    """The memory of an array, in the order of rows."""
    if not value.nbytes:
        return b""
    return memoryview(cast(Any, np.ascontiguousarray(value).reshape(-1).view(np.uint8)))


def dtype_name(dtype: np.dtype[Any]) -> Any:
    """A dtype in words: a text, or for structures a list of [name, dtype, shape] or of fields with their places."""
    if dtype.names is None:
        if dtype.subdtype is None:
            return dtype.str
        return [dtype_name(dtype.subdtype[0]), list(dtype.subdtype[1])]
    fields = [dtype.fields[name] for name in dtype.names]  # type: ignore[index]
    return {
        "names": list(dtype.names),
        "formats": [dtype_name(field[0]) for field in fields],
        "offsets": [int(field[1]) for field in fields],
        "itemsize": dtype.itemsize,
        "aligned": dtype.isalignedstruct,
    }


def dtype_of(name: Any) -> np.dtype[Any]:
    """The dtype that :func:`dtype_name` said; raises ValueError, TypeError or what odd values raise."""
    if isinstance(name, str):
        if not _SIMPLE_DTYPE.fullmatch(name):
            raise ValueError(f"{name!r:.80} is no dtype")
        dtype = np.dtype(name)
    elif isinstance(name, list):
        dtype = np.dtype((dtype_of(name[0]), tuple(name[1])))
    else:
        formats = [dtype_of(one) for one in name["formats"]]
        layout: Any = {"names": name["names"], "formats": formats}
        layout |= {"offsets": name["offsets"], "itemsize": name["itemsize"]}
        dtype = np.dtype(layout, align=bool(name["aligned"]))
    if not is_plain(dtype):
        raise TypeError(f"{dtype} cannot be read from bytes")
    return dtype


def shape_of(shape: Any) -> tuple[int, ...]:
    """A shape that was read; raises ValueError if it is none."""
    if len(shape) > _MOST_DIMENSIONS or any(type(length) is not int or length < 0 for length in shape):
        raise ValueError(f"{shape!r:.80} is no shape")
    return tuple(shape)


def array_from(dtype: np.dtype[Any], shape: tuple[int, ...], order: Any, raw: memoryview) -> _Array:
    """The array whose elements these bytes are: a view of them if it is large, else a copy."""
    if not isinstance(raw, memoryview):
        raise TypeError("an array's elements are bytes")
    array = np.frombuffer(raw, dtype) if raw.nbytes else np.zeros(0, dtype)
    if raw.nbytes < _COPIED_BELOW or not array.flags.aligned:
        array = array.copy()
    return array.reshape(shape, order=order)
