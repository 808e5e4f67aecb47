"""A tree of results, as a reducer publishes it, shown value by value: ``{"a": {"b": 1}}`` as ``a/b``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipert2.runtime.routine.shown import LONGEST_NAME, MOST_NAMES
from pipert2.runtime.routine.sketch import kind_of

_DEEPEST = 20


def shown_values(tree: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Name and value of all that can be shown; what cannot, and the attributes of others, is left out."""
    left = MOST_NAMES
    waiting = [("", tree, 0)]
    while waiting:
        path, group, depth = waiting.pop()
        groups = []
        for key, value in group.items():
            name = f"{path}{key}"
            if str(key).endswith("_attrs") or len(name) > LONGEST_NAME or not str(key):
                continue
            if isinstance(value, Mapping):
                if depth < _DEEPEST:
                    groups.append((f"{name}/", value, depth + 1))
            elif kind_of(value) is not None:
                yield name, value
                left -= 1
                if not left:
                    return
        waiting += reversed(groups)
