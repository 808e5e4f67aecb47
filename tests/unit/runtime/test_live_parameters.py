"""What the main process knows of a routine's parameters."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict
from enum import Enum
from typing import Any

import pytest

from pipert2 import ParameterError, SourceRoutine, UnknownParameterError
from pipert2.graph.parameter import Parameter
from pipert2.runtime.supervision.live_parameters import MOST_CHANGES, LiveParameters


class Mode(Enum):
    FAST = "fast"
    EXACT = "exact"


class Camera(SourceRoutine):
    gain = Parameter(1.0, minimum=0.0, maximum=8.0, unit="dB", help="How bright.")
    mode = Parameter(Mode.FAST)
    steps = Parameter(3)

    def main_logic(self) -> Any: ...


@pytest.fixture
def camera() -> Camera:
    return Camera("camera")


def test_the_status_tells_all_of_the_declaration_and_the_value(camera: Camera) -> None:
    camera.gain = 2.0
    gain, mode, _ = LiveParameters(camera).status()
    assert (gain.name, gain.type, gain.value, gain.default, gain.unit, gain.help) == (
        "gain", "float", 2.0, 1.0, "dB", "How bright.",
    )  # fmt: skip
    assert (gain.minimum, gain.maximum, gain.choices, gain.changes) == (0.0, 8.0, None, ())
    assert (mode.type, mode.value, mode.choices) == ("Mode", "fast", ("fast", "exact"))


def test_the_status_is_fit_for_json(camera: Camera) -> None:
    live = LiveParameters(camera)
    live.changed("mode", "exact")
    assert "exact" in json.dumps([asdict(status) for status in live.status()], allow_nan=False)


def test_a_routine_without_parameters_has_an_empty_status() -> None:
    class Plain(SourceRoutine):
        def main_logic(self) -> None: ...

    assert LiveParameters(Plain()).status() == ()


def test_what_the_routine_says_is_kept_in_the_object_as_its_own_type(camera: Camera) -> None:
    live = LiveParameters(camera)
    live.changed("mode", "exact")
    live.changed("gain", 4)
    assert (camera.mode, camera.gain, type(camera.gain)) == (Mode.EXACT, 4.0, float)


def test_changes_are_listed_oldest_first_with_their_times(camera: Camera) -> None:
    live = LiveParameters(camera)
    for value in (1, 2, 3):
        live.changed("steps", value)
    changes = live.status()[2].changes
    assert [change.value for change in changes] == [1, 2, 3]
    assert [change.time for change in changes] == sorted(change.time for change in changes)


def test_the_last_twenty_changes_are_kept(camera: Camera) -> None:
    live = LiveParameters(camera)
    for value in range(50):
        live.changed("steps", value)
    assert [change.value for change in live.status()[2].changes] == list(range(50 - MOST_CHANGES, 50))
    assert live.status()[0].changes == ()


def test_who_sees_a_value_sees_the_change_that_brought_it(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    live, seen, store = LiveParameters(camera), [], Parameter.store
    looks = threading.Thread(target=lambda: seen.append(live.status()[2]))

    def store_and_be_seen(parameter: Parameter[Any], routine: Any, value: Any) -> None:
        store(parameter, routine, value)
        looks.start()
        looks.join(0.1)  # somebody looks just now, and may be made to wait

    monkeypatch.setattr(Parameter, "store", store_and_be_seen)
    live.changed("steps", 5)
    looks.join(60.0)
    assert [(status.value, [change.value for change in status.changes]) for status in seen] == [(5, [5])]


def test_checked_values_are_plain_and_converted(camera: Camera) -> None:
    checked = LiveParameters(camera).checked({"gain": 2, "mode": Mode.EXACT})
    assert checked == {"gain": 2.0, "mode": "exact"}
    assert camera.gain == 1.0


@pytest.mark.parametrize("values", [{"steps": 5, "gain": 9}, {"gain": 9, "steps": 5}])
def test_one_wrong_value_and_nothing_is_set(camera: Camera, values: dict[str, Any]) -> None:
    live = LiveParameters(camera)
    with pytest.raises(ParameterError, match="'gain' of 'camera' is at most 8 dB, not 9"):
        live.checked(values)
    assert (camera.steps, camera.gain) == (3, 1.0)
    assert live.status()[2].changes == ()


def test_an_unknown_parameter_is_an_error_with_the_nearest_name(camera: Camera) -> None:
    with pytest.raises(UnknownParameterError, match="routine 'camera' has no parameter 'gian': did you mean 'gain'"):
        LiveParameters(camera).checked({"steps": 5, "gian": 1.0})


def test_an_attribute_that_is_no_parameter_cannot_be_set(camera: Camera) -> None:
    for name in ("name", "main_logic", "_context", "flow_name"):
        with pytest.raises(UnknownParameterError):
            LiveParameters(camera).checked({name: 1})
