"""What a call returned, as JSON, and what was lost on the way."""

from __future__ import annotations

import datetime
import enum
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipert2.control.json_value import MOST_LOST, MOST_VALUES, json_value


@dataclass(frozen=True, slots=True)
class Peak:
    at: float
    label: str


class Colour(enum.Enum):
    RED = "red"


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, None),
        (True, True),
        (10**30, 10**30),
        ("Ünal", "Ünal"),
        ((1, [2.5, {"a": None}]), [1, [2.5, {"a": None}]]),
        ({3}, [3]),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        (np.array(7), 7),
        (b"12", "MTI="),
        (Peak(1.5, "x"), {"at": 1.5, "label": "x"}),
        (Colour.RED, "red"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (Path("a/b"), "a/b"),
    ],
)
def test_what_json_can_say_loses_nothing(value: Any, written: Any) -> None:
    assert json_value(value) == (written, ())


@pytest.mark.parametrize(
    ("value", "written", "lost"),
    [
        ([1, float("nan")], [1, None], "value[1]: nan is null"),
        ({"a": {2: 3}}, {"a": {"2": 3}}, "value.a.2: its key is of type int"),
        (np.zeros((300, 300)), "<array 300 x 300 of float64>", "value: an array is sketched as text"),
        (np.array([1 + 2j]), "<array 1 of complex128>", "value: an array is sketched as text"),
        (Odd(), "<Odd>", "value: Odd is sketched as text"),
        ("\ud800", "\\ud800", "value: half characters are escaped"),
    ],
)
def test_what_json_cannot_say_is_told_with_its_place(value: Any, written: Any, lost: str) -> None:
    assert json_value(value) == (written, (lost,))


def test_infinities_in_an_array_are_told() -> None:
    assert json_value(np.array([1.0, np.inf])) == ([1.0, None], ("value[1]: inf is null",))


def test_a_value_that_contains_itself_has_an_end() -> None:
    around: list[Any] = []
    around.append(around)
    found, lost = json_value(around)
    json.dumps(found)
    assert "nested too deep" in lost[0]


def test_too_many_values_and_losses_have_an_end() -> None:
    found, lost = json_value([[object()]] * (2 * MOST_VALUES))
    assert len(found) == 2 * MOST_VALUES
    assert len(lost) == MOST_LOST + 1
    assert lost[-1].startswith("and ")
