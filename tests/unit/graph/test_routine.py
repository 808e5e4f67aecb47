"""Routine objects before a pipe runs them."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from pipert2 import DestinationRoutine, FPSRoutine, MiddleRoutine, Routine, SourceRoutine
from pipert2.graph.data import Data, FrameData
from pipert2.graph.routine import RoutineKind


class Camera(SourceRoutine):
    def main_logic(self) -> int:
        return 1


class Forgetful(MiddleRoutine):
    def __init__(self, factor: int) -> None:  # forgets super().__init__()
        self.factor = factor

    def main_logic(self, data: Any) -> Any:
        return data


def test_a_name_given_is_kept() -> None:
    assert Camera("left").name == "left"


def test_automatic_names_are_unique_and_tell_the_class() -> None:
    one, other = Camera(), Camera()
    assert one.name.startswith("Camera-")
    assert one.name != other.name


def test_a_routine_that_forgets_to_call_its_base_class_still_gets_a_name() -> None:
    routine = Forgetful(3)
    routine._ensure_name([])
    assert routine.name.startswith("Forgetful-")


def test_an_automatic_name_makes_way_for_one_that_is_taken() -> None:
    routine = Camera()
    routine._ensure_name([routine.name])
    assert routine.name != ""
    taken = [f"Camera-{number}" for number in range(1000)]
    routine._ensure_name(taken)
    assert routine.name not in taken


def test_a_name_given_does_not_make_way() -> None:
    routine = Camera("left")
    routine._ensure_name(["left"])
    assert routine.name == "left"


def test_a_routine_is_in_no_flow_at_first() -> None:
    assert Camera().flow_name is None


@pytest.mark.parametrize(
    ("cls", "kind"),
    [
        (SourceRoutine, RoutineKind.SOURCE),
        (MiddleRoutine, RoutineKind.MIDDLE),
        (DestinationRoutine, RoutineKind.DESTINATION),
        (Routine, RoutineKind.ANY),
        (FPSRoutine, RoutineKind.ANY),
    ],
)
def test_a_class_says_what_its_routines_are(cls: type[Routine], kind: RoutineKind) -> None:
    assert cls.kind is kind


@pytest.mark.parametrize("cls", [SourceRoutine, MiddleRoutine, DestinationRoutine])
def test_a_routine_without_main_logic_cannot_be_made(cls: type[Routine]) -> None:
    with pytest.raises(TypeError, match="main_logic"):
        cls()


def test_a_plain_routine_without_main_logic_says_so_when_asked_to_work() -> None:
    with pytest.raises(NotImplementedError, match="Routine has no main_logic"):
        Routine().main_logic()


def test_outside_a_pipe_a_loan_is_an_array_of_its_own() -> None:
    array = Camera().loan((2, 3), np.float32)
    assert (array.shape, array.dtype, array.flags.writeable) == ((2, 3), np.float32, True)


def test_a_loan_may_be_asked_for_by_its_length() -> None:
    assert Camera().loan(5).shape == (5,)


def test_objects_cannot_be_loaned() -> None:
    with pytest.raises(TypeError, match="loan: Python objects cannot lie in shared memory; choose another dtype"):
        Camera().loan((2,), object)


def test_outside_a_pipe_an_event_has_nowhere_to_go() -> None:
    with pytest.raises(RuntimeError) as caught:
        Camera("left").notify_event("ZOOM")
    assert str(caught.value) == "routine 'left' is in no pipe yet: put it into one with Pipe.create_flow(...)"


def test_outside_a_pipe_waiting_is_not_interrupted() -> None:
    assert Camera().wait(0.0) is False


def test_outside_a_pipe_a_routine_logs_under_its_name() -> None:
    assert Camera("left").logger is logging.getLogger("pipert2.left")


@pytest.mark.parametrize("fps", [-1, float("nan"), float("inf")])
def test_a_rate_is_a_number_of_messages(fps: float) -> None:
    with pytest.raises(ValueError) as caught:
        Camera().set_const_fps(fps)
    assert str(caught.value) == f"set_const_fps takes a rate in messages per second, 0 or more, not {fps!r}"


@pytest.mark.parametrize("fps", [0, 0.5, 30, 1e6])
def test_any_rate_can_be_set(fps: float) -> None:
    Camera().set_const_fps(fps)


def test_a_routine_shows_its_class_and_name() -> None:
    assert repr(Camera("left")) == "<Camera 'left'>"


def test_data_has_room_for_more() -> None:
    data = Data()
    data.additional_data["seen"] = True
    assert Data().additional_data == {}


def test_a_frame_is_asked_for_by_get_frame() -> None:
    class Photo(FrameData):
        def get_frame(self) -> np.ndarray:
            return np.zeros((2, 2), np.uint8)

    assert Photo().get_frame().shape == (2, 2)
    assert Photo().additional_data == {}
