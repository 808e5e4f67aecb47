"""Calls: a request to a routine and its reply. The main process gives each to a replica that has time, and knows when
one dies."""

from __future__ import annotations

import itertools
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from pipert2.errors import CallError, CallTimeoutError, EventTimeoutError
from pipert2.events.bus import EventResult
from pipert2.graph.routine import RoutineKind
from pipert2.graph.spec import RoutineSpec
from pipert2.runtime import commands
from pipert2.runtime.messages import CallOutcome, Packed
from pipert2.transport.board import RoutineState

if TYPE_CHECKING:
    from pipert2.runtime.supervision.supervisor import Supervisor


@dataclass(slots=True, eq=False)
class _Call:
    routine: int  # the first of its replicas
    data: Packed
    deadline: float
    done: Callable[[CallOutcome], None]
    attempts: int = 0


def choose(members: Sequence[int], load: Counter[int], hands: int, last: dict[int, int]) -> int | None:
    """The replica that is to get the next call: the one with the least to do, and of these the one that has waited
    longest; None if all have as much as they can do.

    Args:
        members: those that run.
        load: calls that each works on. hands: how many it can.
        last: numbers that grow, when each got its last call.
    """
    free = [index for index in members if load[index] < hands]
    return min(free, key=lambda index: (load[index], last.get(index, 0)), default=None)


class Calls:
    """The calls of one running pipe. Safe to use from any thread."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._waiting: dict[int, deque[_Call]] = {}
        self._load: Counter[int] = Counter()
        self._last: dict[int, int] = {}
        self._turns = itertools.count(1)
        self._lock = threading.Lock()

    def call(self, routine: RoutineSpec, data: Packed, timeout: float) -> CallOutcome:
        """Call a routine and wait for what comes of it."""
        answered = threading.Event()
        box: list[CallOutcome] = []

        def done(outcome: CallOutcome) -> None:
            box.append(outcome)
            answered.set()

        self.start(routine.base, data, timeout, done)
        answered.wait(timeout)
        return box[0] if box else CallOutcome(None, self._late(routine.base))

    def start(self, routine: int, data: Packed, timeout: float, done: Callable[[CallOutcome], None]) -> None:
        """Call a routine; *done* is told what came of it, but not that the time was over before anybody took it."""
        spec = self._supervisor.spec.routines[routine]
        if spec.kind is RoutineKind.SOURCE:
            done(CallOutcome(None, CallError(spec.name, "it is a source, which is given nothing")))
            return
        call = _Call(routine, data, monotonic() + timeout, done)
        with self._lock:
            self._waiting.setdefault(routine, deque()).append(call)
        self.look()

    def look(self) -> None:
        """Give calls that wait to whoever has time for them now; those that nobody will ever have time for fail."""
        if not self._waiting:
            return
        for call, reason in self._hopeless():
            call.done(CallOutcome(None, CallError(self._supervisor.spec.routines[call.routine].name, reason)))
        # The lock is for the lists of this object alone, and is not held while the supervisor does anything: the
        # supervisor reports deaths here with a lock of its own held.
        while (given := self._next()) is not None:
            self._send(*given)

    def _hopeless(self) -> list[tuple[_Call, str]]:
        """Calls that wait for a routine that does not come by itself any more, and why."""
        supervisor, found = self._supervisor, []
        with self._lock:
            for routine, waiting in tuple(self._waiting.items()):
                reasons = [supervisor.why_not(index) for index in supervisor.spec.members(routine)]
                if reasons[0] is not None and None not in reasons:
                    found += [(call, reasons[0]) for call in waiting]
                    del self._waiting[routine]
        return found

    def _next(self) -> tuple[_Call, int] | None:
        """A call that waits, and the replica that is to get it; None if no call can be given out."""
        supervisor, now = self._supervisor, monotonic()
        with self._lock:
            for routine, waiting in tuple(self._waiting.items()):
                while waiting and waiting[0].deadline <= now:
                    waiting.popleft()  # whoever asked has given up
                if not waiting:
                    del self._waiting[routine]
                    continue
                members = supervisor.spec.members(routine)
                running = [index for index in members if supervisor.takes_calls(index)]
                index = choose(running, self._load, supervisor.concurrency(routine), self._last)
                if index is not None:
                    self._load[index] += 1
                    self._last[index] = next(self._turns)
                    return waiting.popleft(), index
        return None

    def _send(self, call: _Call, index: int) -> None:
        call.attempts += 1
        spec = self._supervisor.spec.routines[index]
        self._supervisor.bus.start_call(
            commands.CALL,
            [spec],
            {"data": call.data, "deadline": call.deadline},
            max(0.0, call.deadline - monotonic()),
            lambda results: self._answered(call, index, results[spec.label]),
        )
        self._supervisor.nudge()

    def _answered(self, call: _Call, index: int, result: EventResult) -> None:
        again = False
        if result.error is None:
            outcome = result.value
        elif isinstance(result.error, EventTimeoutError):
            outcome = CallOutcome(None, self._late(call.routine))
        else:
            again = call.attempts <= max(1, self._supervisor.spec.routines[call.routine].retries)
            outcome = CallOutcome(None, CallError(result.routine, result.error.reason))
        with self._lock:
            self._load[index] -= 1
            if again:
                self._waiting.setdefault(call.routine, deque()).appendleft(call)
        if not again:
            call.done(outcome)
        self.look()

    def _late(self, routine: int) -> CallTimeoutError:
        supervisor = self._supervisor
        name = supervisor.spec.routines[routine].name
        states = {supervisor.state(index) for index in supervisor.spec.members(routine)}
        why = "it did not answer in time" if RoutineState.RUNNING in states else "it does not run: start it"
        return CallTimeoutError(name, why)
