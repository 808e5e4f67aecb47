"""Packed images are unpacked to what they were, and damaged ones are one clear error, never a crash."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipert2.patterns.capture.cbor import Tagged
from pipert2.patterns.streams import eiger_legacy, eiger_simplon
from pipert2.patterns.streams.compression import raw_lz4, unpacked
from pipert2.patterns.streams.messages import Data, Malformed, ProtocolError
from tests import stream_messages as sent

h5py: Any = pytest.importorskip("h5py")
hdf5plugin: Any = pytest.importorskip("hdf5plugin")
lz4_block: Any = pytest.importorskip("lz4.block")

U2 = np.dtype("<u2")


def bslz4(values: Any) -> bytes:
    """As a detector packs it: what HDF5's own filter has written."""
    with h5py.File("made", "w", driver="core", backing_store=False) as file:
        made = file.create_dataset(
            "x", values.shape, values.dtype, chunks=values.shape, **hdf5plugin.Bitshuffle(nelems=0, cname="lz4")
        )
        made[...] = values
        _, packed = made.id.read_direct_chunk((0,) * values.ndim)
    return bytes(packed)


def lz4(values: Any, block: int) -> bytes:
    raw = values.tobytes()
    found = sent.hdf5_header(len(raw), block)
    for at in range(0, len(raw), block):
        packed = lz4_block.compress(raw[at : at + block], store_size=False)
        packed = packed if len(packed) < len(raw[at : at + block]) else raw[at : at + block]
        found += len(packed).to_bytes(4, "big") + packed
    return found


def values_of(size: int, dtype: Any) -> Any:
    return (np.arange(size) % 251 // 50).astype(dtype)


@pytest.mark.parametrize("dtype", ["u1", "<u2", "<u4", "<f8"])
@pytest.mark.parametrize("size", [1, 7, 8, 15, 4096, 50_003])
def test_bitshuffled_elements_are_what_they_were(size: int, dtype: str) -> None:
    values = values_of(size, dtype)
    found = unpacked(bslz4(values), "bslz4", values.dtype)
    np.testing.assert_array_equal(found, values)
    assert found.dtype == values.dtype


@pytest.mark.parametrize("block", [64, 1000, 1 << 20])
def test_lz4_blocks_are_what_they_were(block: int) -> None:
    for values in (values_of(5000, U2), np.random.default_rng(0).integers(0, 65535, 5000).astype(U2)):
        np.testing.assert_array_equal(unpacked(lz4(values, block), "lz4", U2), values)


def test_packed_images_of_eiger_detectors_are_read() -> None:
    raw_block = lz4_block.compress(sent.IMAGE.tobytes(), store_size=False)
    for packed, encoding in ((bslz4(sent.IMAGE), "bs32-lz4<"), (raw_block, "lz4<")):
        found = eiger_legacy.parse(sent.eiger_image(0, packed, encoding))
        assert isinstance(found, Data)
        np.testing.assert_array_equal(found.data, sent.IMAGE)
    for packed, algorithm in ((bslz4(sent.IMAGE), "bslz4"), (lz4(sent.IMAGE, 64), "lz4")):
        image = eiger_simplon.parse([sent.simplon_image(0, Tagged(56500, [algorithm, 4, packed]))])
        assert isinstance(image, Data)
        np.testing.assert_array_equal(image.data["threshold_1"], sent.IMAGE)


def test_an_unknown_way_of_packing_is_said() -> None:
    with pytest.raises(ProtocolError, match="'zstd'"):
        eiger_simplon.parse([sent.simplon_image(0, Tagged(56500, ["zstd", 4, b"12345678901234567890"]))])


def test_a_header_that_promises_too_much_is_refused_before_there_is_room_for_it() -> None:
    with pytest.raises(Malformed, match="cannot be"):
        unpacked(sent.hdf5_header(1 << 40, 8192) + bytes(100), "lz4", U2)
    with pytest.raises(Malformed, match="cannot be"):
        raw_lz4(bytes(10), 1 << 40)


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_damaged_lz4_is_an_error(data: st.DataObject) -> None:
    packed = bytearray(lz4(values_of(500, U2), 256))
    for _ in range(data.draw(st.integers(1, 3))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    try:
        unpacked(bytes(packed[: data.draw(st.integers(0, len(packed)))]), "lz4", U2)
    except Malformed:
        pass


DAMAGE = """
import random, sys
import numpy as np
from pipert2.patterns.streams.compression import unpacked
from pipert2.patterns.streams.messages import Malformed
from tests.unit.patterns.test_compression import bslz4, values_of
chance = random.Random(int(sys.argv[1]))
good = bslz4(values_of(20_000, "<u2"))
for _ in range(int(sys.argv[2])):
    packed = bytearray(good)
    for _ in range(chance.randint(1, 6)):
        packed[chance.randrange(len(packed))] = chance.randrange(256)
    try:
        unpacked(bytes(packed), "bslz4", np.dtype("<u2"))
    except Malformed:
        pass
"""


def test_damaged_bitshuffled_elements_do_not_bring_the_process_down() -> None:
    done = subprocess.run([sys.executable, "-c", DAMAGE, "1", "500"], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
