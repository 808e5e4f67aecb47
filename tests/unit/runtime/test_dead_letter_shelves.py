"""Dead letters in memory: the newest stay, as many as there is room for."""

from __future__ import annotations

from pipert2.runtime.messages import Packed
from pipert2.runtime.supervision.dead_letter_shelves import Letter, MemoryShelf


def letter(routine: str = "work", size: int = 0) -> Letter:
    return Letter(routine, "flow", Packed(bytes(size)), "", "", 1, 0, 0.0)


def test_the_oldest_letters_go_when_there_are_too_many_and_are_counted() -> None:
    shelf = MemoryShelf(most=3)
    numbers = [shelf.put(letter(name)) for name in ("a", "b", "a", "b", "a")]
    assert shelf.numbers(None) == numbers[2:]
    assert shelf.dropped == 2
    assert shelf.counts() == {"a": 2, "b": 1}
    assert shelf.take(numbers[0]) is None


def test_the_oldest_letters_go_when_they_are_too_large_but_never_the_newest() -> None:
    shelf = MemoryShelf(most_bytes=100)
    numbers = [shelf.put(letter(size=40)) for _ in range(4)]
    assert shelf.numbers(None) == numbers[2:]
    large = shelf.put(letter(size=1000))
    assert shelf.numbers(None) == [large]
    assert shelf.dropped == 4


def test_room_is_made_by_what_is_taken_and_a_letter_that_is_put_back_stays() -> None:
    shelf = MemoryShelf(most=2)
    first, second = shelf.put(letter()), shelf.put(letter())
    taken = shelf.take(first)
    assert taken is not None
    third = shelf.put(letter())
    assert (shelf.numbers(None), shelf.dropped) == ([second, third], 0)
    shelf.put_back(first, taken)
    assert (shelf.numbers(None), shelf.dropped) == ([first, third], 1)
