"""Parameters: declared, typed values of a routine that can change while it runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum
from inspect import isclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import numpy as np

from pipert2.errors import ParameterError

if TYPE_CHECKING:
    from pipert2.graph.routine import Routine

_T = TypeVar("_T")
_PLAIN = (bool, int, float, str)


class Parameter(Generic[_T]):
    """A value of a routine that can be changed from outside while it runs; a class attribute.

    ``self.NAME`` is the value. A new one is checked where it is asked for, and takes effect between two messages. A
    routine may also set it itself: whoever watches the pipe sees it.

    Args:
        default: the value until another one is set.
        type: ``bool``, ``int``, ``float``, ``str`` or an ``Enum`` class; that of *default* if left out.
        minimum: the least number allowed.
        maximum: the greatest number allowed.
        choices: the values allowed, where these are few.
        unit: of a number, such as ``"ms"``, for those who see it.
        help: what it does, in a sentence.

    Raises:
        ParameterError: of assignments: not such a value.
        TypeError, ValueError: the declaration contradicts itself.

    >>> from pipert2 import MiddleRoutine
    >>> class Brighten(MiddleRoutine):
    ...     gain = Parameter(1.0, minimum=0.0, maximum=8.0, help="Factor for each pixel.")
    ...     def main_logic(self, frame):
    ...         return frame * self.gain
    >>> brighten = Brighten()
    >>> brighten.gain = 2
    >>> brighten.main_logic(10.0)
    20.0
    """

    def __init__(
        self,
        default: _T,
        type: type[_T] | None = None,
        *,
        minimum: float | None = None,
        maximum: float | None = None,
        choices: Sequence[_T] | None = None,
        unit: str = "",
        help: str = "",
    ) -> None:
        self.name = "parameter"
        self.type: Any = type if type is not None else default.__class__
        if not isclass(self.type) or not issubclass(self.type, (*_PLAIN, Enum)):
            raise TypeError(f"Parameter(type=...): bool, int, float, str or an Enum class, not {self.type!r}")
        for what, limit in (("minimum", minimum), ("maximum", maximum)):
            if limit is None:
                continue
            if not self._is_number:
                raise TypeError(f"Parameter({what}=...): only numbers have limits, not {self.type.__name__}")
            if isinstance(limit, bool) or not isinstance(limit, int | float):
                raise TypeError(f"Parameter({what}=...) is a number, not {limit!r}")
            if not abs(limit) < math.inf:
                raise ValueError(f"Parameter({what}=...) is a finite number, not {limit!r}")
        if minimum is not None and maximum is not None and minimum > maximum:
            raise ValueError(f"Parameter(minimum={minimum!r}, maximum={maximum!r}): there is no value in between")
        self.minimum = minimum
        self.maximum = maximum
        self.choices: tuple[_T, ...] | None = None
        self.unit = unit
        self.help = help
        if issubclass(self.type, Enum):
            self.choices = tuple(self.type)
        if choices is not None:
            self.choices = tuple(self.check("this routine", choice) for choice in choices)
            if not self.choices:
                raise ValueError("Parameter(choices=...) is empty: name the values allowed")
        self.default: _T = self.check("this routine", default)

    @property
    def _is_number(self) -> bool:
        return self.type in (int, float)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, routine: None, owner: type) -> Parameter[_T]: ...
    @overload
    def __get__(self, routine: Routine, owner: type) -> _T: ...
    def __get__(self, routine: Routine | None, owner: type) -> Any:
        if routine is None:
            return self
        return vars(routine).get(self.name, self.default)

    def __set__(self, routine: Routine, value: _T) -> None:
        checked = self.check(routine.name, value)
        context = getattr(routine, "_context", None)
        if context is None or context.parameter_set(self.name, checked):
            self.store(routine, checked)

    def store(self, routine: Routine, value: _T) -> None:
        """Keep a value that was checked already, and tell nobody."""
        vars(routine)[self.name] = value

    def check(self, routine: str, value: Any) -> _T:
        """*value* as this parameter keeps it.

        Args:
            routine: the name of the routine, for the error.

        Raises:
            ParameterError: it is not a value that this parameter takes.
        """
        checked = self._converted(value)
        if checked is None:
            raise ParameterError(routine, self.name, value, f"takes {self._kind()}")
        if self.choices is not None and checked not in self.choices:
            names = ", ".join(repr(plain_value(choice)) for choice in self.choices)
            raise ParameterError(routine, self.name, value, f"takes one of {names}")
        if self.minimum is not None and checked < self.minimum:
            raise ParameterError(routine, self.name, value, f"is at least {self._shown(self.minimum)}")
        if self.maximum is not None and checked > self.maximum:
            raise ParameterError(routine, self.name, value, f"is at most {self._shown(self.maximum)}")
        return checked  # type: ignore[no-any-return]

    def _converted(self, value: Any) -> Any:
        """*value* as this parameter's type; None if it is none of it."""
        if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
            value = value.item()
        if issubclass(self.type, Enum):
            return self._member(value)
        if self.type is bool or isinstance(value, bool):
            return value if self.type is bool and isinstance(value, bool) else None
        if self.type is float:
            try:
                return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
            except OverflowError:
                return None
        if self.type is int and isinstance(value, float) and value.is_integer():
            return int(value)
        return value if isinstance(value, self.type) else None

    def _member(self, value: Any) -> Any:
        """The member that *value* is, or is the value of, or else the name of."""
        if isinstance(value, self.type):
            return value
        if not isinstance(value, _PLAIN):
            return None
        for member in self.type:
            if type(member.value) is type(value) and member.value == value:
                return member
        return self.type.__members__.get(value) if isinstance(value, str) else None

    def _kind(self) -> str:
        if self.choices is not None:
            return "one of " + ", ".join(repr(plain_value(choice)) for choice in self.choices)
        return {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[self.type]

    def _shown(self, limit: float) -> str:
        whole = isinstance(limit, float) and limit.is_integer() and abs(limit) < 1e15
        return f"{int(limit) if whole else limit}{f' {self.unit}' if self.unit else ''}"

    def __repr__(self) -> str:
        return f"<Parameter {self.name!r}, {self.type.__name__}>"


def plain_value(value: Any) -> Any:
    """A parameter's value as JSON has it: an enumeration's member as its value, or its name if that is not plain."""
    if isinstance(value, Enum):
        return value.value if isinstance(value.value, _PLAIN) else value.name
    return value


def parameters_of(routine_class: type) -> dict[str, Parameter[Any]]:
    """The parameters that a class declares or inherits, base classes' first."""
    found: dict[str, Parameter[Any]] = {}
    for cls in reversed(routine_class.__mro__):
        for name, value in vars(cls).items():
            if isinstance(value, Parameter):
                found[name] = value
            else:
                found.pop(name, None)  # a subclass has made something else of it
    return found
