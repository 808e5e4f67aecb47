"""Items are delivered in order, each once, and what is missing holds them up only so far."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipert2.patterns.events.order import InOrder


@given(st.permutations(range(20)))
def test_whatever_order_they_come_in_all_are_delivered_in_order(order: list[int]) -> None:
    items: InOrder[int] = InOrder()
    assert [item for number in order for item in items.put(number, number)] == list(range(20))
    assert (items.late, items.given_up, items.held) == (0, 0, 0)


@given(st.lists(st.integers(0, 30), max_size=60), st.integers(1, 8))
def test_what_is_delivered_only_grows_and_no_more_is_held_than_the_limit(order: list[int], limit: int) -> None:
    items: InOrder[int] = InOrder(limit=limit)
    delivered = []
    for number in order:
        delivered += items.put(number, number)
        assert items.held <= limit
    delivered += items.flush()
    assert delivered == sorted(set(delivered))
    assert len(delivered) + items.late == len(order)


@given(st.permutations(range(12)), st.sets(st.integers(0, 11)))
def test_numbers_that_are_skipped_hold_up_nothing(order: list[int], skipped: set[int]) -> None:
    items: InOrder[int] = InOrder()
    found = [
        item for number in order for item in (items.skip(number) if number in skipped else items.put(number, number))
    ]
    assert found == sorted(set(range(12)) - skipped)


def test_what_waits_too_long_is_delivered_without_what_is_missing() -> None:
    items: InOrder[str] = InOrder(1)
    assert items.put(3, "c", now=10.0) + items.put(5, "e", now=20.0) == []
    assert items.oldest() == 10.0
    assert items.expire(9.0) == []
    assert items.expire(10.0) == ["c"]
    assert items.put(2, "b") == []
    assert (items.late, items.given_up) == (1, 2)
    assert items.put(4, "d") == ["d", "e"]


def test_a_limit_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="limit"):
        InOrder(limit=0)
