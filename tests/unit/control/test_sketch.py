"""A sketch of data is small, plain, and made without asking the data's class."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
from collections import OrderedDict, namedtuple
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipert2.control.sketch import sketch

Point = namedtuple("Point", "x y")


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass(slots=True)
class Slim:
    number: int
    frame: Any


class Trap:
    """Complains about whatever is asked of it."""

    def __init__(self) -> None:
        self.secret = 7
        self.me = self

    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(f"asked for {name}")

    def __repr__(self) -> str:
        raise SystemExit("asked for its repr")

    __str__ = __repr__
    __class__ = property(lambda self: 1 / 0)  # type: ignore[assignment]


class TrapDict(dict[str, int]):
    def items(self) -> Any:
        raise SystemExit

    def __len__(self) -> int:
        raise SystemExit


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (None, None),
        ({"size": 3, "name": "elm"}, {"size": 3, "name": "elm"}),
        ([1, (2, 3)], [1, [2, 3]]),
        ({1: "a", (1, 2): "b", None: "c"}, {"1": "a", "<tuple>": "b", "None": "c"}),
        (b"12345", "<5 bytes>"),
        (np.zeros((4, 6, 3), np.uint8), "<array 4 x 6 x 3 of uint8>"),
        (np.float32(2.5), 2.5),
        (float("nan"), "nan"),
        (2**70, "<int of 71 bits>"),
        ("\ud800", "\\ud800"),
        (Colour.RED, "Colour.RED"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (PurePosixPath("/a/b"), "/a/b"),
        (Slim(1, np.zeros(3)), {"number": 1, "frame": "<array 3 of float64>"}),
        (Point(1, 2), [1, 2]),
        (OrderedDict(a=1), {"a": 1}),
        (TrapDict(a=1), {"a": 1}),
        (object(), "<object>"),
    ],
)
def test_data_is_told_as_plain_json(data: Any, expected: Any) -> None:
    assert sketch(data) == expected
    json.dumps(sketch(data), allow_nan=False)


def test_no_code_of_the_data_is_run() -> None:
    assert sketch([Trap()])[0]["secret"] == 7


@given(
    st.recursive(
        st.integers() | st.text() | st.binary(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_it_is_json_whatever_it_is_made_of(data: Any) -> None:
    json.dumps(sketch(data), allow_nan=False).encode()


def test_it_stays_small() -> None:
    deep: Any = "x" * 10**6
    for _ in range(50):
        deep = [deep] * 50
    assert len(json.dumps(sketch(deep))) < 300 * 600
    assert len(json.dumps(sketch({f"{n}" * 1000: "y" * 10**6 for n in range(1000)}))) < 30_000
    assert sketch("y" * 501) == "y" * 500 + "<1 more>"
    assert sketch(list(range(25)))[-1] == "<5 more>"
