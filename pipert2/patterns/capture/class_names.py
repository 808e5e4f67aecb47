"""Classes of data by their names in captures. Nothing is imported for it: a file must not decide what is."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

_LOADED_SCRIPT = "__pipert2_main__"
"""What a script is called while ``pipert2 run`` loads it; run by itself it would be ``__main__``."""


def class_name(kind: type) -> str:
    """How a class is called in captures: ``module:class``."""
    return f"{kind.__module__}:{kind.__qualname__}"


def classes_named(names: Iterable[str], given: Iterable[type] = ()) -> dict[str, type]:
    """The classes of these names: those *given* (by the whole name, else by the class's alone), else imported ones."""
    chosen = tuple(given)
    exact = {class_name(kind): kind for kind in chosen}
    short = {kind.__qualname__.rpartition(".")[2]: kind for kind in chosen}
    found = {}
    for name in names:
        module, _, qualified = name.partition(":")
        kind: Any = exact.get(name) or short.get(qualified.rpartition(".")[2])
        for place in (module, _LOADED_SCRIPT) if module == "__main__" else (module,):
            kind = _inside(sys.modules.get(place), qualified) if kind is None else kind
        if isinstance(kind, type):
            found[name] = kind
    return found


def _inside(place: Any, qualified: str) -> Any:
    for part in qualified.split("."):
        place = getattr(place, part, None)
    return place
