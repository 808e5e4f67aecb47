"""Names of pipert2's own that a user's routine has for something else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pipert2.graph.routine import DestinationRoutine, FPSRoutine, MiddleRoutine, Routine, SourceRoutine

_OURS = (Routine, FPSRoutine, SourceRoutine, MiddleRoutine, DestinationRoutine)
_CALLED = ("setup", "setup_thread", "main_logic", "given_up", "idempotency_key", "cleanup")
"""What the pipe calls: it must be something to call."""
_LENT = ("config", "parameters", "message", "store", "logger")
"""What the pipe gives a routine, which may have it for itself, but then does not get it."""
_USED = ("notify_event", "call", "loan", "show", "wait", "set_const_fps", "report")
"""What a routine may call; nobody else does."""


def misused_names(routine: Routine) -> Iterator[str]:
    """Attributes that are something else to the pipe: it cannot run the routine like that."""
    what = f"{type(routine).__name__} {routine.name!r}"
    if not isinstance(routine.service, bool):
        yield f"{what}: service is True or False, not {routine.service!r}; name an attribute of your own differently"
    for name in _CALLED:
        if not callable(getattr(routine, name)):
            yield f"{what}: its attribute {name!r} hides the method that the pipe calls: name your own one differently"


def hidden_names(routines: Iterable[Routine]) -> list[str]:
    """A sentence for each attribute that hides something which the pipe would give the routine."""
    found = []
    for routine in routines:
        if type(routine).__module__.startswith("pipert2."):
            continue
        for name in (*_LENT, *_USED):
            own = _own(routine, name)
            if own is None or (name in _USED and callable(own)):
                continue
            what = f"{type(routine).__name__} {routine.name!r}"
            found.append(
                f"{what}: its own attribute {name!r} hides the pipe's (self.{name}); "
                "if that is not meant, name it differently"
            )
    return found


def _own(routine: Routine, name: str) -> Any:
    """What the user's object or class says that a name is; None if that is what pipert2 says."""
    if name in vars(routine):
        return vars(routine)[name]
    for cls in type(routine).__mro__:
        if cls in _OURS:
            return None
        if name in vars(cls) and not cls.__module__.startswith("pipert2."):
            return vars(cls)[name]
    return None
