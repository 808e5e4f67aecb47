"""Names of pipert2's own that a user's class or object has for something else are named before anything starts."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from pipert2 import DestinationRoutine, MiddleRoutine, Pipe, PipeBuildError, source
from pipert2.graph.hidden import hidden_names
from pipert2.testing import CollectingDestination, ListSource


class Own(MiddleRoutine):
    """Sets what it is told to in its ``__init__``."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__("own")
        vars(self).update(attributes)

    def main_logic(self, data: Any) -> Any:
        return data


class OfClass(MiddleRoutine):
    config = {"its": "own"}
    logger = logging.getLogger("its own")  # type: ignore[assignment]
    wait = 0.5  # type: ignore[assignment]

    def main_logic(self, data: Any) -> Any:
        return data

    def show(self, picture: Any) -> None:  # type: ignore[override]
        """A method of its own, which it calls itself."""


def pipe_with(routine: Any) -> Pipe:
    pipe = Pipe("hiding", inline=True)
    pipe.create_flow("all", True, ListSource([1], "tasks"), routine, CollectingDestination("end"))
    return pipe


@pytest.mark.parametrize("name", ["config", "parameters", "message", "show", "wait", "report", "call", "loan"])
def test_an_attribute_that_hides_what_the_pipe_gives_is_a_warning_that_names_it(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pipe_with(Own(**{name: 5})) as pipe:
        pipe.build()
    (warning,) = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert warning.startswith(f"Own 'own': its own attribute {name!r} hides the pipe's (self.{name})")


def test_attributes_of_classes_are_named_and_methods_of_ones_own_are_not() -> None:
    named = [text.split("'")[3] for text in hidden_names([OfClass("own")])]
    assert named == ["config", "logger", "wait"]


def test_routines_of_pipert2_and_plain_functions_hide_nothing() -> None:
    numbers = source(lambda: iter((1, 2)), name="numbers")
    assert hidden_names([numbers, ListSource([1]), CollectingDestination(), Own()]) == []


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"kind": "camera"}, "its attribute 'kind' says what a routine is"),
        ({"setup": {"size": 3}}, "its attribute 'setup' hides the method that the pipe calls"),
        ({"cleanup": True}, "its attribute 'cleanup' hides the method that the pipe calls"),
        ({"service": "camera"}, "service is True or False, not 'camera'"),
        ({"concurrency": "high"}, "concurrency is a whole number"),
        ({"trigger": 5}, "trigger"),
    ],
)
def test_an_attribute_that_is_something_else_to_the_pipe_is_an_error(attributes: dict[str, Any], says: str) -> None:
    with pytest.raises(PipeBuildError, match=f"Own 'own'.*{says}"):
        pipe_with(Own(**attributes)).build()


def test_a_name_that_is_no_text_is_an_error() -> None:
    class Numbered(DestinationRoutine):
        def __init__(self) -> None:
            super().__init__("numbered")
            self.name = 5  # type: ignore[assignment]

        def main_logic(self, data: Any) -> None:
            pass

    pipe = Pipe(inline=True)
    pipe.create_flow("all", True, ListSource([1], "tasks"), Numbered())
    with pytest.raises(PipeBuildError, match="a routine's name is a non-empty text, not 5"):
        pipe.build()
