"""The fakes that users get for their own tests."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from pipert2 import EndOfStream
from pipert2.testing import (
    CollectingDestination,
    FailingRoutine,
    ListSource,
    SlowRoutine,
    VirtualClock,
    wait_until,
)


def drained(source: ListSource, most: int = 100) -> list[Any]:
    source.setup()
    found = []
    while len(found) < most:
        try:
            found.append(source.main_logic())
        except EndOfStream:
            break
    return found


def test_a_list_source_sends_its_items_and_ends() -> None:
    assert drained(ListSource([1, 2, 3])) == [1, 2, 3]


def test_a_list_source_that_repeats_never_ends() -> None:
    assert drained(ListSource([1, 2], repeat=True), most=5) == [1, 2, 1, 2, 1]


def test_a_list_source_begins_anew_with_each_start() -> None:
    source = ListSource([1, 2])
    assert drained(source) == drained(source) == [1, 2]


def test_a_list_source_takes_any_iterable_once() -> None:
    assert drained(ListSource(number * number for number in range(3))) == [0, 1, 4]


def collected(items: list[Any]) -> CollectingDestination:
    seen = CollectingDestination()
    seen.setup()
    for item in items:
        seen.main_logic(item)
    return seen


def test_a_collecting_destination_keeps_what_it_gets_in_order() -> None:
    seen = collected([1, "two", {"three": 3}])
    seen.cleanup()
    assert seen.items() == [1, "two", {"three": 3}]


def test_what_was_collected_can_be_read_while_more_comes() -> None:
    seen = collected([1])
    assert seen.items() == [1]
    seen.main_logic(2)
    assert seen.items() == [1, 2]
    seen.cleanup()


def test_what_was_collected_by_a_copy_in_another_process_can_be_read_here() -> None:
    seen = CollectingDestination("seen")
    there = pickle.loads(pickle.dumps(seen))
    there.setup()
    there.main_logic("from there")
    there.cleanup()
    assert seen.items() == ["from there"]


def test_an_item_that_was_cut_off_is_not_read() -> None:
    seen = collected([1, 2])
    seen.cleanup()
    seen.path.write_bytes(seen.path.read_bytes()[:-1])
    assert seen.items() == [1]


def test_a_collecting_destination_removes_its_file_in_the_end() -> None:
    seen = collected([1])
    seen.cleanup()
    path = seen.path
    del seen
    assert not path.exists()


def test_a_failing_routine_fails_as_told_and_passes_on_the_rest() -> None:
    failing = FailingRoutine(lambda data: data > 2)
    assert failing.main_logic(2) == 2
    with pytest.raises(ValueError, match="3 fails, as it was told to"):
        failing.main_logic(3)


def test_a_slow_routine_passes_on_what_it_gets_and_its_delay_can_be_changed() -> None:
    slow = SlowRoutine(1000.0)
    slow.set_delay(0.0)
    assert slow.main_logic("data") == "data"


def test_waiting_returns_what_came_true() -> None:
    answers = iter([None, 0, "", "here"])
    assert wait_until(lambda: next(answers)) == "here"


def test_waiting_in_vain_says_for_what() -> None:
    never: Callable[[], bool] = lambda: False  # noqa: E731
    with pytest.raises(TimeoutError, match="the moon did not come true within 0 s"):
        wait_until(never, timeout=0.0, what="the moon")


def test_a_virtual_clock_moves_only_when_told() -> None:
    clock = VirtualClock(10.0)
    assert clock.now() == clock.now() == 10.0
    clock.advance(0.25)
    assert clock.now() == 10.25
