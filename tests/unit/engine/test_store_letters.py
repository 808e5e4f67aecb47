"""Dead letters of several sites in one store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipert2 import EventHandlerError, Store
from pipert2.engine.store_letters import StoreLetters
from pipert2.errors import UnknownDeadLetterError
from pipert2.runtime.messages import Packed
from pipert2.runtime.supervision.dead_letter_shelves import Letter, SentShelf
from pipert2.transport.codec import dumps_plain


def letter(data: object, routine: str = "detector") -> Letter:
    return Letter(routine, "flow", Packed(dumps_plain(data)), "too much", "", 1, 7, time.time())


class Routines:
    """Works on letters, and is told which are gone."""

    def __init__(self) -> None:
        self.done: list[tuple[object, str]] = []
        self.gone: list[tuple[int, str]] = []
        self.fails = False

    def redo(self, number: int, one: Letter, wait: float) -> None:
        if self.fails:
            raise EventHandlerError("detector", f"dead letter {number}", "still too much")
        assert one.data is not None
        self.done.append((one.data.open(), one.site))

    def forget(self, number: int, one: Letter) -> None:
        self.gone.append((number, one.site))


@pytest.fixture
def routines() -> Routines:
    return Routines()


@pytest.fixture
def letters(tmp_path: Path, routines: Routines) -> Iterator[StoreLetters]:
    with Store(tmp_path / "run.db") as store:
        made = StoreLetters(store, "pipe", routines.redo, routines.forget)
        yield made
        made.close()


def test_letters_of_all_sites_are_listed_under_one_numbering(letters: StoreLetters) -> None:
    first, second = letters.keep("edge", letter(1)), letters.keep("lab", letter(2))
    assert [(one.number, one.data, one.earlier) for one in letters.list(None, 0, None)] == [
        (first, 1, False),
        (second, 2, False),
    ]
    assert letters.counts() == {"detector": 2}


def test_a_letter_goes_back_to_the_site_that_gave_it_up_which_is_told_when_it_is_done(
    letters: StoreLetters, routines: Routines
) -> None:
    number = letters.keep("edge", letter({"frame": 3}))
    letters.requeue(number, 5.0)
    assert routines.done == [({"frame": 3}, "edge")]
    assert routines.gone == [(number, "edge")]
    assert letters.numbers(None) == []


def test_a_letter_that_fails_again_is_kept(letters: StoreLetters, routines: Routines) -> None:
    number = letters.keep("edge", letter(1))
    routines.fails = True
    assert letters.requeue_all(None, 5.0).failed == {number: "still too much"}
    assert letters.numbers("detector") == [number]
    assert not routines.gone


def test_a_letter_that_is_not_there_is_named(letters: StoreLetters) -> None:
    number = letters.keep("edge", letter(1))
    assert letters.drop_all("detector") == (number,)
    with pytest.raises(UnknownDeadLetterError, match=str(number)):
        letters.drop(number)


def test_a_later_run_knows_the_letters_of_each_site_as_earlier_ones(tmp_path: Path, routines: Routines) -> None:
    with Store(tmp_path / "run.db") as store:
        first = StoreLetters(store, "pipe", routines.redo, routines.forget)
        number = first.keep("edge", letter(1))
        first.close()
        second = StoreLetters(store, "pipe", routines.redo, routines.forget)
        assert [(one.number, one.earlier) for one in second.list(None, 0, None)] == [(number, True)]
        second.requeue(number, 5.0)
        second.close()
    assert routines.done == [(1, "edge")]


def test_a_site_remembers_which_letters_are_its_own_and_not_what_is_in_them() -> None:
    kept: list[Letter] = []
    shelf = SentShelf(lambda one: kept.append(one) or 41)  # type: ignore[func-returns-value]
    assert shelf.put(letter("large")) == 41
    assert [one.data for one in kept] != [None]
    remembered = shelf.take(41)
    assert remembered is not None
    assert remembered.data is None
    assert shelf.take(41) is None
