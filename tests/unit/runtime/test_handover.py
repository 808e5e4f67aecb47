"""What can be handed to a flow's process, and what is said of the rest."""

from __future__ import annotations

import multiprocessing
import pickle
from typing import Any

import pytest

from pipert2 import MiddleRoutine, middle
from pipert2.runtime.flow.handover import Parcel, check_start_method, untransferable


class Holding(MiddleRoutine):
    def __init__(self, **attributes: Any) -> None:
        super().__init__("holding")
        vars(self).update(attributes)

    def main_logic(self, data: Any) -> Any:
        return data


def test_a_plain_routine_can_be_handed_over() -> None:
    assert untransferable([Holding(numbers=[1, 2], name_of_file="x.txt")]) == []


def test_lambdas_and_local_classes_can_be_handed_over() -> None:
    class Local:
        pass

    assert untransferable([Holding(function=lambda data: data, thing=Local())]) == []


def test_an_attribute_that_cannot_be_handed_over_is_named_with_what_to_do() -> None:
    (text,) = untransferable([Holding(stream=(number for number in []))])
    assert text.startswith(
        "Holding 'holding': its attribute 'stream' (generator) cannot be handed to the flow's process (TypeError: "
    )
    assert text.endswith("): make it in setup(), which runs there")


def test_every_such_attribute_of_every_routine_is_named() -> None:
    generators = {"one": (x for x in []), "two": (x for x in [])}
    texts = untransferable([Holding(**generators), Holding(), Holding(three=(x for x in []))])
    assert [name in text for name, text in zip(("'one'", "'two'", "'three'"), texts, strict=True)] == [True] * 3


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this platform cannot fork")
def test_something_of_multiprocessing_made_for_forks_gets_the_hint() -> None:
    lock = multiprocessing.get_context("fork").Lock()
    (text,) = untransferable([Holding(lock=lock)])
    assert "its attribute 'lock' (Lock)" in text
    assert "or make it with multiprocessing.get_context(" in text


def test_a_global_variable_that_cannot_be_handed_over_is_hinted_at() -> None:
    scratch: dict[str, Any] = {"__name__": "scratch", "stream": (x for x in [])}
    exec("def use(data): return next(stream)", scratch)
    (text,) = untransferable([middle(scratch["use"])])
    assert text.startswith("FunctionMiddle 'use'")
    assert "generator" in text


def test_a_parcel_opens_to_what_was_packed() -> None:
    class Local:
        number = 5

    parcel = pickle.loads(pickle.dumps(Parcel({"class": Local, "function": lambda x: x + 1})))
    assert parcel.open()["class"].number == 5
    assert parcel.open()["function"](1) == 2


def test_a_parcel_that_did_not_travel_opens_as_well() -> None:
    thing = object()
    assert Parcel(thing).open() is thing


def test_a_start_method_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Pipe\(start_method=...\): this platform has .*'spawn'.*, not 'threads'"):
        check_start_method("threads")


@pytest.mark.parametrize("method", [None, *multiprocessing.get_all_start_methods()])
def test_a_start_method_that_there_is_is_fine(method: str | None) -> None:
    check_start_method(method)
