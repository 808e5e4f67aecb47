"""Routines made from plain functions: ``@source``, ``@middle``, ``@destination``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, overload

from pipert2.errors import nearest
from pipert2.graph.routine import DestinationRoutine, MiddleRoutine, Routine, RoutineKind, SourceRoutine

if TYPE_CHECKING:
    from typing_extensions import Unpack


def function_name(function: Callable[..., Any]) -> str | None:
    """The name a routine takes from its function, None for lambdas and objects without one."""
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", None)
    return None if name == "<lambda>" else name


def _required(function: Callable[..., Any]) -> int:
    """How many arguments a function must be given."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # a built-in function that does not tell
        return 0
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(one.kind in positional and one.default is inspect.Parameter.empty for one in parameters)


class _FunctionRoutine(Routine):
    """A routine whose ``main_logic`` is a function; calling the routine calls the function.

    Attributes:
        takes_itself: whether the function has one argument more than its data, first of all: the routine.
    """

    def __init__(self, function: Callable[..., Any], name: str | None = None, **options: Any) -> None:
        if not callable(function):
            raise TypeError(f"a routine is made from a function, not from {function!r}")
        super().__init__(name)
        self.function = function
        self.takes_itself = _required(function) == (2 if self.kind is not RoutineKind.SOURCE else 1)
        if name is None and (own := function_name(function)):
            self.name = own
        for option, value in options.items():
            setattr(self, option, value)

    def main_logic(self, *data: Any) -> Any:
        return self.function(self, *data) if self.takes_itself else self.function(*data)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


class FunctionSource(_FunctionRoutine, SourceRoutine):
    """A source made from a function without arguments; a generator function's end is the end of its stream."""


class FunctionMiddle(_FunctionRoutine, MiddleRoutine):
    """A middle routine made from a function of one argument."""


class FunctionDestination(_FunctionRoutine, DestinationRoutine):
    """A destination made from a function of one argument."""


class SourceOptions(TypedDict, total=False):
    """What :func:`source` takes besides the function; see :class:`Routine`."""

    max_in_flight: int | None
    trigger: Any
    timeout: float | None


class WorkOptions(TypedDict, total=False):
    """What :func:`middle` and :func:`destination` take besides the function; see :class:`Routine`."""

    concurrency: int
    retries: int
    service: bool
    idempotency_key: Callable[[Any], str | None]


_Made = TypeVar("_Made", bound=_FunctionRoutine)


def _maker(
    routine_class: type[_Made],
    function: Callable[..., Any] | None,
    name: str | None,
    options: SourceOptions | WorkOptions,
    known: type,
) -> Any:
    for option in options:
        if option not in known.__annotations__:
            near = nearest(option, tuple(known.__annotations__))
            hint = f"did you mean {near!r}?" if near else f"there are {', '.join(known.__annotations__)}"
            raise TypeError(f"a {routine_class.kind.value} has no option {option!r}: {hint}")
    if function is None:
        return lambda decorated: routine_class(decorated, name, **options)
    return routine_class(function, name, **options)


@overload
def source(
    function: Callable[..., Any], *, name: str | None = None, **options: Unpack[SourceOptions]
) -> FunctionSource: ...
@overload
def source(
    function: None = None, *, name: str | None = None, **options: Unpack[SourceOptions]
) -> Callable[[Callable[..., Any]], FunctionSource]: ...
def source(
    function: Callable[..., Any] | None = None, *, name: str | None = None, **options: Unpack[SourceOptions]
) -> Any:
    """Make a source from a function without arguments, as a decorator or by a call.

    A plain function is called again and again; a generator function is run through, and its end is the end of the
    stream. A function that must be given one argument gets the routine itself, for its ``store``, ``logger``, ...

    Args:
        name: the routine's; the function's if left out.
        options: ``max_in_flight``, ``trigger`` and ``timeout``, see :class:`Routine`.

    >>> @source
    ... def numbers():
    ...     yield from range(3)
    >>> numbers
    <FunctionSource 'numbers'>
    >>> source(lambda: 1, name="ones").name
    'ones'
    """
    return _maker(FunctionSource, function, name, options, SourceOptions)


@overload
def middle(
    function: Callable[..., Any], *, name: str | None = None, **options: Unpack[WorkOptions]
) -> FunctionMiddle: ...
@overload
def middle(
    function: None = None, *, name: str | None = None, **options: Unpack[WorkOptions]
) -> Callable[[Callable[..., Any]], FunctionMiddle]: ...
def middle(
    function: Callable[..., Any] | None = None, *, name: str | None = None, **options: Unpack[WorkOptions]
) -> Any:
    """Make a middle routine from a function of one argument, as a decorator or by a call.

    A generator function sends each thing that it yields. An ``async`` function runs on the flow's event loop. A
    function that must be given two arguments gets the routine itself first.

    Args:
        name: the routine's; the function's if left out.
        options: ``concurrency``, ``retries``, ``service`` and ``idempotency_key``, see :class:`Routine`.

    >>> @middle
    ... def double(number):
    ...     return 2 * number
    >>> double(4)
    8
    """
    return _maker(FunctionMiddle, function, name, options, WorkOptions)


@overload
def destination(
    function: Callable[..., Any], *, name: str | None = None, **options: Unpack[WorkOptions]
) -> FunctionDestination: ...
@overload
def destination(
    function: None = None, *, name: str | None = None, **options: Unpack[WorkOptions]
) -> Callable[[Callable[..., Any]], FunctionDestination]: ...
def destination(
    function: Callable[..., Any] | None = None, *, name: str | None = None, **options: Unpack[WorkOptions]
) -> Any:
    """Make a destination from a function of one argument, as a decorator or by a call; arguments as of :func:`middle`.

    >>> show = destination(print, name="show")
    >>> show("hello")
    hello
    """
    return _maker(FunctionDestination, function, name, options, WorkOptions)
