"""Arenas: blocks and bells under short keys, in this process or in POSIX shared memory."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipert2.errors import SharedMemoryFullError
from pipert2.transport.memory import Fence, PrivateArena, SharedArena, unlink_memory, unlink_semaphore
from pipert2.transport.segment import PAGE, Segments, create_segment


@pytest.fixture
def prefix() -> str:
    return f"pr2-test{os.getpid():08x}{secrets.token_hex(2)}"


@pytest.fixture(params=["private", "shared"])
def arena(request: pytest.FixtureRequest, prefix: str) -> Iterator[Any]:
    made = PrivateArena() if request.param == "private" else SharedArena(prefix)
    yield made
    made.close()


def test_a_new_block_is_all_zeros(arena: Any) -> None:
    assert not any(arena.create("x", 4096).view)


def test_a_block_has_the_size_asked_for(arena: Any) -> None:
    assert arena.create("x", 5000 * 8).size == 40_000


def test_who_opens_a_block_sees_what_is_written_to_it(arena: Any) -> None:
    made = arena.create("x", 4096)
    opened = arena.open("x")
    made.words[3] = 77
    assert opened.words[3] == 77
    opened.view[0:2] = b"hi"
    assert bytes(made.view[0:2]) == b"hi"


def test_a_word_holds_64_bits(arena: Any) -> None:
    words = arena.create("x", 4096).words
    words[0] = (1 << 64) - 1
    assert words[0] == (1 << 64) - 1
    assert words[1] == 0


def test_a_bell_that_was_rung_wakes_at_once(arena: Any) -> None:
    bell = arena.bell("b", create=True)
    bell.ring()
    assert bell.wait(10.0)


def test_a_bell_rung_through_another_handle_wakes(arena: Any) -> None:
    bell = arena.bell("b", create=True)
    arena.bell("b").ring()
    assert bell.wait(10.0)


def test_a_bell_that_was_not_rung_does_not_wake(arena: Any) -> None:
    assert not arena.bell("b", create=True).wait(0.0)


def test_a_bell_wakes_a_waiting_thread(arena: Any) -> None:
    bell = arena.bell("b", create=True)
    woken: list[bool] = []
    thread = threading.Thread(target=lambda: woken.append(bell.wait(30.0)))
    thread.start()
    bell.ring()
    thread.join(30.0)
    assert woken == [True]


def test_a_block_can_be_closed_while_an_array_looks_at_it(arena: Any) -> None:
    block = arena.create("x", 4096)
    array = np.frombuffer(block.view, np.uint8)
    block.close()
    assert array[0] == 0


def test_closing_an_arena_twice_is_fine(arena: Any) -> None:
    arena.create("x", 4096)
    arena.bell("b", create=True)
    arena.close()
    arena.close()


def test_a_closed_shared_arena_leaves_nothing(prefix: str) -> None:
    arena = SharedArena(prefix)
    arena.create("x", 4096)
    arena.bell("b", create=True)
    arena.close()
    assert [file.name for file in Path("/dev/shm").iterdir() if prefix in file.name] == []


def test_two_arenas_of_one_prefix_are_the_same_memory(prefix: str) -> None:
    arena, other = SharedArena(prefix), SharedArena(prefix)
    try:
        arena.create("x", 4096).words[0] = 5
        assert other.open("x").words[0] == 5
        other.close()
        assert arena.open("x").words[0] == 5
    finally:
        arena.close()


def test_more_memory_than_there_is_says_how_much_was_needed_and_leaves_nothing(prefix: str) -> None:
    arena = SharedArena(prefix)
    needed = arena.free_bytes() + (1 << 30)
    with pytest.raises(SharedMemoryFullError) as caught:
        arena.create("x", needed)
    assert caught.value.needed == needed
    assert "Make it larger" in str(caught.value)
    assert [file.name for file in Path("/dev/shm").iterdir() if prefix in file.name] == []


def test_unlinking_what_is_not_there_says_so(prefix: str) -> None:
    assert not unlink_memory(f"/{prefix}.none")
    assert not unlink_semaphore(f"/{prefix}.none")


def test_a_fence_can_be_crossed_again_and_again() -> None:
    fence = Fence()
    for _ in range(3):
        fence()


# ------------------------------------------------------------------------------------------------ segments


@pytest.fixture
def segments(arena: Any) -> Segments:
    for number in range(3):
        create_segment(arena, number, owner=7, columns=2, slot_size=2 * PAGE, slots=4)
    known = Segments(arena, lambda owner: arena.bell(f"b{owner}", create=True))
    for number in range(3):
        known.get(number)
    return known


def test_a_segment_tells_what_it_was_made_with(segments: Segments) -> None:
    segment = segments.get(1)
    assert (segment.owner, segment.columns, segment.slot_size, segment.slots) == (7, 2, 2 * PAGE, 4)


def test_slots_and_their_words_do_not_overlap(segments: Segments) -> None:
    segment = segments.get(0)
    words = [segment.given(slot) + column for slot in range(4) for column in range(2)]
    words += [segment.hold(slot) + column for slot in range(4) for column in range(2)]
    assert len(set(words)) == len(words)
    assert max(words) * 8 < segment.start(0)
    assert [segment.start(slot + 1) - segment.start(slot) for slot in range(3)] == [2 * PAGE] * 3
    assert segment.start(3) + 2 * PAGE <= segment.size


def test_slots_start_on_pages(segments: Segments) -> None:
    assert all(segments.get(0).start(slot) % PAGE == 0 for slot in range(4))


def test_views_of_slots_are_read_only(segments: Segments) -> None:
    assert not segments.get(0).bytes_of(0, 0, 10).flags.writeable
