"""What a routine returned to a caller, as JSON, and where JSON could not say all of it."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import enum
import math
import pathlib
import uuid
from collections.abc import Iterable
from typing import Any

import numpy as np

from pipert2.control.sketch import sketch

MOST_VALUES = 100_000
MOST_IN_ARRAY = 10_000
MOST_LOST = 20
_DEEPEST = 50
_TEXTS = (datetime.date, datetime.time, datetime.timedelta, decimal.Decimal, uuid.UUID, pathlib.PurePath, complex)


def json_value(value: Any) -> tuple[Any, tuple[str, ...]]:
    """*value* in JSON's types, and a sentence for each place where something was lost.

    Dataclasses become objects, tuples and arrays of up to 10,000 numbers lists, bytes base64. What JSON has no word for
    is sketched as text in its place.

    >>> json_value({"at": (1, 2.5), "found": True})
    ({'at': [1, 2.5], 'found': True}, ())
    >>> json_value({"frame": np.zeros((480, 640), np.uint8), "mean": float("nan")})[1]
    ('value.frame: an array is sketched as text', 'value.mean: nan is null')
    """
    writer = _Writer()
    found = writer.of(value, "value", 0)
    more = len(writer.lost) - MOST_LOST
    return found, tuple(writer.lost[:MOST_LOST]) + ((f"and {more} more",) if more > 0 else ())


class _Writer:
    def __init__(self) -> None:
        self.lost: list[str] = []
        self._left = MOST_VALUES

    def of(self, value: Any, where: str, depth: int) -> Any:
        self._left -= 1
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, enum.Enum):
            return self.of(value.value, where, depth + 1)
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else self._instead(where, f"{value} is null", None)
        if isinstance(value, str):
            return self._text(str(value), where)
        if isinstance(value, bytes | bytearray | memoryview):
            return base64.b64encode(bytes(value)).decode()
        if isinstance(value, _TEXTS):
            return str(value)
        if depth >= _DEEPEST or self._left <= 0:
            why = "it is nested too deep" if depth >= _DEEPEST else f"there are more than {MOST_VALUES} values"
            return self._instead(where, f"{why}, {type(value).__name__} is sketched as text", _named(value))
        return self._inside(value, where, depth)

    def _inside(self, value: Any, where: str, depth: int) -> Any:
        if isinstance(value, np.ndarray):
            if value.size > MOST_IN_ARRAY or value.dtype.kind not in "biufU":
                return self._instead(where, "an array is sketched as text", sketch(np.asarray(value)))
            return self.of(value.tolist(), where, depth)
        if isinstance(value, dict):
            return self._pairs(value.items(), where, depth)
        if isinstance(value, list | tuple | set | frozenset):
            return [self.of(item, f"{where}[{at}]", depth + 1) for at, item in enumerate(value)]
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            held = ((field.name, getattr(value, field.name, None)) for field in dataclasses.fields(value))
            return self._pairs(held, where, depth)
        return self._instead(where, f"{type(value).__name__} is sketched as text", _named(value))

    def _pairs(self, pairs: Iterable[tuple[Any, Any]], where: str, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            name = key if isinstance(key, str) else str(sketch(key))
            place = f"{where}.{self._text(name, where)[:80]}"
            if not isinstance(key, str):
                self.lost.append(f"{place}: its key is of type {type(key).__name__}")
            found[self._text(name, where)] = self.of(value, place, depth + 1)
        return found

    def _text(self, text: str, where: str) -> str:
        try:
            text.encode()
        except UnicodeEncodeError:
            return str(
                self._instead(where, "half characters are escaped", text.encode("utf-8", "backslashreplace").decode())
            )
        return text

    def _instead(self, where: str, why: str, stands: Any) -> Any:
        self.lost.append(f"{where}: {why}")
        return stands


def _named(value: Any) -> str:
    """Its repr, which its class may have written badly."""
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text[:500].encode("utf-8", "backslashreplace").decode()
