"""Routines made from functions are routines, and still the functions."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pipert2 import DestinationRoutine, MiddleRoutine, SourceRoutine, destination, middle, source


def numbers() -> Iterator[int]:
    yield from range(3)


def add(one: int, other: int) -> int:
    return one + other


class Scale:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    def __call__(self, data: int) -> int:
        return self.factor * data


MAKERS = [
    pytest.param(source, SourceRoutine, id="source"),
    pytest.param(middle, MiddleRoutine, id="middle"),
    pytest.param(destination, DestinationRoutine, id="destination"),
]


@pytest.mark.parametrize(("maker", "kind"), MAKERS)
def test_a_function_becomes_a_routine_of_its_kind(maker: Callable[..., Any], kind: type) -> None:
    assert isinstance(maker(add), kind)


@pytest.mark.parametrize(("maker", "kind"), MAKERS)
def test_it_takes_the_functions_name(maker: Callable[..., Any], kind: type) -> None:
    assert maker(add).name == "add"


@pytest.mark.parametrize(("maker", "kind"), MAKERS)
def test_it_takes_the_name_given(maker: Callable[..., Any], kind: type) -> None:
    assert maker(add, name="sum").name == "sum"
    assert maker(name="sum")(add).name == "sum"


@pytest.mark.parametrize(("maker", "kind"), MAKERS)
def test_empty_parentheses_are_fine(maker: Callable[..., Any], kind: type) -> None:
    assert maker()(add).name == "add"


@pytest.mark.parametrize(("maker", "kind"), MAKERS)
@pytest.mark.parametrize("thing", [5, "text", object()])
def test_what_is_no_function_is_refused(maker: Callable[..., Any], kind: type, thing: object) -> None:
    with pytest.raises(TypeError, match="a routine is made from a function, not from"):
        maker(thing)


def test_calling_the_routine_calls_the_function() -> None:
    assert middle(add)(2, other=3) == 5


def test_its_main_logic_is_the_function() -> None:
    assert middle(Scale(3)).main_logic(5) == 15


def test_a_generator_function_stays_one() -> None:
    assert inspect.isgenerator(source(numbers).main_logic())
    assert list(source(numbers)()) == [0, 1, 2]


def test_a_partial_takes_the_name_of_its_function() -> None:
    routine = middle(functools.partial(functools.partial(add, 2)))
    assert routine.name == "add"
    assert routine.main_logic(3) == 5


@pytest.mark.parametrize("function", [lambda data: data, Scale(2)], ids=["lambda", "callable object"])
def test_what_has_no_name_gets_an_automatic_one(function: Callable[..., Any]) -> None:
    one, other = middle(function), middle(function)
    assert one.name.startswith("FunctionMiddle-")
    assert one.name != other.name


def test_a_bound_method_can_be_a_routine() -> None:
    routine = middle(Scale(4).__call__)
    assert routine.main_logic(2) == 8


def test_one_function_can_make_several_routines() -> None:
    assert middle(add, name="first") is not middle(add, name="second")


@pytest.mark.parametrize(
    ("option", "hint"),
    [("retry", "did you mean 'retries'?"), ("xyz", "there are concurrency, retries, service, idempotency_key")],
)
def test_an_option_that_there_is_not_names_the_nearest(option: str, hint: str) -> None:
    with pytest.raises(TypeError) as caught:
        middle(**{option: 2})  # type: ignore[call-overload]
    assert str(caught.value) == f"a middle has no option {option!r}: {hint}"
