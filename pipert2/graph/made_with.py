"""What an object was made with, for whoever writes it down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class MadeWith:
    """The arguments of a constructor's call.

    It stays in the process where the call was: the arguments may be what cannot travel, or be long used up.
    """

    __slots__ = ("args", "kwargs")

    def __init__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self.args = args
        self.kwargs = kwargs

    def __reduce__(self) -> tuple[Any, ...]:
        return _nothing, ()


def _nothing() -> None:
    return None
