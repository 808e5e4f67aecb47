"""Routines made from plain functions: ``@source``, ``@middle``, ``@destination``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, overload

from pipert2.graph.routine import DestinationRoutine, MiddleRoutine, Routine, SourceRoutine


def function_name(function: Callable[..., Any]) -> str | None:
    """The name a routine takes from its function, None for lambdas and objects without one."""
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", None)
    return None if name == "<lambda>" else name


class _FunctionRoutine(Routine):
    """A routine whose ``main_logic`` is a function; calling the routine calls the function."""

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        if not callable(function):
            raise TypeError(f"a routine is made from a function, not from {function!r}")
        super().__init__(name)
        self.function = function
        if name is None and (own := function_name(function)):
            self.name = own

    def main_logic(self, *data: Any) -> Any:
        return self.function(*data)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


class FunctionSource(_FunctionRoutine, SourceRoutine):
    """A source made from a function without arguments; a generator function's end is the end of its stream."""


class FunctionMiddle(_FunctionRoutine, MiddleRoutine):
    """A middle routine made from a function of one argument."""


class FunctionDestination(_FunctionRoutine, DestinationRoutine):
    """A destination made from a function of one argument."""


def _maker(routine_class: type[_FunctionRoutine], function: Callable[..., Any] | None, name: str | None) -> Any:
    if function is None:
        return lambda decorated: routine_class(decorated, name)
    return routine_class(function, name)


@overload
def source(function: Callable[[], Any], *, name: str | None = None) -> FunctionSource: ...
@overload
def source(function: None = None, *, name: str | None = None) -> Callable[[Callable[[], Any]], FunctionSource]: ...
def source(function: Callable[[], Any] | None = None, *, name: str | None = None) -> Any:
    """Make a source from a function without arguments, as a decorator or by a call.

    A plain function is called again and again; a generator function is run through, and its end is the end of the
    stream.

    >>> @source
    ... def numbers():
    ...     yield from range(3)
    >>> numbers
    <FunctionSource 'numbers'>
    >>> source(lambda: 1, name="ones").name
    'ones'
    """
    return _maker(FunctionSource, function, name)


@overload
def middle(function: Callable[[Any], Any], *, name: str | None = None) -> FunctionMiddle: ...
@overload
def middle(function: None = None, *, name: str | None = None) -> Callable[[Callable[[Any], Any]], FunctionMiddle]: ...
def middle(function: Callable[[Any], Any] | None = None, *, name: str | None = None) -> Any:
    """Make a middle routine from a function of one argument, as a decorator or by a call.

    >>> @middle
    ... def double(number):
    ...     return 2 * number
    >>> double(4)
    8
    """
    return _maker(FunctionMiddle, function, name)


@overload
def destination(function: Callable[[Any], Any], *, name: str | None = None) -> FunctionDestination: ...
@overload
def destination(
    function: None = None, *, name: str | None = None
) -> Callable[[Callable[[Any], Any]], FunctionDestination]: ...
def destination(function: Callable[[Any], Any] | None = None, *, name: str | None = None) -> Any:
    """Make a destination from a function of one argument, as a decorator or by a call.

    >>> show = destination(print, name="show")
    >>> show("hello")
    hello
    """
    return _maker(FunctionDestination, function, name)
