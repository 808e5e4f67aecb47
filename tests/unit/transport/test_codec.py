"""Whatever a routine returns comes out of the codec as it went in."""

from __future__ import annotations

import copyreg
import datetime
import decimal
import enum
import re
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipert2.errors import UnsendableDataError
from pipert2.transport.codec import Encoder, dumps_plain, loads

QUICK = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


class Colour(enum.Enum):
    RED = 1


class Point(NamedTuple):
    x: float
    y: float


@dataclass(frozen=True)
class Reading:
    name: str
    values: np.ndarray


class Registered:
    """Has a reducer in copyreg, which says where it came from."""

    def __init__(self, value: int, origin: str = "made here") -> None:
        self.value = value
        self.origin = origin


def rebuilt(value: int) -> Registered:
    return Registered(value, "rebuilt by its reducer")


def carry(data: Any, encoder: Encoder | None = None, copy: Callable[[memoryview], Any] = bytearray) -> Any:
    """Through the codec, with the buffers copied as a wire does."""
    stream, buffers = (encoder or Encoder())(data)
    return loads(stream, buffers=[copy(buffer.raw()) for buffer in buffers])


def _home(one: np.ndarray, other: np.ndarray) -> bool:
    """NumPy's own pickling, which empty arrays go through, turns datetimes of the other byte order into native ones."""
    return one.size == 0 and one.dtype.newbyteorder("=") == other.dtype.newbyteorder("=")


def same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        if one.shape != other.shape or (one.dtype != other.dtype and not _home(one, other)):
            return False
        return one.tolist() == other.tolist() if one.dtype.hasobject else one.tobytes() == other.tobytes()
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple | deque):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


# ------------------------------------------------------------------------------------------------ arrays

LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda a: a,
    "Fortran": np.asfortranarray,
    "transposed": lambda a: a.T,
    "every second": lambda a: a[tuple(slice(None, None, 2) for _ in a.shape)] if a.ndim else a,
    "backwards": lambda a: a[tuple(slice(None, None, -1) for _ in a.shape)] if a.ndim else a,
    "axes swapped": lambda a: np.swapaxes(a, 0, -1) if a.ndim > 1 else a,
    "broadcast": lambda a: np.broadcast_to(a, (3, *a.shape)),
}

scalar_dtypes = (
    hnp.scalar_dtypes() | hnp.complex_number_dtypes(endianness=">") | hnp.unicode_string_dtypes(endianness=">")
)
dtypes = scalar_dtypes | hnp.nested_dtypes(subtype_strategy=scalar_dtypes, max_itemsize=100)
arrays = dtypes.flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5), fill=st.nothing())
)


@QUICK
@given(array=arrays, layout=st.sampled_from(sorted(LAYOUTS)))
def test_an_array_of_any_type_shape_and_layout_arrives_equal(array: np.ndarray, layout: str) -> None:
    laid_out = LAYOUTS[layout](array)
    assert same(carry(laid_out), np.asarray(laid_out))


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
@pytest.mark.parametrize("dtype", ["u1", "<f8", ">i4", "?", "c16", "S3", "U3", "M8[ns]", "m8[s]", "O", "i2,f4", "V5"])
def test_every_kind_of_element_survives_every_layout(dtype: str, layout: str) -> None:
    array = np.zeros((4, 6, 2), dtype)
    if dtype not in ("V5", "i2,f4"):
        array[...] = np.arange(48).reshape(4, 6, 2).astype(dtype)
    laid_out = LAYOUTS[layout](array)
    assert same(carry(laid_out), np.asarray(laid_out))


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3, 0), (1,), (1, 1, 1)])
@pytest.mark.parametrize("dtype", ["u1", "f8", ">f8", "M8[s]", "O", "i2,f4"])
def test_scalars_and_empty_arrays_keep_their_shape_and_type(shape: tuple[int, ...], dtype: str) -> None:
    array = np.zeros(shape, dtype)
    arrived = carry(array)
    assert (arrived.shape, arrived.dtype) == (array.shape, array.dtype)


def test_fortran_order_is_kept() -> None:
    assert carry(np.asfortranarray(np.arange(12).reshape(3, 4))).flags.f_contiguous


def test_an_aligned_structured_array_keeps_its_padding() -> None:
    dtype = np.dtype([("flag", "?"), ("value", "f8"), ("name", "U4")], align=True)
    array = np.array([(True, 1.5, "ab"), (False, -2.0, "wxyz")], dtype)
    arrived = carry(array)
    assert arrived.dtype == dtype
    assert arrived.tolist() == array.tolist()


def test_a_record_array_stays_one() -> None:
    array = np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])
    arrived = carry(array)
    assert type(arrived) is np.recarray
    assert arrived.a.tolist() == [1]


def test_a_masked_array_keeps_its_mask() -> None:
    array = np.ma.array([1, 2, 3], mask=[0, 1, 0])
    assert carry(array).tolist() == [1, None, 3]


def test_metadata_of_a_dtype_does_not_matter() -> None:
    array = np.zeros(3, np.dtype("f8", metadata={"unit": "m"}))
    assert carry(array).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("layout", ["as it is", "Fortran", "transposed", "every second", "axes swapped"])
def test_an_arrays_memory_travels_beside_the_stream(layout: str) -> None:
    array = LAYOUTS[layout](np.zeros((100, 200, 3), np.uint8))
    stream, buffers = Encoder()(array)
    assert len(stream) < 400
    assert [buffer.raw().nbytes for buffer in buffers] == [array.nbytes]


def test_a_contiguous_arrays_memory_is_handed_on_and_not_copied() -> None:
    array = np.zeros(1000)
    _, buffers = Encoder()(array)
    assert np.shares_memory(np.frombuffer(buffers[0].raw()), array)


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(np.frombuffer(b"abc", np.uint8), id="over bytes"),
        pytest.param(np.frombuffer(b"abcdefgh", ">f4"), id="big-endian over bytes"),
        pytest.param(np.frombuffer(b"abcdefgh", "u1,u1,u2,f4"), id="structured over bytes"),
        pytest.param(np.broadcast_to(np.arange(3), (4, 3)), id="broadcast"),
        pytest.param(np.asfortranarray(np.frombuffer(bytes(12), "u1").reshape(3, 4)), id="Fortran"),
    ],
)
def test_what_was_read_only_at_the_source_can_be_written_to_in_a_private_copy(array: np.ndarray) -> None:
    arrived = carry(array, copy=bytearray)
    assert arrived.flags.writeable
    assert same(arrived, np.asarray(array))


def test_an_array_over_a_read_only_buffer_is_read_only() -> None:
    assert not carry(np.zeros(10), copy=bytes).flags.writeable


# ------------------------------------------------------------------------------------------------ everything else

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=200)
    | st.binary(max_size=20).map(bytearray)
    | st.complex_numbers(allow_nan=False)
    | st.datetimes()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.sampled_from(Colour)
    | st.frozensets(st.integers(), max_size=4)
    | hnp.arrays(st.sampled_from(["u1", ">f4", "M8[s]", "i2,f4"]), hnp.array_shapes(max_dims=3, max_side=6))
)
data = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(st.text(max_size=5), inner, max_size=5)
        | st.dictionaries(st.text(max_size=5), inner, max_size=5).map(OrderedDict)
        | st.lists(inner, max_size=5).map(deque)
    ),
    max_leaves=20,
)


@QUICK
@given(items=st.lists(data, max_size=5))
def test_any_nesting_of_containers_arrives_equal_message_after_message(items: list[Any]) -> None:
    encoder = Encoder()
    assert same([carry(item, encoder) for item in items], items)


@pytest.mark.parametrize(
    "value",
    [
        Point(1.0, 2.0),
        Colour.RED,
        decimal.Decimal("1.50"),
        datetime.timedelta(seconds=3),
        range(3),
        slice(1, 2),
        Ellipsis,
        np.float32(1.5),
        np.datetime64("2020-01-01"),
        np.dtype("i2,f4"),
        defaultdict(list, a=[1]),
        re.compile("a+", re.IGNORECASE),
        int,
        len,
        ValueError("no"),
    ],
    ids=repr,
)
def test_plain_python_values_arrive(value: Any) -> None:
    arrived = carry(value)
    assert type(arrived) is type(value)
    assert str(arrived) == str(value)


def test_what_contains_itself_arrives() -> None:
    knot: list[Any] = [1]
    knot.append(knot)
    arrived = carry(knot)
    assert arrived[1] is arrived


def test_what_is_the_same_object_twice_is_the_same_object_twice_on_arrival() -> None:
    array = np.arange(100)
    arrived = carry({"a": array, "b": array})
    assert arrived["a"] is arrived["b"]


def test_no_message_remembers_the_one_before() -> None:
    encoder = Encoder()
    text = "a text that pickle would remember"
    lengths = {len(encoder([text, text])[0]) for _ in range(3)}
    assert len(lengths) == 1


def test_a_reducer_registered_with_copyreg_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(copyreg.dispatch_table, Registered, lambda thing: (rebuilt, (thing.value,)))
    assert carry(Registered(5)).origin == "rebuilt by its reducer"


def test_a_compiled_pattern_does_not_take_the_slow_way() -> None:
    encoder = Encoder()
    carry(re.compile("x"), encoder)
    assert encoder.by_value == 0


# ------------------------------------------------------------------------------------------------ by value


def test_an_object_of_a_local_class_travels_by_value() -> None:
    class Local:
        def __init__(self, array: np.ndarray) -> None:
            self.array = array

        def total(self) -> float:
            return float(self.array.sum())

    assert carry(Local(np.arange(4.0))).total() == 6.0


def test_a_lambda_travels_by_value() -> None:
    factor = 3
    assert carry(lambda x: factor * x)(2) == 6


def test_an_object_of_a_module_that_cannot_be_imported_travels_by_value() -> None:
    scratch: dict[str, Any] = {"__name__": "a_module_that_exists_nowhere"}
    exec("class Thing:\n    def __init__(self, x): self.x = x", scratch)
    assert carry(scratch["Thing"](7)).x == 7


def test_arrays_travel_beside_the_stream_by_value_as_well() -> None:
    class Local:
        array = None

    thing = Local()
    thing.array = np.zeros(10_000)
    stream, buffers = Encoder()(thing)
    assert len(stream) < 10_000
    assert len(buffers) == 1


def test_an_encoder_works_on_after_a_message_that_went_by_value() -> None:
    encoder = Encoder()
    array = np.arange(1000)
    results = [carry(item, encoder) for item in (array, lambda: None, {"again": array})]
    assert same(results[0], array)
    assert same(results[2]["again"], array)


def test_what_cannot_be_pickled_at_all_says_so_with_its_type() -> None:
    with pytest.raises(
        UnsendableDataError, match=r"data of type generator cannot be sent to another process: TypeError"
    ):
        Encoder()(item for item in [])


def test_an_encoder_works_on_after_data_that_cannot_be_sent() -> None:
    encoder = Encoder()
    with pytest.raises(UnsendableDataError):
        encoder([np.zeros(100), (item for item in [])])
    assert same(carry(np.arange(3), encoder), np.arange(3))


# ------------------------------------------------------------------------------------------------ control messages


def test_a_control_message_is_one_stream_arrays_included() -> None:
    arrived = loads(dumps_plain({"a": np.arange(5)}))
    assert same(arrived, {"a": np.arange(5)})


def test_a_control_message_may_contain_a_lambda() -> None:
    assert loads(dumps_plain(lambda: 5))() == 5


def test_a_control_message_that_cannot_be_pickled_says_so() -> None:
    with pytest.raises(UnsendableDataError, match="generator"):
        dumps_plain(item for item in [])
