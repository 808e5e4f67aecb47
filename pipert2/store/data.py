"""How data lies in the store: as JSON where that gives back the same, else pickled, which bytes mark it as."""

from __future__ import annotations

import json
import math
import pickle
from typing import Any

_PLAIN = (str, int, bool, type(None))
_DEEPEST = 50


def encode(data: Any) -> str | bytes:
    """*data* as it lies in the file.

    Raises:
        Exception: it cannot be pickled; whatever pickle or the data's own methods raise.

    >>> encode({"size": 3}), type(encode((1, 2)))
    ('{"size":3}', <class 'bytes'>)
    """
    if is_plain(data):
        return json.dumps(data, separators=(",", ":"))
    return pickle.dumps(data, protocol=5)


def decode(kept: str | bytes) -> Any:
    """What :func:`encode` was given.

    Raises:
        Exception: its class is not what it was; whatever unpickling raises.
    """
    return json.loads(kept) if isinstance(kept, str) else pickle.loads(kept)


def is_plain(data: Any, depth: int = 0) -> bool:
    """Whether JSON gives back the very same: no tuples, no subclasses, no keys but texts."""
    kind = type(data)
    if kind in _PLAIN:
        return True
    if kind is float:
        return math.isfinite(data)
    if depth > _DEEPEST:
        return False
    if kind is list:
        return all(is_plain(item, depth + 1) for item in data)
    if kind is dict:
        return all(type(key) is str and is_plain(item, depth + 1) for key, item in data.items())
    return False
