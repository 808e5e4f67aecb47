"""STINS messages are read back as they were sent, and everything else is one clear error."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipert2.patterns.streams import stins
from pipert2.patterns.streams.stream_data import StreamData

IMAGE = {"htype": "image", "frame": 3, "shape": [2, 2], "type": "uint16", "compression": "none", "msg_number": 4}


def message(header: Any, *buffers: bytes) -> StreamData:
    return StreamData("STINS", [json.dumps(header).encode(), *buffers])


def test_the_start_has_the_filename() -> None:
    start = stins.parse(message({"htype": "header", "filename": "output/xrd.h5", "msg_number": 0, "owner": "me"}))
    assert start == stins.StinsStart("output/xrd.h5", 0)
    assert start.header["owner"] == "me"


def test_the_end_has_its_number() -> None:
    assert stins.parse([b'{"htype": "series_end", "msg_number": 10}']) == stins.StinsEnd(10)


def test_blanks_around_a_header_are_no_matter() -> None:
    parts = [b' \n{"htype": "series_end", "msg_number": 7} \n']
    assert stins.parse(parts) == stins.StinsEnd(7)


def test_something_behind_a_header_is_refused() -> None:
    with pytest.raises(stins.StinsError, match="Extra data"):
        stins.parse([b'{"htype": "series_end", "msg_number": 7} {}'])


@given(hnp.arrays(hnp.integer_dtypes() | hnp.floating_dtypes(), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)))
def test_an_image_arrives_as_it_was(image: np.ndarray) -> None:
    found = stins.parse(stins.StinsData.of(image, frame=5, msg_number=6).to_stream_data())
    assert isinstance(found, stins.StinsData)
    assert (found.frame, found.msg_number, found.shape, found.data.dtype.kind) == (5, 6, image.shape, image.dtype.kind)
    np.testing.assert_array_equal(found.data, image)
    assert not found.data.flags.writeable


def test_a_compressed_image_is_left_as_it_is() -> None:
    found = stins.parse(message({**IMAGE, "compression": "bslz4"}, b"packed"))
    assert isinstance(found, stins.StinsData)
    assert found.data.tobytes() == b"packed"


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (message(IMAGE), "not 1 parts"),
        (message(IMAGE, b"short"), "has 8 bytes, not 5"),
        (message({**IMAGE, "shape": [-2, 2]}, b"12345678"), "'shape'"),
        (message({**IMAGE, "shape": "2x2"}, b"12345678"), "'shape'"),
        (message({**IMAGE, "type": "object"}, b"12345678"), "'type'"),
        (message({**IMAGE, "type": "pixels"}, b"12345678"), "'type'"),
        (message({**IMAGE, "frame": "3"}, b"12345678"), "'frame'"),
        (message({**IMAGE, "frame": True}, b"12345678"), "'frame'"),
        (message({"htype": "header", "msg_number": 0}), "'filename'"),
        (message({"htype": "series_end"}), "'msg_number'"),
        (message({"htype": "series_end", "msg_number": 0}, b"more"), "one part"),
        (message({"htype": "bye", "msg_number": 0}), "'htype'"),
        (message([1]), "JSON object"),
        (StreamData("STINS", [b"\xff\xfe"]), "cannot be read"),
        (StreamData("STINS", [b"[" * 100_000]), "cannot be read"),
        (StreamData("STINS", []), "no parts"),
        (StreamData("xspress", [b"{}"]), "'xspress'"),
    ],
)
def test_what_is_none_is_refused_with_the_reason(stream: StreamData, reason: str) -> None:
    with pytest.raises(stins.StinsError, match="not a STINS message") as found:
        stins.parse(stream)
    assert reason in str(found.value)


SCALAR = st.sampled_from(
    [None, True, -1, 0, 2**70, 1.5, float("nan"), "", "image", "header", "uint8", "f0", "none", {}]
)
JSON = SCALAR | st.lists(SCALAR, max_size=3)


@given(
    st.dictionaries(st.sampled_from([*IMAGE, "filename"]), JSON),
    st.lists(st.binary(max_size=10), max_size=2),
)
def test_no_header_makes_it_fail_otherwise(header: dict[str, Any], buffers: list[bytes]) -> None:
    try:
        stins.parse(message(header, *buffers))
    except stins.StinsError:
        pass


@given(st.lists(st.binary(max_size=40), max_size=3))
def test_no_bytes_make_it_fail_otherwise(parts: list[bytes]) -> None:
    try:
        stins.parse(parts)
    except stins.StinsError:
        pass
