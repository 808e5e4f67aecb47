"""Calling what users wrote with what it asks for, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Bound:
    """A function with those arguments that it asks for.

    Args:
        function: what to call.
        lead: how many arguments always come first, by position.
        offered: what else there is, in the order in which it is handed to arguments of unknown names without default.
        values: names that are taken from the last argument of :meth:`__call__`.

    >>> def process(event, *args, parameters=None, **kwargs):
    ...     return event, args, parameters, kwargs
    >>> Bound(process, 1, ["parameters", "tick"])(["an event"], {"parameters": "p", "tick": False})
    ('an event', (), 'p', {'tick': False})
    >>> Bound(lambda event, p: p, 1, ["parameters", "tick"])(["an event"], {"parameters": "p", "tick": False})
    'p'
    """

    def __init__(
        self, function: Callable[..., Any], lead: int, offered: Sequence[str], values: Sequence[str] = ()
    ) -> None:
        self._function = function
        self._positions: list[str] = []
        self._names: list[str] = []
        self._values: list[str] = []
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):  # a builtin: it takes what comes first
            return
        kinds = {one.kind for one in parameters}
        own = [one for one in parameters if one.kind in _POSITIONAL][lead:]
        named = {one.name for one in own if one.kind is not inspect.Parameter.POSITIONAL_ONLY}
        named |= {one.name for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY}
        free = [name for name in offered if name not in named]
        for one in own:
            if one.kind is not inspect.Parameter.POSITIONAL_ONLY and one.name in (*offered, *values):
                break
            if not free or one.default is not inspect.Parameter.empty:
                break
            self._positions.append(free.pop(0))
        if inspect.Parameter.VAR_KEYWORD in kinds:
            self._names = [name for name in offered if name not in self._positions]
        elif inspect.Parameter.VAR_POSITIONAL in kinds and not named:
            self._positions += free
        else:
            self._names = [name for name in offered if name in named]
        self._values = [name for name in values if name in named and name not in offered]

    def __call__(self, lead: Sequence[Any], offered: Mapping[str, Any], values: Mapping[str, Any] | None = None) -> Any:
        if not self._names and not self._values:  # as most are, and this is called for every event
            return self._function(*lead, *[offered[name] for name in self._positions])
        named = {name: offered[name] for name in self._names}
        if self._values and values is not None:
            for name in self._values:
                named[name] = values[name].value
        return self._function(*lead, *[offered[name] for name in self._positions], **named)
