"""Who gets a call, and what becomes of one whose replica is gone."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from pipert2.errors import CallError, CallTimeoutError, EventHandlerError, EventTimeoutError
from pipert2.events.bus import EventResult
from pipert2.graph.routine import RoutineKind
from pipert2.runtime.messages import CallOutcome, Packed
from pipert2.runtime.supervision.calls import Calls, choose
from pipert2.transport.board import RoutineState
from pipert2.transport.codec import dumps_plain


@pytest.mark.parametrize(
    ("members", "load", "hands", "last", "chosen"),
    [
        ([], {}, 1, {}, None),
        ([3], {}, 1, {}, 3),
        ([3], {3: 1}, 1, {}, None),
        ([3], {3: 1}, 2, {}, 3),
        ([3, 4], {3: 1}, 2, {}, 4),
        ([3, 4], {}, 1, {3: 7, 4: 5}, 4),
        ([3, 4], {3: 1, 4: 1}, 1, {}, None),
        ([3, 4], {4: 1}, 4, {3: 9, 4: 1}, 3),
    ],
)
def test_the_replica_with_least_to_do_that_has_waited_longest_is_chosen(
    members: Sequence[int], load: dict[int, int], hands: int, last: dict[int, int], chosen: int | None
) -> None:
    assert choose(members, Counter(load), hands, last) == chosen


class Crowd:
    """Stands for a supervisor and its event bus: keeps what replicas were sent until they are told to answer."""

    def __init__(self, replicas: int, hands: int = 1, retries: int = 0) -> None:
        routines = tuple(
            SimpleNamespace(index=index, name="work", label=f"work#{index}", retries=retries, kind=RoutineKind.MIDDLE)
            for index in range(replicas)
        )
        self.spec: Any = SimpleNamespace(routines=routines, members=lambda _: tuple(range(replicas)))
        self.states = dict.fromkeys(range(replicas), RoutineState.RUNNING)
        self.hands = hands
        self.bus: Any = self
        self.sent: list[tuple[int, Any, Callable[[dict[str, EventResult]], None]]] = []
        self.refuses: set[int] = set()
        self.lock = threading.RLock()

    def state(self, index: int) -> RoutineState:
        return self.states[index]

    def takes_calls(self, index: int) -> bool:
        return self.states[index] is RoutineState.RUNNING

    def why_not(self, index: int) -> str | None:
        return "it was killed" if self.states[index] is RoutineState.KILLED else None

    def concurrency(self, _: int) -> int:
        return self.hands

    def nudge(self) -> None:
        pass

    def start_call(self, _: str, routines: Any, params: Any, wait: float, done: Any) -> None:
        with self.lock:
            (spec,) = routines
            self.sent.append((spec.index, params["data"].open(), done))
            if spec.index in self.refuses:
                self.die(len(self.sent) - 1)

    def answer(self, at: int, value: Any) -> None:
        index, _, done = self.sent[at]
        label = self.spec.routines[index].label
        done({label: EventResult(label, CallOutcome(Packed(dumps_plain(value))))})

    def fail(self, at: int, error: EventHandlerError) -> None:
        index, _, done = self.sent[at]
        label = self.spec.routines[index].label
        done({label: EventResult(label, None, error)})

    def die(self, at: int) -> None:
        self.fail(at, EventHandlerError("work", "call", "its flow died"))

    @property
    def given(self) -> list[tuple[int, Any]]:
        return [(index, data) for index, data, _ in self.sent]


def made(crowd: Crowd) -> tuple[Calls, list[Any], Callable[..., None]]:
    calls = Calls(crowd)  # type: ignore[arg-type]
    outcomes: list[Any] = []

    def call(data: Any, timeout: float = 60.0) -> None:
        def done(outcome: CallOutcome) -> None:
            try:
                outcomes.append(outcome.unwrap())
            except Exception as error:
                outcomes.append(error)

        calls.start(0, Packed(dumps_plain(data)), timeout, done)

    return calls, outcomes, call


def test_a_source_is_not_called_since_it_is_given_nothing() -> None:
    crowd = Crowd(1)
    crowd.spec.routines[0].kind = RoutineKind.SOURCE
    _, outcomes, call = made(crowd)
    call("a")
    assert crowd.sent == []
    assert "it is a source, which is given nothing" in str(outcomes[0])


def test_calls_wait_until_a_replica_has_time() -> None:
    crowd = Crowd(2)
    _, outcomes, call = made(crowd)
    for data in "abc":
        call(data)
    assert crowd.given == [(0, "a"), (1, "b")]
    crowd.answer(1, "B")
    assert crowd.given[2:] == [(1, "c")]
    crowd.answer(0, "A")
    crowd.answer(2, "C")
    assert outcomes == ["B", "A", "C"]


def test_a_call_whose_replica_dies_goes_to_another_ahead_of_those_that_wait() -> None:
    crowd = Crowd(2)
    _, outcomes, call = made(crowd)
    for data in "abc":
        call(data)
    crowd.states[0] = RoutineState.IDLE
    crowd.die(0)
    assert crowd.given[2:] == []  # the other one is busy
    crowd.answer(1, "B")
    assert crowd.given[2:] == [(1, "a")]
    crowd.answer(2, "A")
    assert outcomes == ["B", "A"]


@pytest.mark.parametrize(("retries", "attempts"), [(0, 2), (1, 2), (4, 5)])
def test_a_call_that_kills_each_replica_is_given_up(retries: int, attempts: int) -> None:
    crowd = Crowd(3, retries=retries)
    _, outcomes, call = made(crowd)
    call("poison")
    for at in range(attempts):
        crowd.die(at)
    assert len(crowd.sent) == attempts
    (error,) = outcomes
    assert isinstance(error, CallError)
    assert "its flow died" in str(error)


def test_replicas_that_refuse_at_once_do_not_break_the_list_of_calls() -> None:
    crowd = Crowd(2)
    crowd.refuses = {0, 1}
    calls, outcomes, call = made(crowd)
    call("a")
    call("b")
    assert [type(outcome) for outcome in outcomes] == [CallError, CallError]
    crowd.refuses = set()
    call("c")
    crowd.answer(-1, "C")
    assert outcomes[-1] == "C"
    assert not calls._waiting


def test_a_time_out_frees_the_replica_for_the_next_call() -> None:
    crowd = Crowd(1)
    _, outcomes, call = made(crowd)
    call("a")
    call("b")
    crowd.fail(0, EventTimeoutError("work", "call", "late"))
    assert crowd.given == [(0, "a"), (0, "b")]
    assert isinstance(outcomes[0], CallTimeoutError)
    assert "did not answer in time" in str(outcomes[0])


def test_a_call_whose_time_is_over_is_not_given_out() -> None:
    crowd = Crowd(1)
    crowd.states[0] = RoutineState.IDLE
    calls, _, call = made(crowd)
    call("late", timeout=0.0)
    call("early")
    crowd.states[0] = RoutineState.RUNNING
    calls.look()
    assert crowd.given == [(0, "early")]


def test_a_death_may_be_told_while_somebody_calls() -> None:
    crowd = Crowd(1)
    _, outcomes, call = made(crowd)
    call("a")
    with crowd.lock:  # as the supervisor, which reports deaths with its lock held
        caller = threading.Thread(target=call, args=("b",), daemon=True)
        caller.start()
        crowd.die(0)
    caller.join(10)
    assert not caller.is_alive()
    assert not outcomes
    assert len(crowd.sent) >= 2


def test_calls_fail_as_soon_as_no_replica_can_come_any_more() -> None:
    crowd = Crowd(2)
    calls, outcomes, call = made(crowd)
    crowd.states[0] = RoutineState.KILLED
    crowd.states[1] = RoutineState.IDLE
    call("a", timeout=1000.0)
    assert not outcomes
    crowd.states[1] = RoutineState.KILLED
    calls.look()
    call("b", timeout=1000.0)
    assert [str(error) for error in outcomes] == ["the call of routine 'work' failed: it was killed"] * 2


def test_who_waits_for_a_call_is_told_why_there_is_no_answer() -> None:
    crowd = Crowd(1)
    crowd.states[0] = RoutineState.IDLE
    calls, _, _ = made(crowd)
    spec: Any = SimpleNamespace(base=0)
    with pytest.raises(CallTimeoutError, match="does not run: start it"):
        calls.call(spec, Packed(dumps_plain(1)), 0.01).unwrap()
    crowd.states[0] = RoutineState.RUNNING
    with pytest.raises(CallTimeoutError, match="did not answer in time"):
        calls.call(spec, Packed(dumps_plain(1)), 0.01).unwrap()
