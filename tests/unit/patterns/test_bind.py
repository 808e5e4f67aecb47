"""What users wrote gets the arguments that it asks for, whatever its signature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pipert2.patterns.map_reduce.bind import Bound
from pipert2.patterns.map_reduce.parameters import WorkParameter

OFFERED = {"parameters": "P", "tick": "T"}
VALUES = {"rows": WorkParameter("rows", b"3", 3)}


def positional(event: Any, parameters: Any, tick: Any) -> Any:
    return event, parameters, tick


def keyword(event: Any, *args: Any, parameters: Any = None, **kwargs: Any) -> Any:
    return event, parameters, kwargs["tick"]


def default_first(event: Any, parameters: Any = None, *args: Any, **kwargs: Any) -> Any:
    return event, parameters, kwargs["tick"]


def own_names(event: Any, p: Any, t: Any) -> Any:
    return event, p, t


def only_args(event: Any, *args: Any) -> Any:
    return (event, *args)


def tick_first(event: Any, tick: Any, parameters: Any) -> Any:
    return event, parameters, tick


def one_own(event: Any, p: Any, tick: Any) -> Any:
    return event, p, tick


@pytest.mark.parametrize("function", [positional, keyword, default_first, own_names, only_args, tick_first, one_own])
def test_each_spelling_gets_the_same(function: Callable[..., Any]) -> None:
    assert Bound(function, 1, list(OFFERED))(["E"], OFFERED) == ("E", "P", "T")


def test_what_is_not_asked_for_is_not_given() -> None:
    assert Bound(lambda event: event, 1, list(OFFERED))(["E"], OFFERED) == "E"
    assert Bound(lambda: "nothing", 0, list(OFFERED))([], OFFERED) == "nothing"


def test_parameters_are_bound_by_their_own_names() -> None:
    def roi(event: Any, rows: int = 2, cols: int = 5) -> Any:
        return event, rows, cols

    assert Bound(roi, 1, list(OFFERED), ["rows"])(["E"], OFFERED, VALUES) == ("E", 3, 5)


def test_a_builtin_gets_what_comes_first() -> None:
    assert Bound(max, 1, list(OFFERED))([[1, 2]], OFFERED) == 2
