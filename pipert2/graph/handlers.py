"""Which methods of a routine handle which events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

START_EVENT_NAME = "start"
STOP_EVENT_NAME = "stop"
KILL_EVENT_NAME = "kill"
UNLINK_EVENT_NAME = "unlink"
CONFIGURE_EVENT_NAME = "configure"

BUILT_IN_EVENTS = (START_EVENT_NAME, STOP_EVENT_NAME, KILL_EVENT_NAME, UNLINK_EVENT_NAME, CONFIGURE_EVENT_NAME)

_MARK = "__pipert2_events__"
_Function = TypeVar("_Function", bound=Callable[..., Any])


def events(name: str) -> Callable[[_Function], _Function]:
    """Make a method of a routine the handler of the event *name*; the event's parameters become its arguments.

    A handler runs in the routine's own thread between two messages, so it may change the routine's attributes without
    a lock. Handlers are inherited; an override in a subclass stays a handler without being marked again.

    Args:
        name: the event's name, any non-empty text but those of the built-in events.

    Raises:
        ValueError: the name is empty or that of a built-in event.

    >>> from pipert2 import MiddleRoutine
    >>> class Zoom(MiddleRoutine):
    ...     factor = 1.0
    ...     @events("ZOOM")
    ...     def set_factor(self, factor):
    ...         self.factor = factor
    ...     def main_logic(self, data):
    ...         return data
    """
    if not isinstance(name, str) or not name:
        raise ValueError(f'an event\'s name must be a non-empty text, as in @events("ZOOM"), not {name!r}')
    if name in BUILT_IN_EVENTS:
        raise ValueError(f"the event {name!r} is built in: override setup or cleanup, or choose another name")

    def mark(function: _Function) -> _Function:
        setattr(function, _MARK, (*getattr(function, _MARK, ()), name))
        return function

    return mark


def event_handlers(routine_class: type) -> dict[str, tuple[str, ...]]:
    """The names of the methods that handle each of a class's own and inherited events, base classes' first."""
    found: dict[str, list[str]] = {}
    for cls in reversed(routine_class.__mro__):
        for attribute, value in vars(cls).items():
            for event in getattr(value, _MARK, ()):
                methods = found.setdefault(event, [])
                if attribute not in methods:
                    methods.append(attribute)
    return {event: tuple(methods) for event, methods in found.items()}
