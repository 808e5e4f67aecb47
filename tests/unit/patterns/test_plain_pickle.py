"""Pickles are read without running anything in them, and come out as pickle itself would have them."""

from __future__ import annotations

import os
import pickle
import pickletools
from collections import OrderedDict
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipert2.patterns.streams.plain_pickle import PlainPickleError, Unknown, loads

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner, inner, inner)
    ),
    max_leaves=20,
)
arrays = hnp.arrays(
    hnp.integer_dtypes(endianness="?")
    | hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64))
    | hnp.unicode_string_dtypes(),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)
protocols = st.integers(0, pickle.HIGHEST_PROTOCOL)


@given(plain, protocols)
def test_plain_values_are_what_they_were(value: Any, protocol: int) -> None:
    assert loads(pickle.dumps(value, protocol)) == value


@given(arrays, protocols, st.booleans())
@settings(deadline=None)
def test_arrays_are_what_they_were(value: Any, protocol: int, fortran: bool) -> None:
    found = loads(pickle.dumps(np.asfortranarray(value) if fortran else value, protocol))
    np.testing.assert_array_equal(found, value)
    assert found.dtype == value.dtype


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_numbers_of_numpy_and_ordered_dicts_are_plain(protocol: int) -> None:
    value = OrderedDict(a=np.float64(1.5), b=[np.int32(3)])
    assert loads(pickle.dumps(value, protocol)) == {"a": 1.5, "b": [3]}


def test_what_is_shared_is_shared_once_read() -> None:
    both = np.arange(3)
    first, second = loads(pickle.dumps([both, both]))
    assert first is second


class Harmful:
    def __reduce__(self) -> Any:
        return os.mkdir, ("made-by-a-pickle",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_is_called_or_imported(protocol: int, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = loads(pickle.dumps({"x": Harmful(), "when": datetime(2026, 1, 1), "y": 1}, protocol))
    assert isinstance(found["x"], Unknown)
    assert found["when"].name == "datetime.datetime"
    assert found["y"] == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"not a pickle",
        b"\x80\x04]\x94",
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x80\x02r\xff\xff\xff\xff.",
        b"\x80\x02h\x05.",
        b"K\x01)R.",
        b"t.",
        b"(" * 1000 + b"]" * 1000 + b".",
        pickle.dumps(np.arange(9)).replace(b"K\x09\x85", b"K\x08\x85"),
        pickle.dumps([1])[:-1],
    ],
)
def test_what_is_no_pickle_is_an_error(data: bytes) -> None:
    with pytest.raises(PlainPickleError):
        loads(data)


def test_values_that_hold_one_another_many_times_take_no_time() -> None:
    many: list[Any] = []
    for _ in range(60):
        many = [many] * 10
    assert isinstance(loads(pickle.dumps(many)), list)


@given(plain, st.integers(0, 10**9), st.binary(min_size=1, max_size=3), protocols)
@settings(deadline=None)
def test_damage_is_an_error_or_a_value(value: Any, at: int, damage: bytes, protocol: int) -> None:
    data = bytearray(pickle.dumps({"x": value, "y": np.arange(3)}, protocol))
    place = at % len(data)
    data[place : place + len(damage)] = damage
    try:
        loads(bytes(data))
    except PlainPickleError:
        pass


@given(
    st.lists(
        st.sampled_from([bytes([ord(one.code)]) if len(one.code) == 1 else b"" for one in pickletools.opcodes])
        | st.binary(max_size=3),
        max_size=30,
    )
)
@settings(deadline=None)
def test_any_instructions_are_an_error_or_a_value(parts: list[bytes]) -> None:
    try:
        loads(b"".join(parts) + b".")
    except PlainPickleError:
        pass
