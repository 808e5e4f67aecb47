"""The event bus: what is delivered, what comes back, and what happens when nothing does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from pipert2 import EventHandlerError, EventResult, EventTimeoutError
from pipert2.events.bus import EventBus, EventCall
from pipert2.graph.routine import RoutineKind
from pipert2.graph.spec import PipeSpec, RoutineSpec
from pipert2.testing import wait_until

ROUTINES = (
    RoutineSpec(0, "left", "cameras", RoutineKind.ANY, ("ZOOM",)),
    RoutineSpec(1, "right", "cameras", RoutineKind.ANY, ("ZOOM",)),
    RoutineSpec(2, "blur", "work", RoutineKind.ANY, ("ZOOM",)),
)
SPEC = PipeSpec("shop", {"cameras": (0, 1), "work": (2,)}, ROUTINES, (), 1.0)


class Flows:
    """Stands for the processes: notes what is delivered and answers as it is told."""

    def __init__(
        self, answering: Callable[[EventBus, EventCall], object] | None = None, dead: Sequence[str] = ()
    ) -> None:
        self.delivered: list[tuple[str, EventCall]] = []
        self.answering = answering
        self.dead = dead
        self.bus = EventBus(SPEC, self.deliver)

    def deliver(self, flow: str, call: EventCall) -> bool:
        self.delivered.append((flow, call))
        if flow in self.dead:
            return False
        if self.answering is not None:
            self.answering(self.bus, call)
        return True


def echo(bus: EventBus, call: EventCall) -> None:
    for index in call.routines:
        bus.answer(call.number, index, (SPEC.routines[index].name, call.params), None)


def test_an_event_goes_to_each_flow_once_with_its_routines() -> None:
    flows = Flows()
    flows.bus.send("ZOOM", ROUTINES, {"factor": 2})
    assert [(flow, call.name, call.routines, call.params) for flow, call in flows.delivered] == [
        ("cameras", "ZOOM", (0, 1), {"factor": 2}),
        ("work", "ZOOM", (2,), {"factor": 2}),
    ]


def test_all_whom_an_event_goes_to_are_known_before_one_of_them_gets_it() -> None:
    said: list[object] = []

    def deliver(flow: str, call: EventCall) -> bool:
        said.append(flow)
        return True

    bus = EventBus(SPEC, deliver, begin=lambda name, routines: said.append((name, [one.name for one in routines])))
    bus.send("kill", ROUTINES, {})
    assert said == [("kill", ["left", "right", "blur"]), "cameras", "work"]


def test_an_event_that_nobody_waits_for_has_no_number() -> None:
    flows = Flows()
    flows.bus.send("ZOOM", ROUTINES, {})
    assert {call.number for _, call in flows.delivered} == {0}


def test_events_of_one_sender_are_delivered_in_order() -> None:
    flows = Flows()
    for number in range(100):
        flows.bus.send(f"E{number}", ROUTINES[:1], {})
    assert [call.name for _, call in flows.delivered] == [f"E{number}" for number in range(100)]


def test_a_call_gives_what_each_handler_returned_by_name_in_order() -> None:
    results = Flows(echo).bus.call("ZOOM", ROUTINES, {"factor": 2}, wait=30.0)
    assert list(results) == ["left", "right", "blur"]
    assert results["blur"] == EventResult("blur", ("blur", {"factor": 2}))
    assert results["left"].unwrap() == ("left", {"factor": 2})


def test_a_handler_that_raised_gives_its_error() -> None:
    def failing(bus: EventBus, call: EventCall) -> None:
        bus.answer(call.number, 0, None, ("ValueError: too close", "Traceback ..."))

    result = Flows(failing).bus.call("ZOOM", ROUTINES[:1], {}, wait=30.0)["left"]
    with pytest.raises(EventHandlerError) as caught:
        result.unwrap()
    assert str(caught.value) == "routine 'left' failed on event 'ZOOM': ValueError: too close"
    assert caught.value.traceback == "Traceback ..."


def test_one_failing_handler_does_not_keep_the_others_results() -> None:
    def mixed(bus: EventBus, call: EventCall) -> None:
        for index in call.routines:
            bus.answer(call.number, index, index, ("no", "") if index == 1 else None)

    results = Flows(mixed).bus.call("ZOOM", ROUTINES, {}, wait=30.0)
    assert [result.error is None for result in results.values()] == [True, False, True]


def test_a_handler_that_does_not_answer_in_time_gives_a_time_out() -> None:
    result = Flows().bus.call("ZOOM", ROUTINES[:1], {}, wait=0.0)["left"]
    assert isinstance(result.error, EventTimeoutError)
    assert str(result.error) == (
        "routine 'left' failed on event 'ZOOM': it did not answer in time; it may still do what was asked"
    )


def test_who_answered_in_time_is_heard_even_if_others_did_not() -> None:
    def half(bus: EventBus, call: EventCall) -> None:
        bus.answer(call.number, call.routines[0], "here", None)

    results = Flows(half).bus.call("ZOOM", ROUTINES[:2], {}, wait=0.0)
    assert results["left"].unwrap() == "here"
    assert isinstance(results["right"].error, EventTimeoutError)


def test_a_flow_without_a_process_fails_at_once() -> None:
    results = Flows(echo, dead=["work"]).bus.call("ZOOM", ROUTINES, {}, wait=30.0)
    assert results["left"].error is None
    assert str(results["blur"].error) == "routine 'blur' failed on event 'ZOOM': its flow has no living process"


def test_a_flow_that_dies_fails_what_waits_for_it() -> None:
    flows = Flows()
    box: list[dict[str, EventResult]] = []
    flows.bus.start_call("ZOOM", ROUTINES, {}, 30.0, box.append)
    flows.bus.fail([0, 1], "its flow died")
    assert box == []
    flows.bus.answer(1, 2, "fine", None)
    assert [str(result.error) if result.error else result.value for result in box[0].values()] == [
        "routine 'left' failed on event 'ZOOM': its flow died",
        "routine 'right' failed on event 'ZOOM': its flow died",
        "fine",
    ]


def test_an_answer_after_the_time_is_over_is_ignored() -> None:
    flows = Flows()
    assert flows.bus.call("ZOOM", ROUTINES[:1], {}, wait=0.0)["left"].error is not None
    flows.bus.answer(1, 0, "late", None)


def test_a_second_answer_is_ignored() -> None:
    def twice(bus: EventBus, call: EventCall) -> None:
        bus.answer(call.number, 0, "first", None)
        bus.answer(call.number, 0, "second", None)

    assert Flows(twice).bus.call("ZOOM", ROUTINES[:1], {}, wait=30.0)["left"].unwrap() == "first"


def test_an_answer_from_one_who_was_not_asked_is_ignored() -> None:
    def wrong(bus: EventBus, call: EventCall) -> None:
        bus.answer(call.number, 2, "not me", None)
        bus.answer(call.number, 0, "me", None)

    assert list(Flows(wrong).bus.call("ZOOM", ROUTINES[:1], {}, wait=30.0)) == ["left"]


def test_who_waits_is_told_once() -> None:
    flows = Flows(echo)
    told: list[dict[str, EventResult]] = []
    number = flows.bus.start_call("ZOOM", ROUTINES, {}, 30.0, told.append)
    flows.bus.expire(number)
    flows.bus.fail([0, 1, 2], "dead")
    assert len(told) == 1


def test_the_next_deadline_is_that_of_the_call_that_ends_first() -> None:
    flows = Flows()
    assert flows.bus.next_deadline() is None
    flows.bus.start_call("ZOOM", ROUTINES, {}, 100.0, lambda results: None)
    late = flows.bus.next_deadline()
    flows.bus.start_call("ZOOM", ROUTINES, {}, 50.0, lambda results: None)
    early = flows.bus.next_deadline()
    assert early is not None
    assert late is not None
    assert early < late


def test_only_overdue_calls_expire() -> None:
    flows = Flows()
    told: list[str] = []
    flows.bus.start_call("SOON", ROUTINES, {}, 1.0, lambda results: told.append("soon"))
    flows.bus.start_call("LATER", ROUTINES, {}, 1000.0, lambda results: told.append("later"))
    deadline = flows.bus.next_deadline()
    assert deadline is not None
    flows.bus.expire_overdue(deadline - 0.5)
    assert told == []
    flows.bus.expire_overdue(deadline)
    assert told == ["soon"]
    assert flows.bus.next_deadline() is not None


def test_calls_from_many_threads_each_get_their_own_answer() -> None:
    # Given flows that answer each call from a thread of their own, with what they were asked
    threads: list[threading.Thread] = []

    def later(bus: EventBus, call: EventCall) -> None:
        thread = threading.Thread(target=echo, args=(bus, call))
        threads.append(thread)
        thread.start()

    flows = Flows(later)
    found: dict[int, Any] = {}

    def ask(number: int) -> None:
        results = flows.bus.call("ZOOM", ROUTINES, {"asked": number}, wait=30.0)
        found[number] = [result.unwrap()[1]["asked"] for result in results.values()]

    # When many ask at once
    askers = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
    for thread in askers:
        thread.start()
    for thread in askers:
        thread.join(30.0)
    for thread in threads:
        thread.join(30.0)
    # Then nobody gets another's answer
    assert found == {number: [number] * 3 for number in range(50)}


def test_a_call_ends_as_soon_as_all_have_answered() -> None:
    flows = Flows()
    results: list[dict[str, EventResult]] = []
    asker = threading.Thread(target=lambda: results.append(flows.bus.call("ZOOM", ROUTINES, {}, wait=600.0)))
    asker.start()
    wait_until(lambda: len(flows.delivered) == 2)
    echo(flows.bus, flows.delivered[0][1])
    echo(flows.bus, flows.delivered[1][1])
    asker.join(30.0)
    assert len(results) == 1


def test_events_that_still_wait_for_somebody_are_open_when_the_others_fail() -> None:
    # Given two events to one flow, of which one is kept for its next process
    flows, found = Flows(), {}
    for word in ("gone", "kept"):
        flows.bus.start_call("ZOOM", ROUTINES[:2], word, 60.0, lambda results, word=word: found.update({word: results}))
    kept = [replace(call, routines=(1,)) for _, call in flows.delivered if call.params == "kept"]
    # When the process is gone
    flows.bus.fail((0, 1), "it died", but=kept)
    # Then whoever asked for that one still gets the answer, of those routines that wait
    assert [result.error is not None for result in found["gone"].values()] == [True, True]
    assert "kept" not in found
    flows.bus.answer(kept[0].number, 1, "here", None)
    assert [(result.value, result.error is None) for result in found["kept"].values()] == [
        (None, False),
        ("here", True),
    ]
