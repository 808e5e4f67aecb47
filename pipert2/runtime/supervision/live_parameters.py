"""What the main process knows of a routine's parameters: the values now, and how they came about."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipert2.errors import UnknownParameterError
from pipert2.graph.parameter import parameters_of, plain_value
from pipert2.graph.routine import Routine

MOST_CHANGES = 20


@dataclass(frozen=True, slots=True)
class ParameterChange:
    """A value that a parameter got, and when (seconds since the epoch)."""

    time: float
    value: Any


@dataclass(frozen=True, slots=True)
class ParameterStatus:
    """A parameter of a routine.

    Attributes:
        name: which.
        type: ``"bool"``, ``"int"``, ``"float"``, ``"str"``; or the name of an enumeration's class.
        value: now. default: where nobody set it.
        minimum, maximum: its limits, both included. choices: the values it takes, where these are listed.
        unit, help: for those who see it.
        changes: how it came to its value, the last 20 changes, oldest first.
    """

    name: str
    type: str
    value: Any
    default: Any
    minimum: float | None
    maximum: float | None
    choices: tuple[Any, ...] | None
    unit: str
    help: str
    changes: tuple[ParameterChange, ...]


class LiveParameters:
    """The parameters of one routine, running or not. Safe to use from any thread.

    Args:
        routine: the object in the main process; it is kept up to date, so that a new process gets the values of now.
    """

    def __init__(self, routine: Routine) -> None:
        self._routine = routine
        self._declared = parameters_of(type(routine))
        self._changes: dict[str, deque[ParameterChange]] = {}
        self._lock = threading.Lock()  # who sees a value sees the change that brought it

    def changed(self, name: str, value: Any) -> None:
        """The routine says that it has this value now."""
        checked = self._declared[name].check(self._routine.name, value)
        with self._lock:
            self._declared[name].store(self._routine, checked)
            self._changes.setdefault(name, deque(maxlen=MOST_CHANGES)).append(ParameterChange(time.time(), value))

    def checked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values as they are sent to the routine.

        Raises:
            UnknownParameterError, ParameterError: one of them is wrong.
        """
        for name in values:
            if name not in self._declared:
                raise UnknownParameterError(str(name), tuple(self._declared), f"routine {self._routine.name!r}")
        return {
            name: plain_value(self._declared[name].check(self._routine.name, value)) for name, value in values.items()
        }

    def status(self) -> tuple[ParameterStatus, ...]:
        """All parameters as they are."""
        with self._lock:
            return tuple(map(self._status, self._declared))

    def _status(self, name: str) -> ParameterStatus:
        parameter = self._declared[name]
        return ParameterStatus(
            name=name,
            type=parameter.type.__name__,
            value=plain_value(getattr(self._routine, name)),
            default=plain_value(parameter.default),
            minimum=parameter.minimum,
            maximum=parameter.maximum,
            choices=None if parameter.choices is None else tuple(map(plain_value, parameter.choices)),
            unit=parameter.unit,
            help=parameter.help,
            changes=tuple(self._changes.get(name, ())),
        )
