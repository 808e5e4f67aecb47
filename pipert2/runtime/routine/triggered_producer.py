"""What a source with a trigger does from start to stop: wait for a tick, run ``main_logic`` once, and so on."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Generator
from time import monotonic, monotonic_ns
from typing import TYPE_CHECKING, Any, NamedTuple

from pipert2.errors import PipertError
from pipert2.events.notices import FAILED, FIRED, LONGEST_REASON
from pipert2.graph.routine import EndOfStream
from pipert2.runtime.routine.run_watch import RunWatch
from pipert2.runtime.triggers.runs import TriggerRuns
from pipert2.runtime.triggers.schedule import Act, Decision, Schedule
from pipert2.runtime.triggers.triggers import Trigger
from pipert2.store.ledger import RunOutcome
from pipert2.transport import board as b
from pipert2.transport.ring import Interrupted

if TYPE_CHECKING:
    from pipert2.runtime.routine.around import End
    from pipert2.runtime.routine.loop import RoutineLoop
    from pipert2.runtime.routine.producer import Producer

LOOK = 0.01
"""Seconds between two looks at a store to which others write all the time."""


class _Ran(NamedTuple):
    """How a run went; *end*: the session ends with it."""

    outcome: RunOutcome
    text: str = ""
    end: End | None = None


class TriggeredProducer:
    """The producing side of one source that has a trigger.

    Args:
        loop: the routine's.
        producer: sends what it makes.
    """

    def __init__(self, loop: RoutineLoop, producer: Producer) -> None:
        self._loop = loop
        self._producer = producer
        self._clock = loop.host.clock
        self._runs = TriggerRuns(loop.host.store, loop.spec.label)
        self._woken = -math.inf

    def run(self) -> End:
        """Run ``main_logic`` at each fire until the routine is told to end, or its stream has ended."""
        loop, schedule = self._loop, None
        try:
            while True:
                if loop.inbox or loop.due:
                    loop.due = False
                    loop.attend()
                    if loop.wanted is not None:
                        return loop.wanted
                assert loop.trigger is not None
                try:
                    schedule = self._current(schedule, loop.trigger)
                    decision = self._decide(schedule)
                    if decision.act is Act.SKIP:
                        self._note_skip(schedule, decision)
                except (PipertError, ValueError) as error:
                    loop.failures.note("the trigger", error)
                    loop.pause_after_failure()
                    continue
                if decision.act is Act.WAIT:
                    self._wait(decision)
                elif decision.act is Act.FIRE and (end := self._fire(schedule, decision)) is not None:
                    return end
        finally:
            loop.words[loop.row + b.NEXT_FIRE] = 0
            loop.words[loop.row + b.AWAITS_RECORDS] = 0

    # --- when

    def _current(self, schedule: Schedule | None, trigger: Trigger) -> Schedule:
        """The schedule of the trigger as it is now, which a ``configure`` event may have changed."""
        if schedule is None:
            return self._resumed(trigger)
        if schedule.trigger == trigger:
            return schedule
        changed = schedule.changed_to(trigger, self._clock.now())
        self._runs.save(changed.state())
        return changed

    def _resumed(self, trigger: Trigger) -> Schedule:
        """The schedule as an earlier run or process left it."""
        loop, words, row = self._loop, self._loop.words, self._loop.row
        now = self._clock.now()
        state, interrupted = self._runs.resume()
        started = words[row + b.STARTED_AT] / 1e9 if words[row + b.STARTED_AT] else now
        schedule = Schedule(
            trigger, now=now, state=state, anchor=started, started=started, timeout=loop.routine.timeout
        )
        if state is None and words[row + b.LAST_FIRE]:  # without a store at least this process's forerunner is known
            schedule.last_fire = words[row + b.LAST_FIRE] / 1e9
            schedule.ignore_until(schedule.last_fire)
        if schedule.last_fire is not None:
            words[row + b.LAST_FIRE] = _nanoseconds(schedule.last_fire)
        if interrupted:
            loop.logger.warning("%s: its last run was interrupted before it had ended", loop.spec.label)
            reason = "its process ended before the run had"
            self._announce(FAILED, self._runs.last(), outcome=RunOutcome.INTERRUPTED.value, reason=reason)
        return schedule

    def _decide(self, schedule: Schedule) -> Decision:
        """What to do now. Before it waits for records it says so, and looks once more, so that it misses none."""
        loop, store, clock = self._loop, self._loop.host.store, self._clock
        decision = schedule.decide(clock.now(), store)
        if decision.act is not Act.WAIT or not decision.kinds:
            return decision
        if monotonic() - self._woken < LOOK:
            return decision
        loop.words[loop.row + b.AWAITS_RECORDS] = 1
        loop.fence()
        decision = schedule.decide(clock.now(), store)
        if decision.act is not Act.WAIT:
            loop.words[loop.row + b.AWAITS_RECORDS] = 0
        return decision

    def _wait(self, decision: Decision) -> None:
        loop, words = self._loop, self._loop.words
        words[loop.row + b.NEXT_FIRE] = _nanoseconds(decision.at) if decision.at < math.inf else 0
        awaits = loop.row + b.AWAITS_RECORDS
        if decision.kinds and not words[awaits]:
            loop.sleep(timeout=LOOK)
            return
        loop.sleep(until=decision.at)
        if words[awaits]:
            words[awaits] = 0
            self._woken = monotonic()

    def _note_skip(self, schedule: Schedule, decision: Decision) -> None:
        loop = self._loop
        loop.words[loop.row + b.SKIPPED] += decision.missed + 1
        loop.logger.debug("%s does not run: %s", loop.spec.label, decision.reason)
        self._runs.save(schedule.state())

    # --- one run

    def _fire(self, schedule: Schedule, decision: Decision) -> End | None:
        loop, words, row, clock = self._loop, self._loop.words, self._loop.row, self._clock
        words[row + b.FIRES] += 1
        words[row + b.LAST_FIRE] = _nanoseconds(schedule.last_fire or 0.0)
        words[row + b.SKIPPED] += decision.missed
        if decision.missed:
            loop.logger.debug("%s: %d ticks were missed, one run makes up for them", loop.spec.label, decision.missed)
        try:
            kept = self._runs.begin(decision.at, schedule.state())
        except PipertError as error:  # a run of which nobody knows would be done again after a kill
            loop.failures.note("the trigger", error)
            schedule.ended(clock.now(), ok=False)
            loop.pause_after_failure()
            return None
        run = kept.number if kept is not None else words[row + b.FIRES]
        self._announce(FIRED, run, due=decision.at, missed=decision.missed)
        began = clock.monotonic()
        watch = RunWatch(schedule, clock, loop.spec.label, lambda: self._say_late(schedule))
        with watch:
            ran = self._execute(watch)
        completed = ran.outcome is RunOutcome.COMPLETED
        if watch.timed_out and completed:
            text = f"it took {clock.monotonic() - began:.1f} s, longer than {schedule.timeout:g} s"
            ran = _Ran(RunOutcome.TIMED_OUT, text, ran.end)
        schedule.ended(clock.now(), ok=completed)
        try:
            self._runs.end(kept, ran.outcome, ran.text, schedule.state())
            loop.inside.run_ended(completed=completed)
        except PipertError as error:
            loop.failures.note("the trigger", error)
            loop.inside.run_ended(completed=False)
        if ran.outcome in (RunOutcome.FAILED, RunOutcome.TIMED_OUT):
            self._announce(FAILED, run, outcome=ran.outcome.value, reason=ran.text[:LONGEST_REASON])
        return ran.end

    def _announce(self, name: str, run: int, **values: Any) -> None:
        spec = self._loop.spec
        self._loop.host.announce(name, {"routine": spec.name, "flow": spec.flow, "run": run, **values})

    def _execute(self, watch: RunWatch) -> _Ran:
        loop, producer = self._loop, self._producer
        stream: Generator[Any, Any, Any] | AsyncGenerator[Any, Any] | None = None
        try:
            data = self._called(producer.logic())
            if not isinstance(data, Generator | AsyncGenerator):
                producer.hand_on(data)
                return _Ran(RunOutcome.COMPLETED)
            stream = data
            following = producer.next_of(stream)
            while True:
                if loop.inbox:
                    loop.attend()
                    if loop.wanted is not None:
                        return _Ran(RunOutcome.INTERRUPTED, f"the routine was {loop.wanted.value}", loop.wanted)
                producer.await_credit()  # by then the result of the item before is there as well
                if watch.timed_out and isinstance(stream, AsyncGenerator):
                    raise asyncio.CancelledError
                try:
                    data = self._called(following)
                except (StopIteration, StopAsyncIteration):
                    return _Ran(RunOutcome.COMPLETED)
                producer.hand_on(data)
        except EndOfStream:
            return _Ran(RunOutcome.COMPLETED, end=loop.finished)
        except Interrupted:
            end = loop.interrupted()
            return _Ran(RunOutcome.INTERRUPTED, f"the routine was {end.value}", end)
        except asyncio.CancelledError as error:
            loop.attend()
            if loop.wanted is not None:
                return _Ran(RunOutcome.INTERRUPTED, f"the routine was {loop.wanted.value}", loop.wanted)
            if not watch.timed_out:
                return self._failed(error, RunOutcome.FAILED)
            late = TimeoutError(f"the run was cancelled, it took longer than {loop.routine.timeout:g} s")
            return self._failed(late, RunOutcome.TIMED_OUT)
        except BaseException as error:
            return self._failed(error, RunOutcome.FAILED)
        finally:
            if stream is not None:
                producer.close(stream)

    def _failed(self, error: BaseException, outcome: RunOutcome) -> _Ran:
        reason, _ = self._loop.failures.note("main_logic", error)
        return _Ran(outcome, reason)

    def _called(self, function: Callable[[], Any]) -> Any:
        """Call the user's code, and note how long it takes."""
        loop, busy = self._loop, self._loop.row + b.BUSY_SINCE
        began = loop.words[busy] = monotonic_ns()
        try:
            return function()
        finally:
            loop.words[busy] = 0
            loop.sampler.countdown -= 1
            if loop.sampler.countdown <= 0:
                loop.sampler.record(began, monotonic_ns(), None)

    def _say_late(self, schedule: Schedule) -> None:
        loop = self._loop
        loop.words[loop.row + b.TIMED_OUT] += 1
        cancelled = loop.is_async
        loop.logger.warning(
            "%s has been running for more than %g s (timeout=): %s", loop.spec.label, schedule.timeout,
            "it is cancelled" if cancelled else "it is waited for, since a plain function cannot be cancelled",
        )  # fmt: skip
        if cancelled:
            loop.host.event_loop().cancel(loop.spec.name)


def _nanoseconds(moment: float) -> int:
    return max(1, round(moment * 1e9))  # 0 stands for never
