"""Data in captures: what comes back is what was recorded, and nothing is unpickled that need not be."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from pipert2 import Data
from pipert2.patterns.capture.cbor import CborError
from pipert2.patterns.capture.class_names import classes_named
from pipert2.patterns.capture.values import PickledError, UnknownTypeError, ValueDecoder, ValueEncoder

QUICK = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


class Colour(enum.Enum):
    RED = 1
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1


@dataclass
class Shot(Data):
    frame: Any
    colour: Colour = Colour.RED


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float = 0.0


class Named(NamedTuple):
    x: int
    y: Any


class Cleverer(Named):
    """More than a named tuple."""


@dataclass
class Careful:
    """Keeps to a state of its own when it is pickled."""

    value: int

    def __getstate__(self) -> Any:
        return {"value": self.value + 1}

    def __setstate__(self, state: Any) -> None:
        self.value = state["value"] - 1


def encoded(data: Any, picture: Any = None) -> tuple[bytes, list[tuple[str, bool]]]:
    met: list[tuple[str, bool]] = []
    parts, _ = ValueEncoder(lambda name, pickled: met.append((name, pickled)))(data, picture)
    return b"".join(parts), met


def back(data: Any, *, types: Iterable[type] = (), allow_pickle: bool = False) -> Any:
    raw, met = encoded(data)
    decode = ValueDecoder(classes_named((name for name, _ in met), types), allow_pickle=allow_pickle)
    return decode(memoryview(bytearray(raw)))


def same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        equal = bool(np.array_equal(one, other, equal_nan=one.dtype.kind in "fcmM"))
        return type(other) is np.ndarray and one.dtype == other.dtype and one.shape == other.shape and equal
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, Point):
        return same(one.x, other.x) and same(one.y, other.y)
    return one == other or (one != one and other != other)


ZONES = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
TIMES = (st.datetimes() | st.datetimes(timezones=ZONES)).map(lambda time: time.replace(fold=0))
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False)
    | st.binary().map(bytearray)
    | TIMES
    | st.sampled_from([*Colour, *Level])
    | st.builds(Point, st.integers(), st.floats(allow_nan=False))
)
KEYS = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.tuples(st.integers(), st.text())
DTYPES = (
    st_numpy.scalar_dtypes()
    | st_numpy.array_dtypes(allow_subarrays=True)
    | st_numpy.byte_string_dtypes()
    | st_numpy.unicode_string_dtypes()
)
ARRAYS = st_numpy.arrays(DTYPES, st_numpy.array_shapes(min_dims=0, min_side=0, max_side=4))
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.sets(st.integers() | st.text())
        | st.frozensets(st.integers())
        | st.builds(Point, inner)
    ),
    max_leaves=15,
)


@QUICK
@given(VALUES)
@example(datetime(2000, 1, 1, tzinfo=timezone(timedelta(microseconds=1))))
@example(datetime(2000, 1, 1, 5, 6, 7, 8, tzinfo=timezone(-timedelta(microseconds=999_999))))
@example(datetime(2000, 1, 1, tzinfo=timezone(timedelta(seconds=1, microseconds=1))))
def test_what_is_encoded_comes_back_and_needs_no_pickle(value: Any) -> None:
    assert same(value, back(value))


@QUICK
@given(ARRAYS, st.sampled_from(["C", "F", "reversed"]))
def test_arrays_come_back_with_dtype_and_shape(array: Any, layout: str) -> None:
    array = (
        array[::-1] if layout == "reversed" and array.ndim else np.asarray(array, order="F" if layout == "F" else "C")
    )

    found = back(array, allow_pickle=True)  # fields with titles are

    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()


@pytest.mark.parametrize("shape", [(3, 4), (200, 300)])
def test_arrays_come_back_writable_and_in_their_order(shape: tuple[int, int]) -> None:
    for array in (np.zeros(shape), np.zeros(shape, order="F")):
        found = back({"a": array})["a"]

        assert found.flags.writeable
        assert found.flags.f_contiguous == array.flags.f_contiguous


@pytest.mark.parametrize(
    ("array", "encoding"),
    [
        (np.uint8([1, 2]), "d840 42 0102"),
        (np.array([1], "<u2"), "d845 42 0100"),
        (np.array([1], ">f4"), "d851 44 3f800000"),
        (np.array([[1, 2]], "i1"), "d828 82 82 01 02 d848 42 0102"),
        (np.array([[1, 2], [3, 4]], "u1", order="F"), "d90410 82 82 02 02 d840 44 01030204"),
    ],
)
def test_arrays_are_the_typed_arrays_that_other_programs_read(array: Any, encoding: str) -> None:
    assert encoded(array)[0].hex() == encoding.replace(" ", "")


@pytest.mark.parametrize("value", [np.float32(1.5), np.uint64(2**63), np.bool_(True), np.datetime64("2026-01-02", "D")])
def test_numbers_of_numpy_come_back_as_such(value: Any) -> None:
    found = back(value)

    assert type(found) is type(value)
    assert found == value


def test_dataclasses_come_back_with_fields_and_further_attributes() -> None:
    shot = Shot(np.arange(6).reshape(2, 3), Colour.GREEN)
    shot.additional_data["at"] = Point(1.0)
    shot.extra = [1]  # type: ignore[attr-defined]

    found = back(shot)

    assert type(found) is Shot
    assert np.array_equal(found.frame, shot.frame)
    assert (found.colour, found.additional_data, found.extra) == (Colour.GREEN, {"at": Point(1.0)}, [1])


def test_classes_are_found_among_those_given_by_their_name_alone() -> None:
    @dataclass
    class Shot:
        frame: int = field(default=0)

    found = back(globals()["Shot"](5), types=[Shot, Colour])

    assert type(found) is Shot
    assert found.frame == 5


def test_data_of_a_class_that_is_not_known_names_it() -> None:
    raw, _ = encoded(Point(1.0))

    with pytest.raises(UnknownTypeError, match="test_values:Point"):
        ValueDecoder({}, allow_pickle=True)(memoryview(raw))


def test_nothing_is_imported_to_find_a_class() -> None:
    assert classes_named(["antigravity:geohash", "no.such.module:X", "pipert2:Pipe"]).keys() == {"pipert2:Pipe"}


def test_named_tuples_come_back_by_their_fields() -> None:
    made = back([Named(1, np.arange(3)), Named(2, Named(3, memoryview(b"bytes")))])
    assert [type(one) for one in made] == [Named, Named]
    assert same(made[0].y, np.arange(3))
    assert made[1] == Named(2, Named(3, b"bytes"))
    _, met = encoded(Cleverer(1, 2))
    assert [pickled for _, pickled in met] == [True]


def test_class_that_is_no_plain_dataclass_is_not_made_from_a_file() -> None:
    raw, met = encoded(Point(1.0))
    for other in (Careful, Colour, Fraction, OSError):
        with pytest.raises(CborError, match="no dataclass here"):
            ValueDecoder({met[0][0]: other}, allow_pickle=True)(memoryview(raw))


@pytest.mark.parametrize("value", [Fraction(1, 3), Careful(3), np.array([None, "x"]), "\ud800", timedelta(1)])
def test_what_only_pickle_knows_is_pickled_and_read_only_if_trusted(value: Any) -> None:
    raw, met = encoded([value])

    assert [pickled for _, pickled in met] == [True]
    with pytest.raises(PickledError):
        ValueDecoder({}, allow_pickle=False)(memoryview(raw))
    assert np.array_equal(ValueDecoder({}, allow_pickle=True)(memoryview(raw))[0], value)


def test_data_in_a_circle_is_pickled() -> None:
    circle: list[Any] = [1]
    circle.append(circle)

    found = back(circle, allow_pickle=True)

    assert found[1] is found


def test_picture_is_left_out_where_it_is_met_and_put_back() -> None:
    picture = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
    raw, met = encoded(Shot(picture), picture)

    assert len(raw) < 300
    decode = ValueDecoder(classes_named(name for name, _ in met), allow_pickle=False)
    assert np.array_equal(decode(memoryview(raw), memoryview(picture.tobytes())).frame, picture)
    with pytest.raises(CborError, match="not there"):
        decode(memoryview(raw))


@QUICK
@given(st.data())
def test_damaged_data_is_read_or_is_a_clear_error(data: st.DataObject) -> None:
    value = [
        np.arange(300),
        {"a": (1, Point(2.0)), "b": np.zeros((2, 2), "F")},
        Colour.RED,
        np.array([("x", 1)], "U3,i4"),
    ]
    raw, met = encoded(value)
    damaged = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    decode = ValueDecoder(classes_named(name for name, _ in met), allow_pickle=False)

    for message in (damaged, damaged[: data.draw(st.integers(0, len(raw)))]):
        try:
            decode(memoryview(message))
        except (CborError, UnknownTypeError, PickledError):
            pass


@QUICK
@given(st.binary(max_size=100))
def test_any_bytes_are_data_or_a_clear_error(raw: bytes) -> None:
    try:
        ValueDecoder({}, allow_pickle=False)(memoryview(raw))
    except (CborError, UnknownTypeError, PickledError):
        pass
