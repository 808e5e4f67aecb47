"""Whether an event's arguments can be taken by anybody it goes to: a misspelt one is told to who sends it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipert2.errors import ControlError, nearest
from pipert2.graph.handlers import BUILT_IN_EVENTS, event_handlers
from pipert2.graph.routine import Routine


def check_arguments(event: str, params: Mapping[str, Any], routines: Sequence[Routine]) -> None:
    """That one of the handlers can be called with these arguments; each of the others has its own say.

    Args:
        event: the event's name.
        params: its arguments.
        routines: those that it goes to.

    Raises:
        ControlError: none can; it says what is wrong for the first one.
    """
    if event in BUILT_IN_EVENTS:
        return
    wrong: ControlError | None = None
    for routine in routines:
        for method in event_handlers(type(routine)).get(event, ()):
            found = _mistake(f"event {event!r} of {routine.name!r}", getattr(routine, method), params)
            if found is None:
                return
            wrong = wrong or found
    if wrong is not None:
        raise wrong


def _mistake(what: str, handler: Callable[..., Any], params: Mapping[str, Any]) -> ControlError | None:
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):  # a callable that does not say
        return None
    try:
        signature.bind(**params)
    except TypeError as error:
        by_name = {
            name: one
            for name, one in signature.parameters.items()
            if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
        }
        known = tuple(by_name)
        for name in params:
            if name not in known:
                near = nearest(name, known)
                hint = f"did you mean {near!r}?" if near else f"it takes {_listed(known)}"
                return ControlError("bad_argument", f"{what} has no argument {name!r}: {hint}", name, near)
        missing = [name for name, one in by_name.items() if one.default is one.empty and name not in params]
        if missing:
            return ControlError("bad_argument", f"{what} needs {_listed(missing)}", missing[0])
        return ControlError("bad_argument", f"{what}: {error}")
    return None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names) or "none"
