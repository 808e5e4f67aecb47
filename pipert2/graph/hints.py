"""Do the type hints of the two ends of a wire contradict each other?"""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from typing import Any

_STREAMS = (collections.abc.Iterator, collections.abc.Iterable, collections.abc.Generator)

_NUMBERS = (int, float, complex)  # a type checker takes an int for a float


def contradiction(source: Any, source_name: str, destination: Any, destination_name: str) -> str | None:
    """A sentence if nothing that *source* may return fits what *destination* takes, None if something does.

    Only what can be judged is: hints that cannot be resolved, and kinds other than classes and unions of them, pass.
    """
    sent, taken = _returned(source), _accepted(destination)
    if sent is None or taken is None:
        return None
    if any(_fit(a, b) for a in sent for b in taken):
        return None
    return (
        f"{source_name!r} returns {_named(sent)} but {destination_name!r} takes {_named(taken)}: "
        "mend one of the two type hints, or put a routine between them"
    )


def _fit(one: type, other: type) -> bool:
    try:
        if issubclass(one, _NUMBERS) and issubclass(other, _NUMBERS):
            return True
        return issubclass(one, other) or issubclass(other, one)
    except TypeError:  # a class that does not let itself be judged
        return True


def _named(classes: tuple[type, ...]) -> str:
    return " | ".join(cls.__name__ for cls in classes)


def _hints(function: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except Exception:  # a name only known to type checkers, a module that is not there: nothing to judge by
        return {}


def _returned(function: Any) -> tuple[type, ...] | None:
    hint = _hints(function).get("return", Any)
    if inspect.isgeneratorfunction(function) or typing.get_origin(hint) in _STREAMS:
        arguments = typing.get_args(hint)
        hint = arguments[0] if arguments else Any
    classes = _classes(hint)
    return tuple(cls for cls in classes if cls is not type(None)) or None if classes is not None else None


def _accepted(function: Any) -> tuple[type, ...] | None:
    hints = _hints(function)
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None
    if not parameters or parameters[0].kind is inspect.Parameter.VAR_POSITIONAL:
        return None
    return _classes(hints.get(parameters[0].name, Any))


def _classes(hint: Any) -> tuple[type, ...] | None:
    """The classes that a hint stands for, None if it stands for anything or cannot be judged."""
    if hint is None:
        return (type(None),)
    if hint is Any:  # a class itself since Python 3.11
        return None
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        parts = [_classes(part) for part in typing.get_args(hint)]
        return None if any(part is None for part in parts) else tuple(cls for part in parts for cls in part or ())
    if origin is typing.Annotated:
        return _classes(typing.get_args(hint)[0])
    candidate = origin if origin is not None else hint
    if typing.is_typeddict(candidate):
        return (dict,)
    if not isinstance(candidate, type) or candidate is object or getattr(candidate, "_is_protocol", False):
        return None
    return (candidate,)
