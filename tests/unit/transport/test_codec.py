"""Whatever a routine returns comes out of the codec as it went in."""

from __future__ import annotations

import copyreg
import datetime
import decimal
import enum
import re
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipert2 import Data
from pipert2.errors import UnsendableDataError
from pipert2.transport.codec import Encoder, dumps_plain, loads, order_of, unflatten

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


@dataclass
class Framed(Data):
    """An array and more, in a dataclass of the conventional kind."""

    frame: np.ndarray
    name: str = "none"
    boxes: list[int] = field(default_factory=list)


@dataclass(slots=True)
class SlotBeside(Framed):
    extra: int = 0


@dataclass
class OverDict(dict):  # type: ignore[type-arg]
    frame: np.ndarray


@dataclass
class OverList(list):  # type: ignore[type-arg]
    frame: np.ndarray


@dataclass
class WithState:
    frame: np.ndarray
    scratch: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {"frame": self.frame}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, scratch="restored")


@dataclass
class Checked:
    frame: np.ndarray
    made: ClassVar[int] = 0

    def __post_init__(self) -> None:
        type(self).made += 1


class Registered:
    """Has a reducer in copyreg, which says where it came from."""

    def __init__(self, value: int, origin: str = "made here") -> None:
        self.value = value
        self.origin = origin


def rebuilt(value: int) -> Registered:
    return Registered(value, "rebuilt by its reducer")


def encoded(data: Any, encoder: Encoder | None = None) -> tuple[bytes, list[np.ndarray]]:
    """The stream and the arrays beside it."""
    _, stream, beside = (encoder or Encoder())(data)
    return stream, beside


def carry(data: Any, encoder: Encoder | None = None, copy: Callable[[bytes], Any] = bytearray) -> Any:
    """Through the codec, with the arrays' memory copied as a wire does."""
    flattened, stream, beside = (encoder or Encoder())(data)
    buffers = [copy(array.tobytes(order_of(array))) for array in beside]
    return unflatten(stream, buffers) if flattened else loads(stream, buffers=buffers)


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
    stream, beside = encoded(array)
    assert len(stream) < 400
    assert [part.nbytes for part in beside] == [array.nbytes]


def test_a_contiguous_arrays_memory_is_handed_on_and_not_copied() -> None:
    array = np.zeros(1000)
    _, (beside,) = encoded(array)
    assert np.shares_memory(beside, array)


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


# ------------------------------------------------------------------------------------------------ dataclasses and dicts


def test_a_dataclass_with_arrays_arrives_with_all_its_fields_and_attributes() -> None:
    mine = Framed(np.arange(5), "left", [1, 2])
    mine.additional_data["seen"] = np.arange(3.0)
    mine.note = "not a field"  # type: ignore[attr-defined]
    arrived = carry(mine)
    assert type(arrived) is Framed
    assert same(arrived.frame, np.arange(5))
    assert (arrived.name, arrived.boxes, arrived.note) == ("left", [1, 2], "not a field")
    assert same(arrived.additional_data, {"seen": np.arange(3.0)})


def test_a_dataclass_is_not_initialised_again_on_arrival() -> None:
    mine = Checked(np.arange(3))
    before = Checked.made
    carry(mine)
    assert Checked.made == before


def test_a_slot_beside_a_dict_arrives() -> None:
    mine = SlotBeside(np.arange(3))
    mine.extra = 7
    assert carry(mine).extra == 7


def test_a_dataclass_over_a_dict_or_a_list_keeps_its_items() -> None:
    over_dict, over_list = OverDict(np.arange(3)), OverList(np.arange(3))
    over_dict["x"] = 1
    over_list.append(4)
    assert carry(over_dict)["x"] == 1
    assert carry(over_list)[0] == 4


def test_a_dataclass_that_says_how_it_is_pickled_is_heard() -> None:
    assert carry(WithState(np.arange(3), scratch="mine")).scratch == "restored"


def test_a_dict_keeps_the_order_of_its_keys_whatever_they_are() -> None:
    mine = {"b": 1, 5: np.arange(3), ("a", 1): "x", None: np.arange(2.0)}
    assert same(carry(mine), mine)


def test_a_dict_with_itself_inside_arrives() -> None:
    mine: dict[str, Any] = {"frame": np.arange(3)}
    mine["me"] = mine
    arrived = carry(mine)
    assert arrived["me"] is arrived


def test_sending_leaves_the_senders_data_as_it_was() -> None:
    mine = {"frame": np.arange(3), "boxes": [1]}
    carry(mine)
    assert same(mine, {"frame": np.arange(3), "boxes": [1]})


@pytest.mark.parametrize("deeper", [[np.arange(4)], {"x": np.arange(9)[::2]}, (np.zeros((2, 3), "M8[s]"),)])
def test_arrays_directly_in_a_dict_and_deeper_arrive_together(deeper: Any) -> None:
    encoder = Encoder()
    mine = {"frame": np.arange(100), "deeper": deeper}
    assert all(same(carry(mine, encoder), mine) for _ in range(6))


def test_what_contains_itself_arrives() -> None:
    knot: list[Any] = [1]
    knot.append(knot)
    arrived = carry(knot)
    assert arrived[1] is arrived


@pytest.mark.parametrize("wrap", [lambda data: data, lambda data: [data]], ids=["itself", "inside something"])
def test_what_is_the_same_object_twice_is_the_same_object_twice_on_arrival(wrap: Callable[[Any], Any]) -> None:
    array = np.arange(100)
    arrived = carry(wrap({"a": array, "b": array}))
    arrived = arrived if isinstance(arrived, dict) else arrived[0]
    assert arrived["a"] is arrived["b"]


def test_no_message_remembers_the_one_before() -> None:
    encoder = Encoder()
    text = "a text that pickle would remember"
    lengths = {len(encoded([text, text], encoder)[0]) for _ in range(3)}
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
    stream, beside = encoded(thing)
    assert len(stream) < 10_000
    assert len(beside) == 1


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
