"""How a message is laid out: in the cell, in one slot, or in many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipert2.errors import UnreadableDataError, UnsendableDataError
from pipert2.graph.transmitter import BasicTransmitter, DataTransmitter, SharedMemoryTransmitter
from pipert2.transport.envelope import CELL, HEAD, ROOM
from pipert2.transport.ring import Interrupted

TRANSMITTERS = [
    pytest.param(BasicTransmitter(), id="basic"),
    pytest.param(SharedMemoryTransmitter(0), id="all views"),
    pytest.param(SharedMemoryTransmitter(5000), id="large views"),
]
EDGES = [
    0,
    1,
    63,
    64,
    65,
    ROOM - 200,
    ROOM - 1,
    ROOM,
    ROOM + 1,
    CELL,
    CELL + 1,
    1023,
    1024,
    4095,
    4096,
    4097,
    65_537,
    10**6,
]


def pattern(size: int, seed: int = 0) -> np.ndarray:
    return ((np.arange(size) * 7 + seed) % 251).astype(np.uint8)


@pytest.mark.parametrize("transmitter", TRANSMITTERS)
@pytest.mark.parametrize("size", EDGES)
def test_an_array_of_any_size_arrives(make_rig: Any, transmitter: DataTransmitter, size: int) -> None:
    rig = make_rig("a>b", transmitter=transmitter)
    rig.send("a", pattern(size))
    assert np.array_equal(rig.take("a>b"), pattern(size))


@pytest.mark.parametrize("size", EDGES)
def test_bytes_of_any_size_arrive(make_rig: Any, size: int) -> None:
    rig = make_rig("a>b")
    rig.send("a", pattern(size).tobytes())
    assert rig.take("a>b") == pattern(size).tobytes()


def test_the_largest_stream_that_fits_into_a_cell_arrives_and_the_next_one_too(make_rig: Any) -> None:
    rig = make_rig("a>b")
    for length in range(ROOM - 40, ROOM + 10):
        rig.send("a", "x" * length)
        assert rig.take("a>b") == "x" * length


@pytest.mark.parametrize("transmitter", TRANSMITTERS)
@pytest.mark.parametrize("count", [2, 5, 18, 19, 20, 21, 40, 300])
@pytest.mark.parametrize("size", [0, 3, 2000])
def test_many_arrays_in_one_message_arrive(make_rig: Any, transmitter: DataTransmitter, count: int, size: int) -> None:
    rig = make_rig("a>b", transmitter=transmitter)
    rig.send("a", [pattern(size, seed) for seed in range(count)])
    arrived = rig.take("a>b")
    assert len(arrived) == count
    assert all(np.array_equal(array, pattern(size, seed)) for seed, array in enumerate(arrived))


def test_many_arrays_take_one_slot_together(make_rig: Any) -> None:
    rig = make_rig("a>b")
    rig.send("a", [pattern(2000, seed) for seed in range(300)])
    assert len(rig.grown) == 1
    assert len({place for array in rig.take("a>b") if (place := rig.place_of(array)) is not None}) == 1


def test_arrays_from_many_slots_in_one_message_arrive(make_rig: Any) -> None:
    # Given a middle that holds more frames, each in a slot of its own, than a cell has places for
    names = [f"s{number}" for number in range(30)]
    rig = make_rig(" ".join(f"{name}>m" for name in names) + " m>z")
    held = []
    for number, name in enumerate(names):
        rig.send(name, pattern(1500, number))
        held.append(rig.take(f"{name}>m"))
    # When it sends them all at once
    rig.send("m", held)
    # Then all arrive, those without a place left as copies
    arrived = rig.take("m>z")
    assert all(np.array_equal(array, pattern(1500, number)) for number, array in enumerate(arrived))
    del held, arrived
    assert rig.taken_slots("m>z") == 0


def test_a_long_stream_and_many_arrays_arrive_together(make_rig: Any) -> None:
    rig = make_rig("a>b")
    data = {"text": "x" * 100_000, "arrays": [pattern(100, seed) for seed in range(50)], "more": pattern(10_000)}
    rig.send("a", data)
    arrived = rig.take("a>b")
    assert arrived["text"] == data["text"]
    assert all(np.array_equal(one, other) for one, other in zip(arrived["arrays"], data["arrays"], strict=True))
    assert np.array_equal(arrived["more"], data["more"])


def test_arrays_start_on_cache_lines(make_rig: Any) -> None:
    rig = make_rig("a>b")
    rig.send("a", [pattern(size) for size in (1001, 1, 4000, 77)])
    addresses = [array.__array_interface__["data"][0] for array in rig.take("a>b")]
    offsets = [address - min(addresses) for address in addresses]
    assert [offset % 64 for offset in offsets] == [0, 0, 0, 0]


small = st.recursive(
    st.integers() | st.text(max_size=300) | st.binary(max_size=600) | st.integers(0, 3000).map(pattern),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=4), inner, max_size=6),
    max_leaves=12,
)


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(items=st.lists(small, min_size=1, max_size=6), views=st.sampled_from([None, 0, 200]))
def test_any_mixture_arrives_in_order_on_a_lossless_edge(make_rig: Any, items: list[Any], views: int | None) -> None:
    transmitter = BasicTransmitter() if views is None else SharedMemoryTransmitter(views)
    rig = make_rig("a>b", lossless=True, capacity=6, transmitter=transmitter)
    for item in items:
        rig.send("a", item)
    assert equal(rig.take_all("a>b"), items)


# ------------------------------------------------------------------------------------------------ how it arrives


@pytest.mark.parametrize("size", [10, 1000, 100_000])
def test_basic_receivers_get_arrays_they_may_change(make_rig: Any, basic: Any, size: int) -> None:
    rig = make_rig("a>b", transmitter=basic)
    rig.send("a", pattern(size))
    rig.take("a>b")[0] = 99


@pytest.mark.parametrize("size", [10, 1000, 100_000])
@pytest.mark.parametrize("dtype", ["u1", "f8", ">i4", "M8[s]", "i2,f4", "?"])
def test_shared_memory_receivers_get_arrays_they_cannot_change(make_rig: Any, dtype: str, size: int) -> None:
    rig = make_rig("a>b", transmitter=SharedMemoryTransmitter(5000))
    rig.send("a", np.zeros(size, dtype))
    assert not rig.take("a>b").flags.writeable


@pytest.mark.parametrize("size", [10, 1000, 100_000])
def test_an_array_received_read_only_is_private_and_writable_behind_a_basic_wire(make_rig: Any, size: int) -> None:
    rig = make_rig("a>b b>c", transmitter={"b>c": BasicTransmitter()})
    rig.send("a", pattern(size))
    rig.send("b", rig.take("a>b"))
    arrived = rig.take("b>c")
    arrived[0] = 99
    assert np.array_equal(arrived[1:], pattern(size)[1:])


def test_an_array_under_the_threshold_arrives_as_a_copy_and_one_above_as_a_view(make_rig: Any) -> None:
    rig = make_rig("a>b", transmitter=SharedMemoryTransmitter(5000))
    rig.send("a", [pattern(4999), pattern(5000)])
    small_one, large_one = rig.take("a>b")
    assert rig.place_of(small_one) is None
    assert rig.place_of(large_one) is not None


def test_two_edges_of_one_source_may_have_different_transmitters(make_rig: Any, basic: Any) -> None:
    rig = make_rig("a>b a>c", transmitter={"a>b": basic})
    rig.send("a", pattern(10_000))
    assert rig.take("a>b").flags.writeable
    assert not rig.take("a>c").flags.writeable


# -------------------------------------------------------------------------------------------- transmitters of one's own


class Doubling(DataTransmitter):
    def transmit(self) -> Callable[[Any], Any]:
        return lambda data: [data, data]

    def receive(self) -> Callable[[Any], Any]:
        return lambda data: data[0] + data[1]


class Refusing(DataTransmitter):
    def transmit(self) -> Callable[[Any], Any]:
        def refuse(data: Any) -> Any:
            raise OSError("the disk is full")

        return refuse


class Garbling(DataTransmitter):
    def receive(self) -> Callable[[Any], Any]:
        def fail(data: Any) -> Any:
            raise KeyError("not there")

        return fail


def test_a_transmitter_of_ones_own_makes_what_travels_and_what_arrives(make_rig: Any) -> None:
    rig = make_rig("a>b", transmitter=Doubling())
    rig.send("a", 21)
    assert rig.take("a>b") == 42


def test_each_edge_is_transmitted_in_its_own_way(make_rig: Any, basic: Any) -> None:
    rig = make_rig("a>b a>c a=d", transmitter={"a>b": Doubling(), "a>c": basic})
    rig.send("a", 21)
    assert [rig.take(edge) for edge in ("a>b", "a>c", "a=d")] == [42, 21, 21]


def test_a_transmitter_that_fails_to_transmit_is_counted_and_the_others_get_the_message(make_rig: Any) -> None:
    rig = make_rig("a>b a>c", transmitter={"a>b": Refusing()})
    with pytest.raises(OSError, match="the disk is full"):
        rig.send("a", 1)
    assert rig.take("a>c") == 1
    assert rig.counters("a>b").sent + rig.counters("a>b").discarded == 1


def test_a_transmitter_that_fails_to_receive_says_whose_message_it_was(make_rig: Any) -> None:
    rig = make_rig("a>b", transmitter=Garbling())
    rig.send("a", 1)
    with pytest.raises(UnreadableDataError, match="a message from 'a' cannot be read here: KeyError: 'not there'"):
        rig.take("a>b")


def test_a_receiver_goes_on_after_a_message_it_cannot_read(make_rig: Any) -> None:
    rig = make_rig("a>b", transmitter=Garbling(), lossless=True, capacity=3)
    rig.send("a", pattern(10_000))
    with pytest.raises(UnreadableDataError):
        rig.take("a>b")
    assert rig.take_message("a>b") is None
    assert rig.taken_slots("a>b") == 0


# ------------------------------------------------------------------------------------------------ failures and waiting


def test_data_that_cannot_be_sent_is_counted_on_every_edge(make_rig: Any) -> None:
    rig = make_rig("a>b a>c a=d")
    with pytest.raises(UnsendableDataError):
        rig.send("a", (item for item in []))
    assert [rig.counters(edge).discarded for edge in ("a>b", "a>c", "a=d")] == [1, 1, 1]


def test_data_that_cannot_be_sent_to_other_flows_is_fine_within_one(make_rig: Any) -> None:
    rig = make_rig("a=b")
    rig.send("a", (item for item in [5]))
    assert list(rig.take("a=b")) == [5]


def test_a_full_lossless_edge_does_not_hold_up_real_time_ones(make_rig: Any) -> None:
    rig = make_rig("a>slow a>fast", lossless={"a>slow": True})
    rig.send("a", 1)
    rig.waiters["a"].stopped = True
    with pytest.raises(Interrupted):
        rig.send("a", 2)
    assert rig.take("a>fast") == 2


@pytest.mark.parametrize("size", [10, 20_000])
def test_a_message_interrupted_between_two_edges_reaches_each_once(make_rig: Any, size: int) -> None:
    # Given a source with an open and a full lossless edge
    rig = make_rig("a>b a>c", lossless=True, capacity={"a>b": 5, "a>c": 1})
    rig.send("a", pattern(size, 1))
    # When it is told to stop while it waits for the full one, and later goes on
    rig.waiters["a"].stopped = True
    with pytest.raises(Interrupted):
        rig.send("a", pattern(size, 2))
    rig.waiters["a"].stopped = False
    first = rig.take("a>c")
    rig.outlets["a"].resume()
    # Then both have both messages, in order and once
    assert [int(array[0]) for array in rig.take_all("a>b")] == [1, 2]
    assert [int(array[0]) for array in (first, *rig.take_all("a>c"))] == [1, 2]


def test_a_slot_of_a_message_that_waits_to_be_resumed_is_not_reused(make_rig: Any) -> None:
    rig = make_rig("a>b a>c", lossless={"a>b": True})
    rig.send("a", pattern(20_000, 1))
    rig.take("a>c")
    rig.waiters["a"].stopped = True
    with pytest.raises(Interrupted):
        rig.send("a", pattern(20_000, 2))
    rig.take("a>c")
    rig.waiters["a"].stopped = False
    assert np.array_equal(rig.take("a>b"), pattern(20_000, 1))
    rig.outlets["a"].resume()
    assert np.array_equal(rig.take("a>b"), pattern(20_000, 2))


def test_an_edge_unlinked_while_its_message_waits_gets_it_no_more(make_rig: Any) -> None:
    rig = make_rig("a>b a>c", lossless=True)
    rig.send("a", 1)
    rig.waiters["a"].stopped = True
    with pytest.raises(Interrupted):
        rig.send("a", 2)
    rig.outlets["a"].unlink(rig.names.index("b"))
    rig.waiters["a"].stopped = False
    rig.take("a>c")
    rig.outlets["a"].resume()
    assert rig.take_all("a>b") == [1]
    assert rig.take_all("a>c") == [2]


def test_a_transformed_message_interrupted_between_two_edges_reaches_each_once(make_rig: Any) -> None:
    rig = make_rig("a>b a>c", lossless=True, capacity={"a>b": 1, "a>c": 5}, transmitter={"a>b": Doubling()})
    rig.send("a", 1)
    rig.waiters["a"].stopped = True
    with pytest.raises(Interrupted):
        rig.send("a", 2)
    rig.waiters["a"].stopped = False
    first = rig.take("a>b")
    rig.outlets["a"].resume()
    assert [first, *rig.take_all("a>b")] == [2, 4]
    assert rig.take_all("a>c") == [1, 2]


def test_large_messages_fill_a_lossless_edge_before_its_capacity_does(make_rig: Any) -> None:
    rig = make_rig("a>b", lossless=True, capacity=64)
    fits = 32 * 1024 * 1024 // 5_000_000
    for number in range(fits):
        rig.send("a", pattern(5_000_000, number))
    with pytest.raises(AssertionError, match="would wait for ever for room"):
        rig.send("a", pattern(5_000_000))


def test_two_messages_may_always_wait_however_large(make_rig: Any) -> None:
    rig = make_rig("a>b", lossless=True, capacity=64)
    for number in range(2):
        rig.send("a", pattern(20_000_000, number))
    assert rig.counters("a>b").queued == 2


def test_a_head_says_what_is_in_a_cell() -> None:
    assert HEAD.size == 32
    assert CELL - HEAD.size == ROOM
