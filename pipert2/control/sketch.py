"""A sketch of any data as a little JSON: for people to recognise it by, made without running any code of its class."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import math
import pathlib
import uuid
from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np

_MOST_ITEMS = 20
_LONGEST_TEXT = 500
_DEEPEST = 6
_MOST_NODES = 300
_PLAIN_TEXT = (datetime.date, datetime.time, datetime.timedelta, decimal.Decimal, uuid.UUID, pathlib.PurePath, complex)


def sketch(data: Any) -> Any:
    """*data* in JSON's types: at most 20 items of each collection, 500 characters of each text, 300 values in all.

    >>> sketch({"size": 3, "tags": ("a", "b"), "raw": b"12"})
    {'size': 3, 'tags': ['a', 'b'], 'raw': '<2 bytes>'}
    >>> sketch(np.zeros((480, 640, 3), np.uint8))
    '<array 480 x 640 x 3 of uint8>'
    """
    return _Sketch().of(data, 0)


class _Sketch:
    def __init__(self) -> None:
        self._left = _MOST_NODES

    def of(self, data: Any, depth: int) -> Any:
        self._left -= 1
        simple = _simple(data)
        if simple is not _NOT_SIMPLE:
            return simple
        kind = type(data)
        if depth >= _DEEPEST or self._left <= 0:
            return f"<{_name(kind)}>"
        if issubclass(kind, dict):
            return self._pairs(((_key(key), value) for key, value in dict.items(data)), dict.__len__(data), depth)
        for collection in (list, tuple, set, frozenset):
            if issubclass(kind, collection):
                more = collection.__len__(data) - _MOST_ITEMS
                shown = [self.of(item, depth + 1) for item in islice(collection.__iter__(data), _MOST_ITEMS)]
                return shown + ([f"<{more} more>"] if more > 0 else [])
        fields = _fields(data)
        return self._pairs(fields.items(), len(fields), depth) if fields else f"<{_name(kind)}>"

    def _pairs(self, pairs: Iterable[tuple[str, Any]], count: int, depth: int) -> dict[str, Any]:
        shown = {key: self.of(value, depth + 1) for key, value in islice(pairs, _MOST_ITEMS)}
        if count > _MOST_ITEMS:
            shown["..."] = f"<{count - _MOST_ITEMS} more>"
        return shown


_NOT_SIMPLE = object()


def _simple(data: Any) -> Any:
    """What takes one value to say, else _NOT_SIMPLE. Only classes whose code is known are asked for anything."""
    kind = type(data)
    if data is None or kind is bool:
        return data
    if kind is int:
        return data if -(2**53) < data < 2**53 else f"<int of {data.bit_length()} bits>"
    if kind is float:
        return data if math.isfinite(data) else str(data)
    if kind is str:
        return _text(data)
    if kind in (bytes, bytearray, memoryview):
        return f"<{memoryview(data).nbytes} bytes>"
    if kind is np.ndarray:
        return f"<array {' x '.join(map(str, data.shape)) or 'of one value'} of {data.dtype}>"[:_LONGEST_TEXT]
    if issubclass(kind, np.generic) and kind.__module__ == "numpy" and data.dtype.kind in "biufU":
        return _simple(data.item())
    if issubclass(kind, enum.Enum):
        return f"{_name(kind)}.{data._name_}"
    if kind in _PLAIN_TEXT or (issubclass(kind, _PLAIN_TEXT) and kind.__module__ in ("datetime", "pathlib")):
        return _text(str(data))
    return _NOT_SIMPLE


def _fields(data: Any) -> dict[str, Any]:
    """What an object holds, read past whatever its class does when it is asked."""
    names = [one.name for one in dataclasses.fields(type(data))] if dataclasses.is_dataclass(type(data)) else []
    try:
        held = object.__getattribute__(data, "__dict__")
    except AttributeError:
        held = {}
    found = dict(held) if type(held) is dict else {}
    for name in names:  # those of a dataclass with slots are not in it
        if name not in found:
            try:
                found[name] = object.__getattribute__(data, name)
            except AttributeError:
                continue
    return {_text(str(name)): value for name, value in found.items()}


def _key(key: Any) -> str:
    simple = _simple(key)
    return simple if isinstance(simple, str) else f"<{_name(type(key))}>" if simple is _NOT_SIMPLE else str(simple)


def _text(text: str) -> str:
    cut = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}<{len(text) - _LONGEST_TEXT} more>"
    return cut if cut.isascii() else cut.encode("utf-8", "backslashreplace").decode()


def _name(kind: type) -> str:
    return _text(type.__dict__["__name__"].__get__(kind))
