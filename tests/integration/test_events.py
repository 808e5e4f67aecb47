"""Events: exactly the routines meant, in order per sender, with results, from anywhere, overtaking data."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipert2 import (
    DestinationRoutine,
    EventHandlerError,
    EventTimeoutError,
    MiddleRoutine,
    Pipe,
    PipeStateError,
    SourceRoutine,
    UnknownEventError,
    UnknownFlowError,
    UnknownRoutineError,
    UnsendableDataError,
    Wire,
    events,
)
from pipert2.testing import CollectingDestination, SlowRoutine, wait_until


class Resting(SourceRoutine):
    """A source that sends something now and then."""

    def main_logic(self) -> int:
        self.wait(0.01)
        return 1


class Flood(SourceRoutine):
    """A source that sends as fast as it can, and answers pings."""

    next = 0

    @events("PING")
    def ping(self) -> int:
        return self.next

    def main_logic(self) -> int:
        self.next += 1
        return self.next - 1


class Hears(DestinationRoutine):
    """Notes each "SAY" with its parameters."""

    def __init__(self, journal: Any, name: str) -> None:
        super().__init__(name)
        self.journal = journal

    @events("SAY")
    def say(self, *words: object, **params: object) -> str:
        self.journal.note(self.name, *params.values())
        return f"{self.name} heard {sorted(params)}"

    def main_logic(self, data: object) -> None:
        pass


class Answers(DestinationRoutine):
    """Handlers that return, raise, wait."""

    def main_logic(self, data: object) -> None:
        pass

    @events("ADD")
    def add(self, a: Any, b: Any = 1) -> Any:
        return a + b

    @events("FAIL")
    def fail(self) -> None:
        raise LookupError("there is no such lens")

    @events("HOLD")
    def hold(self, gate: Path) -> None:
        wait_until(gate.exists)
        gate.with_name("through").touch()

    @events("WHERE")
    def where(self) -> tuple[str, bool]:
        return threading.current_thread().name, self.ident == threading.get_ident()

    def setup(self) -> None:
        self.ident = threading.get_ident()

    @events("UNSENDABLE")
    def unsendable(self) -> Any:
        return threading.Lock()

    @events("UNREADABLE")
    def unreadable(self) -> Any:
        return Explosive()

    @events("TAKE")
    def take(self, **params: Any) -> Any:
        return params


class Explosive:
    """Can be packed, but not unpacked."""

    def __reduce__(self) -> Any:
        return eval, ("1 / 0",)


@pytest.fixture
def house(journal):
    """Two flows with two routines each that hear "SAY", and a source that does not."""
    pipe = Pipe()
    resting = Resting("resting")
    rooms = {name: Hears(journal, name) for name in ("kitchen", "cellar", "attic", "roof")}
    pipe.create_flow("outside", False, resting)
    pipe.create_flow("down", False, rooms["kitchen"], rooms["cellar"])
    pipe.create_flow("up", False, rooms["attic"], rooms["roof"])
    pipe.link(Wire(resting, tuple(rooms.values())))
    with pipe:
        pipe.build()
        yield pipe


@pytest.fixture
def answers(chain):
    with chain(Resting("resting"), Answers("answers")) as pipe:
        pipe.build()
        yield pipe


# ------------------------------------------------------------------------------------------------ whom they reach


@pytest.mark.parametrize(
    ("targets", "reached"),
    [
        (None, {"kitchen", "cellar", "attic", "roof"}),
        ({}, {"kitchen", "cellar", "attic", "roof"}),
        ({"down": []}, {"kitchen", "cellar"}),
        ({"down": [], "up": []}, {"kitchen", "cellar", "attic", "roof"}),
        ({"up": ["roof"]}, {"roof"}),
        ({"up": ["roof"], "down": ["kitchen"]}, {"roof", "kitchen"}),
        ({"up": ["roof", "roof"]}, {"roof"}),
    ],
)
def test_an_event_reaches_exactly_the_routines_it_is_for(house, journal, targets, reached):
    results = house.notify_event("SAY", targets, wait=60)
    assert set(results) == reached
    assert sorted(journal.lines()) == sorted(reached)
    assert all(result.error is None for result in results.values())


def test_an_event_is_handled_by_idle_and_by_running_routines(house, journal):
    house.notify_event("SAY", {"up": ["roof"]}, wait=60)
    house.notify_event("start", wait=60)
    house.notify_event("SAY", {"up": ["roof"]}, wait=60)
    house.notify_event("stop", wait=60)
    house.notify_event("SAY", {"up": ["roof"]}, wait=60)
    assert journal.lines() == ["roof"] * 3


@pytest.mark.parametrize(
    ("event", "targets", "error", "message"),
    [
        ("SAYY", None, UnknownEventError, "no handler for the event 'SAYY': did you mean 'SAY'?"),
        ("say", None, UnknownEventError, "did you mean 'SAY'?"),
        ("SAY", {"outside": []}, UnknownEventError, "flow 'outside' has no handler for the event 'SAY'"),
        ("SAY", {"outside": ["resting"]}, UnknownEventError, "routine 'resting' has no handler for the event 'SAY'"),
        ("SAY", {"dwon": []}, UnknownFlowError, "no flow 'dwon': did you mean 'down'?"),
        ("SAY", {"down": ["kitchn"]}, UnknownRoutineError, "no routine 'kitchn': did you mean 'kitchen'?"),
        ("start", {"down": ["roof"]}, UnknownRoutineError, "flow 'down' has no routine 'roof'"),
    ],
)
def test_an_unknown_name_is_an_error_that_names_the_nearest(house, journal, event, targets, error, message):
    with pytest.raises(error) as caught:
        house.notify_event(event, targets)
    assert message in str(caught.value)
    assert not journal.lines()


# ------------------------------------------------------------------------------------------------ order


def test_events_from_the_main_thread_arrive_in_order(house, journal):
    for number in range(500):
        house.notify_event("SAY", {"up": ["roof"]}, number=number)
    house.notify_event("SAY", {"up": ["roof"]}, wait=60, number="end")
    assert journal.lines() == [f"roof {number}" for number in [*range(500), "end"]]


def test_events_that_are_waited_for_and_others_keep_their_common_order(house, journal):
    for number in range(0, 60, 3):
        house.notify_event("SAY", {"up": ["roof"]}, number=number)
        house.notify_event("SAY", {"up": []}, number=number + 1)
        house.notify_event("SAY", {"up": ["roof"]}, wait=60, number=number + 2)
    heard = [line for line in journal.lines() if line.startswith("roof")]
    assert heard == [f"roof {number}" for number in range(60)]


def test_events_of_several_threads_arrive_in_each_threads_order(house, journal):
    def say(thread: int) -> None:
        for number in range(100):
            house.notify_event("SAY", {"up": ["roof"]}, thread=thread, number=number)
        house.notify_event("SAY", {"up": ["roof"]}, wait=60, thread=thread, number=100)

    threads = [threading.Thread(target=say, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for thread in range(5):
        heard = [line for line in journal.lines() if line.startswith(f"roof {thread} ")]
        assert heard == [f"roof {thread} {number}" for number in range(101)]


class Teller(Resting):
    """Tells others, from its own thread or from one it starts."""

    @events("TELL")
    def tell(self, times: int) -> None:
        for number in range(times):
            self.notify_event("SAY", {"in-hears": []}, number=number)
        self.notify_event("SAY", {"in-hears": []}, wait=60, number="end")

    @events("TELL_FROM_THREAD")
    def tell_from_thread(self, times: int) -> None:
        self.thread = threading.Thread(target=self.tell, args=(times,))
        self.thread.start()

    @events("ASK")
    def ask(self, a: int, b: int) -> int:
        return self.notify_event("ADD", {"in-answers": []}, wait=60, a=a, b=b)["answers"].unwrap()


@pytest.mark.parametrize("event", ["TELL", "TELL_FROM_THREAD"])
def test_events_sent_by_a_routine_arrive_in_order(chain, journal, event):
    with chain(Teller("teller"), Hears(journal, "hears")) as pipe:
        pipe.notify_event("start", wait=60)
        pipe.notify_event(event, wait=60, times=300)
        wait_until(lambda: journal.count("hears end"))
    assert journal.lines() == [f"hears {number}" for number in [*range(300), "end"]]


# ------------------------------------------------------------------------------------------------ results


def test_wait_gives_what_each_handler_returned(house):
    results = house.notify_event("SAY", {"down": []}, wait=60, loud=True)
    assert {name: result.unwrap() for name, result in results.items()} == {
        "kitchen": "kitchen heard ['loud']",
        "cellar": "cellar heard ['loud']",
    }
    assert all(result.routine == name for name, result in results.items())


def test_without_wait_there_is_no_result(house):
    assert house.notify_event("SAY") is None


def test_parameters_of_any_kind_arrive(answers):
    array = np.arange(12, dtype=np.uint16).reshape(3, 4)
    params = {"number": 2, "text": "zoom", "nothing": None, "nested": {"a": [1, (2, 3)]}, "blob": b"\0" * 100_000}
    result = answers.notify_event("TAKE", wait=60, array=array, function=lambda n: n + 1, **params)["answers"].unwrap()
    assert np.array_equal(result.pop("array"), array)
    assert result.pop("function")(2) == 3
    assert result == params


def test_default_parameters_hold_and_others_override_them(answers):
    assert answers.notify_event("ADD", wait=60, a=1)["answers"].unwrap() == 2
    assert answers.notify_event("ADD", wait=60, a="a", b="b")["answers"].unwrap() == "ab"


@pytest.mark.expects_errors
def test_a_handler_that_raises_is_an_error_in_its_result_only(answers):
    result = answers.notify_event("FAIL", wait=60)["answers"]
    assert result.value is None
    assert "LookupError: there is no such lens" in str(result.error)
    assert 'raise LookupError("there is no such lens")' in result.error.traceback
    with pytest.raises(EventHandlerError, match="routine 'answers' failed on event 'FAIL'"):
        result.unwrap()
    assert answers.status().routine("answers").errors == 1
    assert answers.notify_event("ADD", wait=60, a=1)["answers"].unwrap() == 2


@pytest.mark.expects_errors
def test_wrong_parameters_are_the_handlers_error(answers):
    result = answers.notify_event("ADD", wait=60, wrong=1)["answers"]
    assert "unexpected keyword argument 'wrong'" in str(result.error)
    assert answers.notify_event("ADD", wait=60, a=1)["answers"].unwrap() == 2


@pytest.mark.expects_errors
def test_a_built_in_event_with_parameters_it_does_not_know_does_no_harm(answers):
    answers.notify_event("start", wait=60, fast=True)
    answers.notify_event("unlink", {"in-resting": []}, wait=60, bogus=1)
    answers.notify_event("unlink", {"in-resting": []}, wait=60, unlink_routine_name=[])
    answers.notify_event("stop", wait=60, slowly=True)
    assert {routine.state for routine in answers.status().routines} == {"idle"}


def test_a_handler_that_takes_too_long_is_a_time_out_and_is_carried_out_all_the_same(answers, tmp_path):
    result = answers.notify_event("HOLD", wait=0.05, gate=tmp_path / "gate")["answers"]
    assert isinstance(result.error, EventTimeoutError)
    assert "may still" in str(result.error)
    (tmp_path / "gate").touch()
    assert answers.notify_event("ADD", wait=60, a=1)["answers"].unwrap() == 2
    assert (tmp_path / "through").exists()


def test_no_time_to_wait_is_a_time_out_and_a_negative_one_a_mistake(answers, tmp_path):
    result = answers.notify_event("HOLD", wait=0, gate=tmp_path / "gate")["answers"]
    (tmp_path / "gate").touch()
    assert isinstance(result.error, EventTimeoutError)
    with pytest.raises(ValueError, match="0 or more, not -1"):
        answers.notify_event("HOLD", wait=-1, gate=tmp_path / "gate")


def test_one_late_routine_does_not_take_the_others_answers(chain, tmp_path):
    resting, quick, late = Resting("resting"), Answers("quick"), Answers("late")
    with Pipe() as pipe:
        for routine in (resting, quick, late):
            pipe.create_flow(routine.name, False, routine)
        pipe.link(Wire(resting, (quick, late)))
        pipe.notify_event("HOLD", {"late": []}, gate=tmp_path / "gate")
        for wait in (0.2, 2.0, 20.0):  # a busy machine may hold up the quick one as well
            results = pipe.notify_event("ADD", {"quick": [], "late": []}, wait=wait, a=1)
            if results["quick"].error is None:
                break
        (tmp_path / "gate").touch()
    assert results["quick"].unwrap() == 2
    assert isinstance(results["late"].error, EventTimeoutError)


def test_parameters_that_cannot_be_sent_are_the_callers_error(answers):
    with pytest.raises(UnsendableDataError, match="event 'TAKE'"):
        answers.notify_event("TAKE", wait=60, lock=threading.Lock())
    assert answers.notify_event("ADD", wait=60, a=1)["answers"].unwrap() == 2


def test_a_result_that_cannot_be_sent_is_an_error_in_the_result(answers):
    result = answers.notify_event("UNSENDABLE", wait=60)["answers"]
    assert "cannot" in str(result.error)
    assert not isinstance(result.error, EventTimeoutError)


@pytest.mark.expects_errors
def test_what_cannot_be_unpacked_on_arrival_is_an_error_in_the_result(answers):
    for result in (
        answers.notify_event("UNREADABLE", wait=60)["answers"],
        answers.notify_event("TAKE", wait=60, bomb=Explosive())["answers"],
    ):
        assert not isinstance(result.error, EventTimeoutError)
        assert "ZeroDivisionError" in str(result.error)
    assert answers.notify_event("ADD", wait=60, a=1)["answers"].unwrap() == 2


def test_concurrent_callers_get_each_their_own_results(answers):
    wrong: list[Any] = []

    def call(number: int) -> None:
        for step in range(30):
            result = answers.notify_event("ADD", wait=60, a=number * 1000, b=step)["answers"].unwrap()
            if result != number * 1000 + step:
                wrong.append(result)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_handlers_run_in_the_routines_own_thread(answers):
    answers.notify_event("start", wait=60)
    name, own = answers.notify_event("WHERE", wait=60)["answers"].unwrap()
    assert own
    assert "answers" in name


# ------------------------------------------------------------------------------------------------ handlers and classes


class Base(DestinationRoutine):
    def main_logic(self, data: object) -> None:
        pass

    @events("NAME")
    def tell_name(self) -> str:
        return "base"

    @events("KIND")
    def tell_kind(self) -> str:
        return "base"


class Derived(Base):
    def tell_kind(self) -> str:
        return f"derived from {super().tell_kind()}"

    @events("BOTH")
    def one(self) -> int:
        return 1

    @events("BOTH")
    def two(self) -> int:
        return 2

    @events("RED")
    @events("GREEN")
    def colour(self) -> str:
        return "coloured"


class Outer:
    class Nested(Base):
        class Deeper(Derived):
            pass


@pytest.mark.parametrize(
    ("routine", "answers"),
    [
        (
            Derived,
            {"NAME": "base", "KIND": "derived from base", "BOTH": (1, 2), "RED": "coloured", "GREEN": "coloured"},
        ),
        (Outer.Nested, {"NAME": "base", "KIND": "base"}),
        (Outer.Nested.Deeper, {"NAME": "base", "KIND": "derived from base", "BOTH": (1, 2)}),
    ],
)
def test_handlers_are_inherited_overridden_and_found_on_nested_classes(chain, routine, answers):
    with chain(Resting("resting"), routine("sink")) as pipe:
        for event, answer in answers.items():
            assert pipe.notify_event(event, wait=60)["sink"].unwrap() == answer


# ------------------------------------------------------------------------------------------------ from routines


def test_a_routine_asks_another_flow_and_gets_its_answer(chain):
    with chain(Teller("teller"), Answers("answers")) as pipe:
        pipe.notify_event("start", wait=60)
        assert pipe.notify_event("ASK", wait=60, a=2, b=3)["teller"].unwrap() == 5


class Asker(MiddleRoutine):
    """Asks somebody about each number it gets."""

    def main_logic(self, data: int) -> int:
        return self.notify_event("ADD", {"in-answers": ["answers"]}, wait=60, a=data, b=100)["answers"].unwrap()


class Numbers(SourceRoutine):
    next = 0

    def main_logic(self) -> int | None:
        if self.next >= 5:
            self.wait(10)
            return None
        self.next += 1
        return self.next


class AnsweringCollector(CollectingDestination):
    @events("ADD")
    def add(self, a: int, b: int) -> int:
        return a + b


def test_main_logic_can_wait_for_the_answer_of_the_routine_behind_it(chain):
    answers = AnsweringCollector("answers")
    with chain(Numbers("numbers"), Asker("asker"), answers, lossless=True) as pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: answers.items() == [101, 102, 103, 104, 105])


class Impatient(Resting):
    @events("ASK_MYSELF")
    def ask_myself(self) -> str:
        try:
            self.notify_event("ASK_MYSELF", wait=60)
        except PipeStateError as error:
            return str(error)
        return "no error"

    @events("MISTAKES")
    def mistakes(self) -> list[str]:
        found = []
        for event, targets in (("NOPE", None), ("ASK_MYSELF", {"nowhere": []}), ("ASK_MYSELF", {"in-me": ["you"]})):
            try:
                self.notify_event(event, targets)
            except LookupError as error:  # pragma: no cover - not what it raises
                found.append(str(error))
            except Exception as error:
                found.append(type(error).__name__)
        return found


def test_a_routine_that_would_wait_for_itself_is_told_so(chain):
    with chain(Impatient("me"), CollectingDestination("sink")) as pipe:
        assert "would wait for itself" in pipe.notify_event("ASK_MYSELF", wait=60)["me"].unwrap()


def test_unknown_names_are_errors_inside_routines_as_well(chain):
    with chain(Impatient("me"), CollectingDestination("sink")) as pipe:
        mistakes = pipe.notify_event("MISTAKES", wait=60)["me"].unwrap()
    assert mistakes == ["UnknownEventError", "UnknownFlowError", "UnknownRoutineError"]


# ------------------------------------------------------------------------------------------------ ahead of data


class UntilTold(MiddleRoutine):
    """Works on each message until there is an event for it, and says how many it had when it handled one."""

    had = 0

    def main_logic(self, data: Any) -> Any:
        self.had += 1
        self.wait(600)
        return data

    @events("HOW_FAR")
    def how_far(self) -> int:
        return self.had


def test_an_event_overtakes_the_data_that_waits(chain):
    with chain(Flood("flood"), UntilTold("slow"), CollectingDestination("seen"), lossless=True) as pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().wire("flood", "slow").queued >= 32)
        handled_at = [pipe.notify_event("HOW_FAR", wait=60)["slow"].unwrap() for _ in range(5)]
    # behind the message in hand, or before the next one is taken
    assert all(had <= number for number, had in enumerate(handled_at, 1)), handled_at


def test_stop_under_full_load_acts_within_the_message_in_hand(chain):
    with chain(Flood("flood"), UntilTold("slow"), CollectingDestination("seen"), lossless=True) as pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().wire("flood", "slow").queued >= 32)
        pipe.notify_event("stop", {"in-slow": []}, wait=60)
        slow = pipe.status().routine("slow")
        assert (slow.state, slow.received) == ("idle", 1)
        assert pipe.status().wire("flood", "slow").queued > 0


def test_stop_and_kill_of_a_flood_on_real_time_wires_do_not_hang(chain):
    with chain(Flood("flood"), SlowRoutine(0.001, "slow"), CollectingDestination("seen")) as pipe:
        for _ in range(5):
            pipe.notify_event("start", wait=60)
            wait_until(lambda: pipe.status().wire("flood", "slow").dropped)
            pipe.notify_event("stop", wait=60)
            assert {routine.state for routine in pipe.status().routines} == {"idle"}
        pipe.notify_event("start", wait=60)
        pipe.notify_event("kill", wait=60)
        wait_until(lambda: all(flow.state == "ended" for flow in pipe.status().flows))


def test_a_source_that_waits_for_room_answers_events_and_stops(chain):
    seen = CollectingDestination("seen")
    with chain(Flood("flood"), SlowRoutine(600, "stuck"), seen, lossless=True, kill_timeout=0.1) as pipe:
        pipe.notify_event("start", wait=60)
        wait_until(
            lambda: pipe.status().routine("stuck").received and pipe.status().wire("flood", "stuck").queued == 64
        )
        wait_until(lambda: pipe.status().wire("flood", "stuck").blocked)
        answers = [pipe.notify_event("PING", wait=60)["flood"].unwrap() for _ in range(3)]
        assert len(set(answers)) == 1
        pipe.notify_event("stop", {"in-flood": []}, wait=60)
        assert pipe.status().routine("flood").state == "idle"
        pipe.notify_event("start", {"in-flood": []}, wait=60)
        wait_until(lambda: pipe.status().wire("flood", "stuck").blocked)
        assert pipe.notify_event("PING", wait=60)["flood"].unwrap() == answers[0]


class Dozing(Resting):
    """Sleeps ten minutes at a time, but lightly."""

    @events("WAKE")
    def wake(self) -> str:
        return "awake"

    def main_logic(self) -> int:
        self.wait(600)
        return 1


def test_routine_wait_is_cut_short_by_events_and_by_stop(chain):
    with chain(Dozing("dozing"), CollectingDestination("seen")) as pipe:
        pipe.notify_event("start", wait=60)
        assert pipe.notify_event("WAKE", wait=60)["dozing"].unwrap() == "awake"
        assert pipe.notify_event("WAKE", wait=60)["dozing"].unwrap() == "awake"
        pipe.notify_event("stop", wait=60)
        assert pipe.status().routine("dozing").state == "idle"
