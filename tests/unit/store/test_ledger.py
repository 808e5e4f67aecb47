"""Dead letters, runs, triggers' states and acknowledged ids are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipert2 import StoreError
from pipert2.store import DeadLetter, RunOutcome, Store
from pipert2.testing import VirtualClock


@pytest.fixture
def store(tmp_path: Path) -> Any:
    clock = VirtualClock(50.0)
    with Store(tmp_path / "run.db", now=clock.now) as store:
        yield store


def bury(store: Store, message: str = "m-1", routine: str = "work", **changes: Any) -> int:
    fields = {"attempts": 3, "error": "ValueError: boom", "traceback": "Traceback ..."} | changes
    return store.dead_letters.add("flow", routine, message, {"n": message}, **fields)


def test_a_dead_letter_keeps_what_is_known_of_the_message(store: Store) -> None:
    letter = bury(store)
    assert store.dead_letters.list() == [
        DeadLetter(letter, "flow", "work", "m-1", 3, 50.0, None, "ValueError: boom", "Traceback ...", {"n": "m-1"})
    ]
    assert store.dead_letters.get(letter) == store.dead_letters.list()[0]


def test_a_message_given_up_twice_is_one_letter(store: Store) -> None:
    first = bury(store)
    assert bury(store, attempts=4) == first
    assert [letter.attempts for letter in store.dead_letters.list()] == [4]


def test_a_requeued_letter_is_not_dead_until_it_fails_again(store: Store) -> None:
    letter = bury(store)
    assert store.dead_letters.requeue(letter).data == {"n": "m-1"}
    assert store.dead_letters.count() == 0
    assert len(store.dead_letters.list(requeued=True)) == 1
    bury(store, attempts=6)
    assert [found.id for found in store.dead_letters.list()] == [letter]


def test_a_requeued_letter_that_was_dealt_with_is_gone(store: Store) -> None:
    store.dead_letters.requeue(bury(store))
    assert store.dead_letters.settle("work", "m-1")
    assert not store.dead_letters.settle("work", "m-1")
    assert store.dead_letters.list(requeued=True) == []


def test_a_letter_requeued_before_a_crash_is_dead_again(store: Store) -> None:
    store.dead_letters.requeue(bury(store))
    with Store(store.path) as again:
        assert again.dead_letters.unqueue() == 1
        assert again.dead_letters.count() == 1


def test_a_letter_cannot_be_requeued_twice_nor_one_that_is_not_there(store: Store) -> None:
    letter = bury(store)
    store.dead_letters.requeue(letter)
    with pytest.raises(StoreError, match=f"was requeued already: dead letter {letter}"):
        store.dead_letters.requeue(letter)
    with pytest.raises(StoreError, match="there is no dead letter 99"):
        store.dead_letters.requeue(99)


def test_letters_are_listed_by_routine_and_in_pages(store: Store) -> None:
    letters = [bury(store, f"m-{number}") for number in range(5)]
    other = bury(store, routine="other")
    assert [letter.id for letter in store.dead_letters.list("work", limit=2)] == letters[:2]
    assert [letter.id for letter in store.dead_letters.list("work", after=letters[1], limit=2)] == letters[2:4]
    assert [letter.id for letter in store.dead_letters.list("other")] == [other]
    assert store.dead_letters.count("work") == 5


def test_letters_can_be_dropped(store: Store) -> None:
    letter = bury(store)
    bury(store, "m-2", "other")
    assert store.dead_letters.drop(letter)
    assert not store.dead_letters.drop(letter)
    assert store.dead_letters.drop_all() == 1


def test_an_error_that_is_no_text_is_kept(store: Store) -> None:
    bury(store, error="\ud800")
    assert store.dead_letters.list()[0].error == "\\ud800"


def test_a_run_and_its_trigger_are_kept_together(store: Store) -> None:
    run = store.runs.begin("watch", due=49.0, state={"fires": 1, "running": True})
    assert (run.number, run.outcome) == (1, RunOutcome.RUNNING)
    assert store.trigger_state("watch") == {"fires": 1, "running": True}
    store.runs.end(run, RunOutcome.COMPLETED, state={"fires": 1, "running": False})
    assert store.trigger_state("watch") == {"fires": 1, "running": False}
    assert [(found.number, found.outcome) for found in store.runs.list("watch")] == [(1, RunOutcome.COMPLETED)]


def test_runs_that_never_ended_were_interrupted(store: Store) -> None:
    store.runs.end(store.runs.begin("watch", 1.0), RunOutcome.FAILED, "ValueError: no")
    store.runs.begin("watch", 2.0)
    store.runs.begin("other", 2.0)
    assert store.runs.interrupt("watch") == 1
    assert [found.outcome for found in store.runs.list("watch")] == [RunOutcome.INTERRUPTED, RunOutcome.FAILED]
    assert [found.outcome for found in store.runs.list("other")] == [RunOutcome.RUNNING]


def test_only_the_last_thousand_runs_are_kept(store: Store) -> None:
    with store.together():
        for number in range(1010):
            store.runs.end(store.runs.begin("watch", float(number)), RunOutcome.COMPLETED)
    runs = store.runs.list("watch", limit=5000)
    assert (len(runs), runs[0].number, runs[-1].number) == (1000, 1010, 11)


def test_a_routine_that_never_ran_has_no_state(store: Store) -> None:
    assert store.trigger_state("watch") is None
    assert store.runs.list("watch") == []


def test_acknowledged_ids_are_known(store: Store) -> None:
    assert store.acknowledged.add("source", ["a", "b", 3]) == 3
    assert store.acknowledged.add("source", ["b", "c"]) == 1
    assert store.acknowledged.has("source", "a")
    assert store.acknowledged.has("source", 3)
    assert not store.acknowledged.has("source", "3")
    assert not store.acknowledged.has("other", "a")
    assert store.acknowledged.count("source") == 4


def test_acknowledged_ids_can_be_forgotten(store: Store) -> None:
    store.acknowledged.add("source", ["a"])
    store.acknowledged.add("other", ["a"])
    assert store.acknowledged.forget("source", before=10.0) == 0
    assert store.acknowledged.forget("source") == 1
    assert store.acknowledged.has("other", "a")


def test_dead_letters_of_a_pipe_are_found_counted_and_dropped_apart_from_others(store: Store) -> None:
    own = [bury(store, f"m-{number}", pipe="shop", run="r1", origin=number) for number in range(3)]
    other = bury(store, "m-9", pipe="mill", routine="grind")
    letters = store.dead_letters
    assert [(one.pipe, one.run, one.origin) for one in letters.list(pipe="shop")] == [
        ("shop", "r1", n) for n in range(3)
    ]
    assert letters.ids(pipe="shop") == own
    assert letters.ids("grind") == [other]
    assert letters.counts("shop") == {"work": 3}
    assert (letters.count(pipe="mill"), letters.count("work", pipe="mill")) == (1, 0)


def test_one_letter_or_those_of_a_pipe_become_dead_again(store: Store) -> None:
    first, second = bury(store, "m-1", pipe="shop"), bury(store, "m-2", pipe="shop")
    other = bury(store, "m-3", pipe="mill")
    letters = store.dead_letters
    for letter in (first, second, other):
        letters.requeue(letter)
    assert letters.unqueue(second) == 1
    assert letters.ids() == [second]
    assert letters.unqueue(pipe="shop") == 1
    assert letters.ids() == [first, second]
    assert (letters.unqueue(second), letters.unqueue()) == (0, 1)
