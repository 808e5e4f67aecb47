"""How large slots are, and when a pool takes more memory or waits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipert2.errors import SharedMemoryFullError
from pipert2.transport import pool as pool_module
from pipert2.transport.lease import MOST_VIEWS
from pipert2.transport.pool import size_class
from pipert2.transport.ring import Interrupted
from pipert2.transport.segment import PAGE

sizes = st.integers(0, 2**33)


@given(size=sizes)
def test_a_slot_is_whole_pages_and_large_enough(size: int) -> None:
    assert size_class(size) >= size
    assert size_class(size) % PAGE == 0


@given(size=st.integers(PAGE, 2**33))
def test_at_most_a_quarter_of_a_slot_is_wasted_beyond_one_page(size: int) -> None:
    assert size_class(size) - size < max(PAGE, size / 4)


@given(size=sizes)
def test_a_slots_size_is_its_own_class(size: int) -> None:
    assert size_class(size_class(size)) == size_class(size)


@given(one=sizes, other=sizes)
def test_more_data_never_gets_a_smaller_slot(one: int, other: int) -> None:
    small, large = sorted((one, other))
    assert size_class(small) <= size_class(large)


def test_there_are_four_sizes_to_each_doubling() -> None:
    classes = {size_class(size) for size in range(2**20 + 1, 2**21 + 1, 64)}
    assert len(classes) == 4


def frame(number: int, size: int = 8192) -> np.ndarray:
    return np.full(size, number % 256, np.uint8)


def test_the_slot_used_last_is_used_first_again(make_rig: Any) -> None:
    rig = make_rig("a>b")
    places = set()
    for number in range(10):
        rig.send("a", frame(number))
        places.add(rig.place_of(rig.take("a>b")))
    assert len(places) == 1


def test_a_pool_takes_memory_once_and_lives_on_it(make_rig: Any) -> None:
    rig = make_rig("a>b")
    for number in range(100):
        rig.send("a", frame(number))
        rig.take("a>b")
    assert len(rig.grown) == 1


def test_a_pool_takes_more_memory_while_all_its_slots_are_in_use(make_rig: Any) -> None:
    rig = make_rig("a>b", lossless=True, capacity=40)
    for number in range(40):
        rig.send("a", frame(number))
    assert rig.slots >= 40


def test_large_slots_are_made_one_at_a_time(make_rig: Any) -> None:
    rig = make_rig("a>b")
    rig.send("a", frame(1, 5 * 1024 * 1024))
    assert [slots for _, _, slots in rig.grown] == [1]


@pytest.mark.parametrize("lossless", [False, True])
def test_a_pool_never_takes_more_slots_than_can_be_in_use(make_rig: Any, lossless: bool) -> None:
    # Given a receiver that keeps as many views as it may and does not read on
    capacity = 6
    rig = make_rig("a>b", lossless=lossless, capacity=capacity)
    kept = []
    for number in range(200):
        if not lossless or rig.counters("a>b").queued < capacity:
            rig.send("a", frame(number, 700_000))
        if len(kept) < MOST_VIEWS:
            kept.append(rig.take("a>b"))
        elif number % 3 == 0:
            rig.take("a>b")
    # Then the pool stays within what the queue, these views and the message in hand can take
    assert rig.slots <= capacity + MOST_VIEWS + 2 + 4 + 16


def test_a_message_that_grows_gets_larger_slots(make_rig: Any) -> None:
    rig = make_rig("a>b")
    for size in (100, 5_000, 50_000, 500_000, 5_000_000):
        rig.send("a", frame(7, size))
        arrived = rig.take("a>b")
        assert arrived.size == size
        assert (arrived == 7).all()


def test_small_messages_take_no_slot(make_rig: Any) -> None:
    rig = make_rig("a>b")
    for data in (None, 5, "text", {"a": [1, 2]}, np.arange(10)):
        rig.send("a", data)
    assert rig.grown == []


def test_without_memory_for_even_one_slot_the_message_fails_with_the_sizes(make_rig: Any) -> None:
    rig = make_rig("a>b", memory=4096)
    with pytest.raises(SharedMemoryFullError, match=r"not enough shared memory: .* needed, 4\.0 KiB free") as caught:
        rig.send("a", frame(1, 100_000))
    assert caught.value.needed >= 100_000
    assert rig.counters("a>b").discarded == 1


def test_after_a_message_that_did_not_fit_smaller_ones_still_do(make_rig: Any) -> None:
    rig = make_rig("a>b", memory=5_000_000)
    with pytest.raises(SharedMemoryFullError):
        rig.send("a", frame(1, 50_000_000))
    rig.send("a", frame(2, 1000))
    assert rig.take("a>b")[0] == 2


def test_without_more_memory_a_source_waits_until_a_slot_is_given_back(make_rig: Any) -> None:
    # Given memory for one slot, which the receiver holds
    size = pool_module.STEP_BYTES
    rig = make_rig("a>b", memory=size)
    rig.send("a", frame(1, size))
    held = [rig.take("a>b")]
    # When another message is sent, and the receiver lets go only once the source waits and has been heard to
    rig.waiters["a"].on_sleep = held.clear
    rig.send("a", frame(2, size))
    # Then it has waited for that, and was rung when it came
    assert rig.waiters["a"].slept == ["a free slot"]
    assert rig.rung("a")
    assert rig.take("a>b")[0] == 2


def test_without_more_memory_a_message_of_a_new_size_goes_into_a_slot_that_is_too_large(make_rig: Any) -> None:
    size = pool_module.STEP_BYTES
    rig = make_rig("a>b", memory=size)
    rig.send("a", frame(1, size))
    held = [rig.take("a>b")]
    rig.waiters["a"].on_sleep = held.clear
    rig.send("a", frame(2, size // 4))
    assert rig.waiters["a"].slept == ["a free slot"]
    arrived = rig.take("a>b")
    assert (arrived.size, arrived[0]) == (size // 4, 2)


def test_a_source_that_waits_for_memory_can_be_told_to_stop(make_rig: Any) -> None:
    size = pool_module.STEP_BYTES
    rig = make_rig("a>b", memory=size)
    rig.send("a", frame(1, size))
    held = rig.take("a>b")
    rig.waiters["a"].stopped = True
    with pytest.raises(Interrupted):
        rig.send("a", frame(2, size))
    del held
    rig.waiters["a"].stopped = False
    rig.outlets["a"].resume()
    assert rig.take("a>b")[0] == 2


def test_a_source_does_not_wait_for_memory_for_ever(make_rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    size = pool_module.STEP_BYTES
    rig = make_rig("a>b", memory=size)
    rig.send("a", frame(1, size))
    held = rig.take("a>b")
    monkeypatch.setattr(pool_module, "LONGEST_WAIT", -1.0)
    with pytest.raises(SharedMemoryFullError):
        rig.send("a", frame(2, size))
    assert held[0] == 1
    assert rig.counters("a>b").discarded == 1


def test_who_does_not_wait_for_a_loan_gets_memory_of_its_own(make_rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given memory for two slots, one of which the receiver holds
    size = pool_module.STEP_BYTES
    kind = np.dtype("u1")
    rig = make_rig("a>b", memory=2 * size)
    rig.send("a", frame(1, size))
    held = rig.take("a>b")
    # When there is memory, then when there is none, and then when there is some again
    first = rig.outlets["a"].loan((1000,), kind, wait=False)
    second = rig.outlets["a"].loan((size,), kind, wait=False)
    rig.memory += 2 * size
    third = rig.outlets["a"].loan((size,), kind, wait=False)
    # Then it is loaned, or not, and nobody has waited; for more memory it is not asked each time
    monkeypatch.setattr(pool_module, "monotonic", lambda: float("inf"))
    fourth = rig.outlets["a"].loan((size,), kind, wait=False)
    assert [rig.place_of(one) is not None for one in (first, second, third, fourth)] == [True, False, False, True]
    assert rig.waiters["a"].slept == []
    assert held[0] == 1
