"""The event bus of the main process: every event passes through it, so each sender's events stay in order."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from pipert2.errors import EventHandlerError, EventTimeoutError
from pipert2.graph.spec import PipeSpec, RoutineSpec


@dataclass(frozen=True, slots=True)
class EventCall:
    """An event on its way to one flow.

    Attributes:
        number: 0 when nobody waits for the results.
        params: the handlers' keyword arguments, a dict or packed; the bus does not look at them.
        place: of those that one process is sent, counted from 1; 0 where its routines need not say that they begin.
    """

    number: int
    name: str
    routines: tuple[int, ...]
    params: Any
    place: int = 0


@dataclass(frozen=True, slots=True)
class EventResult:
    """What one routine's handler made of an event: *value*, or *error* if it raised or did not answer in time."""

    routine: str
    value: Any = None
    error: EventHandlerError | None = None

    def unwrap(self) -> Any:
        """The value.

        Raises:
            EventHandlerError: the handler raised (EventTimeoutError: did not answer in time).
        """
        if self.error is not None:
            raise self.error
        return self.value


@dataclass(slots=True)
class _Waiting:
    name: str
    missing: set[int]
    order: tuple[RoutineSpec, ...]
    done: Callable[[dict[str, EventResult]], None]
    deadline: float
    results: dict[int, EventResult] = field(default_factory=dict)


class EventBus:
    """Sends events to flows and gathers what their handlers answer. Safe to use from any thread.

    Args:
        spec: the pipe.
        deliver: hands an :class:`EventCall` to a flow; False if the flow has no process to take it.
        present: whether there is a routine of an index just now; what is sent to others is sent to nobody.
        begin: told an event's name and all routines that it goes to before any of them gets it.
    """

    def __init__(
        self,
        spec: PipeSpec,
        deliver: Callable[[str, EventCall], bool],
        present: Callable[[int], bool] = lambda index: True,
        begin: Callable[[str, Sequence[RoutineSpec]], None] = lambda name, routines: None,
    ) -> None:
        self._spec = spec
        self._present = present
        self._begin = begin
        self._deliver = deliver
        self._numbers = itertools.count(1)
        self._waiting: dict[int, _Waiting] = {}
        self._lock = threading.Lock()

    def describe(self, spec: PipeSpec) -> None:
        """The pipe has further routines."""
        self._spec = spec

    def send(self, name: str, routines: Sequence[RoutineSpec], params: Any) -> None:
        """Send an event and forget it."""
        self._post(0, name, [routine for routine in routines if self._present(routine.index)], params)

    def call(self, name: str, routines: Sequence[RoutineSpec], params: Any, wait: float) -> dict[str, EventResult]:
        """Send an event and wait up to *wait* seconds for what each handler returns or raises."""
        answered = threading.Event()
        box: list[dict[str, EventResult]] = []

        def done(results: dict[str, EventResult]) -> None:
            box.append(results)
            answered.set()

        number = self.start_call(name, routines, params, wait, done)
        if not answered.wait(wait):
            self.expire(number)
            answered.wait()
        return box[0]

    def start_call(
        self,
        name: str,
        routines: Sequence[RoutineSpec],
        params: Any,
        wait: float,
        done: Callable[[dict[str, EventResult]], None],
    ) -> int:
        """Send an event; *done* is called once with the results, when all are there or the time is over."""
        number = next(self._numbers)
        routines = [routine for routine in routines if self._present(routine.index)]
        waiting = _Waiting(name, {routine.index for routine in routines}, tuple(routines), done, monotonic() + wait)
        with self._lock:
            self._waiting[number] = waiting
        self._post(number, name, routines, params)
        self._finish(number)
        return number

    def _post(self, number: int, name: str, routines: Sequence[RoutineSpec], params: Any) -> None:
        self._begin(name, routines)
        by_flow: dict[str, list[int]] = {}
        for routine in routines:
            by_flow.setdefault(routine.process, []).append(routine.index)
        for flow, indices in by_flow.items():
            if not self._deliver(flow, EventCall(number, name, tuple(indices), params)):
                self.fail(indices, "its flow has no living process", only=number)

    def answer(self, number: int, routine: int, value: Any, error: tuple[str, str] | None) -> None:
        """Note what one routine answered; *error* is reason and traceback if its handler raised."""
        with self._lock:
            waiting = self._waiting.get(number)
            if waiting is None or routine not in waiting.missing:
                return
            name = self._spec.routines[routine].label
            failure = None if error is None else EventHandlerError(name, waiting.name, *error)
            self._note(waiting, routine, EventResult(name, value, failure))
        self._finish(number)

    def fail(
        self, routines: Iterable[int], reason: str, only: int | None = None, but: Iterable[EventCall] = ()
    ) -> None:
        """Nobody will answer for these routines any more; to the events of *but* somebody still will."""
        open_still = {(call.number, index) for call in but for index in call.routines}
        with self._lock:
            numbers = [only] if only is not None else list(self._waiting)
            for number in numbers:
                waiting = self._waiting.get(number)
                for index in waiting.missing.intersection(routines) if waiting is not None else ():
                    if (number, index) in open_still:
                        continue
                    assert waiting is not None
                    name = self._spec.routines[index].label
                    self._note(waiting, index, EventResult(name, None, EventHandlerError(name, waiting.name, reason)))
        for number in numbers:
            self._finish(number)

    def expire(self, number: int) -> None:
        """The time of a call is over: what is missing becomes a time-out."""
        with self._lock:
            waiting = self._waiting.get(number)
            for index in tuple(waiting.missing) if waiting is not None else ():
                assert waiting is not None
                name = self._spec.routines[index].label
                error = EventTimeoutError(
                    name, waiting.name, "it did not answer in time; it may still do what was asked"
                )
                self._note(waiting, index, EventResult(name, None, error))
        self._finish(number)

    def next_deadline(self) -> float | None:
        """When the next call is over, on the monotonic clock; None if none is waiting."""
        with self._lock:
            return min((waiting.deadline for waiting in self._waiting.values()), default=None)

    def expire_overdue(self, now: float) -> None:
        """End all calls whose time is over."""
        with self._lock:
            overdue = [number for number, waiting in self._waiting.items() if waiting.deadline <= now]
        for number in overdue:
            self.expire(number)

    @staticmethod
    def _note(waiting: _Waiting, routine: int, result: EventResult) -> None:
        waiting.missing.discard(routine)
        waiting.results[routine] = result

    def _finish(self, number: int) -> None:
        with self._lock:
            waiting = self._waiting.get(number)
            if waiting is None or waiting.missing:
                return
            del self._waiting[number]
        waiting.done({routine.label: waiting.results[routine.index] for routine in waiting.order})
