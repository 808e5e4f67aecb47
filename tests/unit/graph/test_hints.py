"""Type hints of two ends of a wire contradict each other only when nothing can fit."""

from __future__ import annotations

import enum
import functools
import typing
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, Optional, Protocol, TypedDict, TypeVar, Union

import numpy as np
import numpy.typing as npt
import pytest

from pipert2 import Data, destination, middle, source
from pipert2.graph.hints import contradiction
from pipert2.graph.validation import logic

Item = TypeVar("Item")
UserId = NewType("UserId", int)


class Animal: ...


class Dog(Animal): ...


class Cat(Animal): ...


@dataclass
class Reading(Data):
    value: float = 0.0


class Colour(enum.Enum):
    RED = 1


class Point(NamedTuple):
    x: int


class Box(Generic[Item]): ...


class Quacks(Protocol):
    def quack(self) -> None: ...


class Settings(TypedDict):
    factor: int


def returning(hint: Any) -> Callable[[], Any]:
    def make() -> Any: ...

    make.__annotations__ = {"return": hint}
    return make


def taking(hint: Any) -> Callable[[Any], Any]:
    def take(data: Any) -> Any: ...

    take.__annotations__ = {"data": hint}
    return take


def judged(sent: Any, taken: Any) -> str | None:
    return contradiction(returning(sent), "camera", taking(taken), "show")


@pytest.mark.parametrize(
    ("sent", "taken"),
    [
        (int, str),
        (dict, int),
        (np.ndarray, dict),
        (npt.NDArray[np.uint8], dict),
        (Reading, np.ndarray),
        (Dog, Cat),
        (list[int], dict[str, int]),
        (int | None, str),
        (Optional[int], str),  # noqa: UP045
        (Union[int, float], Union[str, bytes]),  # noqa: UP007
        (str, Annotated[int, "a number"]),
        (Colour, int),
        (Box[int], Point),
        (bytes, str),
        (Settings, int),
        (int, None),
        (Callable[[], int], int),
        (type[int], int),
    ],
    ids=str,
)
def test_hints_that_nothing_fits_contradict_each_other(sent: Any, taken: Any) -> None:
    assert judged(sent, taken) is not None


@pytest.mark.parametrize(
    ("sent", "taken"),
    [
        (int, int),
        (int, float),
        (float, int),
        (bool, int),
        (int, complex),
        (Dog, Animal),
        (Animal, Dog),
        (int | str, str | bytes),
        (int | None, int),
        (int, int | None),
        (list[int], list[str]),
        (list, Sequence),
        (dict, Mapping),
        (Reading, Data),
        (Any, int),
        (int, Any),
        (object, int),
        (int, object),
        (None, int),
        (Literal["a"], int),
        (Item, int),
        (UserId, str),
        (Dog, Quacks),
        (Settings, dict),
        (dict, Settings),
        (Settings, Mapping),
        (npt.NDArray[np.uint8], np.ndarray),
        (np.ndarray, npt.ArrayLike),
        (np.float64, float),
        (Box[int], Box[str]),
    ],
    ids=str,
)
def test_hints_that_something_fits_or_that_cannot_be_judged_pass(sent: Any, taken: Any) -> None:
    assert judged(sent, taken) is None


def test_a_contradiction_is_told_with_names_types_and_what_to_do() -> None:
    assert judged(int | None, dict[str, int]) == (
        "'camera' returns int but 'show' takes dict: mend one of the two type hints, or put a routine between them"
    )


def unannotated(data=None):  # type: ignore[no-untyped-def]
    return data


def test_a_missing_hint_passes_on_either_end() -> None:
    assert contradiction(unannotated, "a", taking(int), "b") is None
    assert contradiction(returning(int), "a", unannotated, "b") is None


@pytest.mark.parametrize(
    "stream", [Iterator[int], Iterable[int], Generator[int, None, None], typing.Iterator[int]], ids=str
)
def test_of_a_stream_the_items_count(stream: Any) -> None:
    assert judged(stream, int) is None
    assert judged(stream, str) is not None


def test_a_generator_functions_items_count() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    assert contradiction(numbers, "a", taking(int), "b") is None
    assert contradiction(numbers, "a", taking(str), "b") is not None


def test_a_stream_without_a_type_of_items_passes() -> None:
    def numbers() -> Iterator:  # type: ignore[type-arg]
        yield 1

    assert contradiction(numbers, "a", taking(str), "b") is None


def test_hints_that_cannot_be_resolved_pass() -> None:
    def make() -> NotThere: ...  # type: ignore[name-defined]  # noqa: F821

    assert contradiction(make, "a", taking(int), "b") is None


def test_hints_of_methods_are_judged_without_self() -> None:
    class Sink:
        def main_logic(self, data: str) -> None: ...

    assert contradiction(returning(int), "a", Sink().main_logic, "b") is not None


def test_hints_of_functions_made_routines_are_judged() -> None:
    @source
    def numbers() -> int:
        return 1

    @destination
    def show(text: str) -> None: ...

    assert contradiction(logic(numbers), "numbers", logic(show), "show") is not None


@pytest.mark.parametrize(
    "taker",
    [lambda *data: None, print, functools.partial(unannotated), int],
    ids=["*data", "built-in", "partial", "class"],
)
def test_a_taker_without_a_hint_to_its_first_argument_passes(taker: Any) -> None:
    assert contradiction(returning(Dog), "a", logic(middle(taker)), "b") is None


def test_a_destination_that_takes_nothing_passes_here() -> None:
    assert contradiction(returning(int), "a", lambda: None, "b") is None
