"""Whom an event is for, and what is said when there is nobody."""

from __future__ import annotations

from typing import Any

import pytest

from pipert2 import UnknownEventError, UnknownFlowError, UnknownRoutineError
from pipert2.events.target import resolve
from pipert2.graph.handlers import BUILT_IN_EVENTS
from pipert2.graph.routine import RoutineKind
from pipert2.graph.spec import PipeSpec, RoutineSpec


def routine(index: int, name: str, flow: str, *events: str) -> RoutineSpec:
    return RoutineSpec(index, name, flow, RoutineKind.ANY, events)


SPEC = PipeSpec(
    "shop",
    {"cameras": (0, 1), "work": (2, 3)},
    (
        routine(0, "left", "cameras", "ZOOM", "RESET"),
        routine(1, "right", "cameras", "ZOOM"),
        routine(2, "blur", "work", "RESET"),
        routine(3, "show", "work"),
    ),
    (),
    1.0,
)


def names(event: str, targets: Any = None) -> list[str]:
    return [found.name for found in resolve(SPEC, event, targets)]


def test_without_targets_all_that_handle_the_event_get_it() -> None:
    assert names("ZOOM") == ["left", "right"]
    assert names("RESET") == ["left", "blur"]


@pytest.mark.parametrize("targets", [None, {}])
def test_no_targets_are_all_targets(targets: Any) -> None:
    assert names("ZOOM", targets) == ["left", "right"]


@pytest.mark.parametrize("everything", [[], (), None])
def test_a_flow_without_names_is_the_whole_flow(everything: Any) -> None:
    assert names("RESET", {"cameras": everything}) == ["left"]


def test_named_routines_get_it_alone() -> None:
    assert names("ZOOM", {"cameras": ["right"]}) == ["right"]


def test_several_flows_may_be_meant() -> None:
    assert names("RESET", {"work": [], "cameras": ["left"]}) == ["blur", "left"]


def test_a_routine_named_twice_gets_it_once() -> None:
    assert names("ZOOM", {"cameras": ["left", "left"]}) == ["left"]


@pytest.mark.parametrize("event", BUILT_IN_EVENTS)
def test_every_routine_handles_the_built_in_events(event: str) -> None:
    assert names(event) == ["left", "right", "blur", "show"]
    assert names(event, {"work": ["show"]}) == ["show"]


def text_of(error: type[Exception], event: str, targets: Any = None) -> str:
    with pytest.raises(error) as caught:
        resolve(SPEC, event, targets)
    return str(caught.value)


def test_an_event_that_nobody_handles() -> None:
    assert text_of(UnknownEventError, "ZOM") == ("pipe 'shop' has no handler for the event 'ZOM': did you mean 'ZOOM'?")


def test_an_event_that_nobody_in_the_flow_handles() -> None:
    assert text_of(UnknownEventError, "ZOOM", {"work": []}).startswith(
        "flow 'work' has no handler for the event 'ZOOM'"
    )


def test_an_event_that_the_routine_named_does_not_handle() -> None:
    assert text_of(UnknownEventError, "ZOOM", {"work": ["show"]}).startswith(
        "routine 'show' has no handler for the event 'ZOOM'"
    )


def test_an_event_in_the_wrong_case_gets_the_right_one_as_a_hint() -> None:
    assert "did you mean 'ZOOM'?" in text_of(UnknownEventError, "zoom")


def test_a_flow_that_is_not_there() -> None:
    assert (
        text_of(UnknownFlowError, "ZOOM", {"camera": []}) == "pipe 'shop' has no flow 'camera': did you mean 'cameras'?"
    )


def test_a_flow_that_looks_like_no_other() -> None:
    assert (
        text_of(UnknownFlowError, "ZOOM", {"xyz": []}) == "pipe 'shop' has no flow 'xyz': known are 'cameras', 'work'"
    )


def test_a_routine_that_is_not_in_the_flow() -> None:
    assert text_of(UnknownRoutineError, "ZOOM", {"cameras": ["lft"]}) == (
        "flow 'cameras' has no routine 'lft': did you mean 'left'?"
    )


def test_a_routine_of_another_flow_is_not_in_this_one() -> None:
    assert text_of(UnknownRoutineError, "RESET", {"cameras": ["blur"]}).startswith(
        "flow 'cameras' has no routine 'blur'"
    )


@pytest.mark.parametrize("targets", [["cameras"], "cameras", 5])
def test_targets_that_are_no_mapping(targets: Any) -> None:
    assert text_of(TypeError, "ZOOM", targets) == (
        f'an event\'s targets are given as {{"flow": ["routine", ...]}}, not as {targets!r}'
    )


@pytest.mark.parametrize("listed", ["left", 5])
def test_routines_that_are_no_list(listed: Any) -> None:
    assert text_of(TypeError, "ZOOM", {"cameras": listed}) == (
        f"the routines of flow 'cameras' are given as a list, [{listed!r}], not as {listed!r}"
    )


def test_an_events_name_that_is_no_text() -> None:
    assert text_of(TypeError, 5) == "an event's name is a text, not 5"  # type: ignore[arg-type]
