"""What a dead process was sent and had not begun with."""

from __future__ import annotations

import pytest

from pipert2.events.bus import EventCall
from pipert2.runtime import commands
from pipert2.runtime.supervision.unheard import Unheard, is_passed_on


@pytest.fixture
def heard() -> memoryview:
    return memoryview(bytearray(8 * 4)).cast("Q")


def event(name: str, *routines: int, number: int = 0) -> EventCall:
    return EventCall(number, name, routines, {})


def test_what_no_routine_has_begun_with_comes_back_in_order(heard):
    unheard = Unheard()
    sent = [unheard.note(event(name, 1, number=number), heard) for number, name in enumerate("abc")]
    heard[1] = sent[0].place
    assert unheard.take_back((1,), heard) == [event("b", 1, number=1), event("c", 1, number=2)]


def test_of_several_routines_only_those_get_it_again_that_had_not_begun(heard):
    unheard = Unheard()
    first, second = unheard.note(event("a", 0, 2), heard), unheard.note(event("b", 0, 1, 2), heard)
    heard[0], heard[2] = second.place, first.place
    assert unheard.take_back((0, 1, 2), heard) == [event("b", 1, 2)]


def test_the_next_process_counts_anew(heard):
    unheard = Unheard()
    heard[0] = unheard.note(event("a", 0), heard).place
    assert not unheard.take_back((0,), heard)
    assert heard[0] == 0
    again = unheard.note(event("b", 0), heard)
    assert again.place == 1
    assert unheard.take_back((0,), heard) == [event("b", 0)]
    assert not unheard.take_back((0,), heard)


def test_what_was_begun_with_is_not_kept(heard):
    unheard = Unheard()
    for _ in range(1000):
        heard[0] = unheard.note(event("a", 0), heard).place
    assert len(unheard._sent[0]) == 1


def test_a_routine_that_is_behind_keeps_nothing_of_another_one(heard):
    unheard = Unheard()
    unheard.note(event("a", 0, 1), heard)
    for _ in range(1000):
        heard[1] = unheard.note(event("b", 1), heard).place
    assert len(unheard._sent[1]) == 1
    assert unheard.take_back((0, 1), heard) == [event("a", 0)]


@pytest.mark.parametrize(
    ("name", "passed_on"),
    [
        *((name, True) for name in ("start", "stop", "kill", "unlink", "configure", "ZOOM", "parameters")),
        *((name, True) for name in (commands.PARAMETERS, commands.DRAIN, commands.GIVEN_UP)),
        *((name, False) for name in (commands.CALL, commands.REDO, commands.RESULTS, commands.OPEN, commands.PING)),
    ],
)
def test_what_its_sender_sees_to_is_not_passed_on(name, passed_on):
    assert is_passed_on(name) is passed_on
