"""Which methods handle which events: own, inherited, overridden, of nested classes."""

from __future__ import annotations

from typing import Any

import pytest

from pipert2 import MiddleRoutine, events
from pipert2.graph.handlers import BUILT_IN_EVENTS, event_handlers


class Zoom(MiddleRoutine):
    @events("ZOOM")
    def zoom(self, factor: float = 2) -> float:
        return factor

    @events("RESET")
    def reset(self) -> None: ...

    def main_logic(self, data: Any) -> Any:
        return data


class Inheriting(Zoom):
    pass


class Overriding(Zoom):
    def zoom(self, factor: float = 3) -> float:
        return -factor


class Adding(Zoom):
    @events("ZOOM")
    def also(self) -> None: ...


class Remarking(Zoom):
    @events("CLOSER")
    def zoom(self, factor: float = 3) -> float:
        return factor


class OnlyNested(MiddleRoutine):
    class Inner:
        @events("INNER")
        def handle(self) -> None: ...

    def main_logic(self, data: Any) -> Any:
        return data


class Two(MiddleRoutine):
    @events("A")
    @events("B")
    def both(self) -> None: ...

    def main_logic(self, data: Any) -> Any:
        return data


class Mixin:
    @events("MIXED")
    def mixed(self) -> None: ...


class WithMixin(Mixin, Zoom):
    pass


def test_a_marked_method_handles_its_event() -> None:
    assert event_handlers(Zoom) == {"ZOOM": ("zoom",), "RESET": ("reset",)}


def test_handlers_are_inherited() -> None:
    assert event_handlers(Inheriting) == event_handlers(Zoom)


def test_an_override_stays_a_handler_without_being_marked() -> None:
    assert event_handlers(Overriding)["ZOOM"] == ("zoom",)
    handler = getattr(Overriding(), event_handlers(Overriding)["ZOOM"][0])
    assert handler(factor=4) == -4


def test_an_override_marked_anew_handles_both_events() -> None:
    assert event_handlers(Remarking)["ZOOM"] == ("zoom",)
    assert event_handlers(Remarking)["CLOSER"] == ("zoom",)


def test_several_methods_may_handle_one_event_base_class_first() -> None:
    assert event_handlers(Adding)["ZOOM"] == ("zoom", "also")


def test_one_method_may_handle_several_events() -> None:
    assert event_handlers(Two) == {"A": ("both",), "B": ("both",)}


def test_a_class_inside_a_routine_lends_it_no_handlers() -> None:
    assert event_handlers(OnlyNested) == {}


def test_a_subclass_does_not_add_to_its_base_class() -> None:
    assert event_handlers(Adding) != event_handlers(Zoom)
    assert event_handlers(Zoom)["ZOOM"] == ("zoom",)


def test_classes_of_the_same_name_do_not_share_handlers() -> None:
    def make(event: str) -> type:
        class Same(MiddleRoutine):
            @events(event)
            def handle(self) -> None: ...

            def main_logic(self, data: Any) -> Any:
                return data

        return Same

    assert event_handlers(make("ONE")) == {"ONE": ("handle",)}
    assert event_handlers(make("TWO")) == {"TWO": ("handle",)}


def test_a_mixin_that_is_no_routine_brings_its_handlers() -> None:
    assert set(event_handlers(WithMixin)) == {"MIXED", "ZOOM", "RESET"}


def test_a_marked_method_is_still_the_method() -> None:
    assert Zoom().zoom(factor=7) == 7


@pytest.mark.parametrize("name", BUILT_IN_EVENTS)
def test_a_built_in_event_cannot_be_handled(name: str) -> None:
    with pytest.raises(ValueError, match=f"the event '{name}' is built in: override setup or cleanup"):
        events(name)


@pytest.mark.parametrize("name", ["", None, 5])
def test_an_events_name_is_a_non_empty_text(name: Any) -> None:
    with pytest.raises(ValueError, match=r"an event's name must be a non-empty text"):
        events(name)


def test_a_decorator_without_parentheses_is_refused() -> None:
    with pytest.raises(ValueError, match=r'as in @events\("ZOOM"\)'):

        @events  # type: ignore[arg-type]
        def zoom(self: Any) -> None: ...
