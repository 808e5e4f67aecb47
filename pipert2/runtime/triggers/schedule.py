"""What a trigger says at a moment: fire now, skip this tick, or wait. Plain decisions; clocks and stores are elsewhere.

How it is carried out::

    schedule = Schedule(trigger, now=clock.now(), state=store.trigger_state(name), timeout=routine.timeout)
    while not stopping:
        decision = schedule.decide(clock.now(), store)
        store.save_trigger_state(name, schedule.state())     # before the run, so that a kill cannot repeat the fire
        if decision.act is Act.FIRE:
            ...run...
            schedule.ended(clock.now(), ok=True)
        elif decision.act is Act.WAIT:
            clock.sleep(bell, decision.at)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from pipert2.runtime.triggers.times import NEVER, Tick, shown_duration
from pipert2.runtime.triggers.triggers import AllOf, AnyOf, AtLeast, Began, Every, Rhythm, TimeOfDay, Trigger

_EARLY = 1e-6  # a wait may end that much before its time, and sums of seconds are rounded
_SET_BACK = 3 * 3600.0  # as in cron: a clock set back by less is summer time or a correction, and no tick repeats
_MOST_COUNTED, _MOST_JOINED = 10_000, 1_000  # ticks that were missed are counted one by one, no further than this
_MOST_CLAUSES = 64
_RETRY, _LONGEST_RETRY = 1.0, 60.0


class Act(Enum):
    """What to do. ``TIMED_OUT``: the run takes longer than it may; said once."""

    FIRE = "fire"
    SKIP = "skip"
    WAIT = "wait"
    TIMED_OUT = "timed out"


@dataclass(frozen=True, slots=True)
class Decision:
    """What a schedule says.

    Attributes:
        act: what to do.
        at: ``WAIT``: until this moment (seconds since the epoch, infinity if nothing is due). Else when it was due.
        missed: ticks that this one stands for besides itself; some thousands at most are counted.
        reason: ``SKIP``: why.
        kinds: ``WAIT``: new records of these kinds may change the answer before.
    """

    act: Act
    at: float
    missed: int = 0
    reason: str = ""
    kinds: frozenset[str] = frozenset()


class Records(Protocol):
    """What a schedule asks the store."""

    def position(self) -> int:
        """The number of the newest record of all."""
        ...

    def count(
        self, kind: str, since: float | None = None, *, after: int | None = None, limit: int | None = None
    ) -> int:
        """How many records of a kind were added at or after a moment, and after a position; up to *limit*."""
        ...


class NoRecords:
    """The records of a pipe without a store."""

    def position(self) -> int:
        return 0

    def count(
        self, kind: str, since: float | None = None, *, after: int | None = None, limit: int | None = None
    ) -> int:
        return 0


@dataclass(slots=True)
class _Clause:
    """Triggers that are joined by ``&``. *seen*: ticks up to this moment are dealt with."""

    rhythms: list[Rhythm]
    windows: list[TimeOfDay]
    needs: list[AtLeast]
    seen: float
    began: Began

    @property
    def ticks(self) -> bool:
        return bool(self.rhythms)

    @property
    def is_even(self) -> bool:
        """It knows no calendar, so that it does not matter when a clock that is set back says a time again."""
        return all(isinstance(rhythm, Every) for rhythm in self.rhythms)

    def first(self, after: float) -> Tick:
        """The first moment after *after* by which all rhythms have ticked anew, in the windows."""
        for _ in range(_MOST_COUNTED):
            found = [rhythm.first(after, self.began) for rhythm in self.rhythms]
            tick = Tick(max(one.due for one in found), min(one.until for one in found))
            if tick.due == NEVER:
                return tick
            if tick.due >= tick.until:  # one was too late for another
                after = max(one.due for one in found if one.until == tick.until)
                continue
            closed = [window for window in self.windows if window.open_until(tick.due) is None]
            if closed:
                after = math.nextafter(max(window.opens(tick.due) for window in closed), -NEVER)
                continue
            ends = [window.open_until(tick.due) or NEVER for window in self.windows]
            return Tick(tick.due, min([tick.until, *ends]))
        return Tick(NEVER)

    def passed(self, now: float) -> tuple[Tick | None, int]:
        """The newest tick since *seen*, and how many there were."""
        if len(self.rhythms) == 1 and not self.windows:
            return self._passed_plainly(self.rhythms[0], now)
        newest, count = None, 0
        tick = self.first(self.seen)
        while tick.due <= now and count < _MOST_JOINED:
            newest, count = tick, count + 1
            tick = self.first(tick.due)
        if count == _MOST_JOINED:  # far behind: the newest is what matters
            newest = self._last(now) or newest
        return newest, count

    def _last(self, now: float) -> Tick | None:
        found = [rhythm.last(now, self.began) for rhythm in self.rhythms]
        due = max(one.due for one in found)
        ends = [window.open_until(due) for window in self.windows]
        if None in ends:
            return None
        return Tick(due, min([*(one.until for one in found), *(end for end in ends if end is not None)]))

    def _passed_plainly(self, rhythm: Rhythm, now: float) -> tuple[Tick | None, int]:
        newest = rhythm.last(now, self.began)
        if newest.due <= self.seen:
            return None, 0
        if isinstance(rhythm, Every):
            first = rhythm.first(self.seen, self.began).due
            return newest, round((newest.due - first) / rhythm.seconds) + 1
        count, tick = 1, rhythm.first(self.seen, self.began)
        while tick.due < newest.due and count < _MOST_COUNTED:
            count, tick = count + 1, rhythm.first(tick.due, self.began)
        return newest, count

    def closed(self, now: float) -> float | None:
        """When the windows may all be open, if one is closed now."""
        closed = [window.opens(now) for window in self.windows if window.open_until(now) is None]
        return max(closed) if closed else None

    def lacking(self, now: float, records: Records, position: int) -> str:
        """Which of the records needed are not there; empty if all are."""
        for need in self.needs:
            since = None if need.within is None else now - need.within
            count = records.count(need.kind, since, after=position, limit=need.number)
            if count < need.number:
                within = "" if need.within is None else f" within {shown_duration(need.within)}"
                return f"{count} of {need.number} new {need.kind!r} since the last run{within}"
        return ""


@dataclass(frozen=True, slots=True)
class _Look:
    """A branch was due; *before*: ticks that were missed before that; *reason*: why it is skipped all the same."""

    due: float
    before: int
    reason: str


@dataclass(slots=True)
class _Run:
    began: float
    position: int
    told: bool = field(default=False)


class Schedule:
    """Decides when a trigger fires. No two runs overlap, and ticks that were missed become one.

    Args:
        trigger: the trigger.
        now: the time (seconds since the epoch).
        state: what :meth:`state` returned in an earlier run; ticks since then are made up for by one.
        anchor: from when on periods count, if there is no *state*: the start of the pipe. *now* if left out.
        started: when the pipe was started, for :class:`AtStart`; *now* if left out.
        timeout: seconds that a run may take; None: as long as it likes.

    Attributes:
        fires, missed, skipped: how often since the first use of the state.
        last_fire: when it fired last.
        interrupted: the state was left by a run that never ended.

    Raises:
        ValueError: the trigger has far too many branches, or *timeout* is no time.
    """

    def __init__(
        self,
        trigger: Trigger,
        *,
        now: float,
        state: Mapping[str, Any] | None = None,
        anchor: float | None = None,
        started: float | None = None,
        timeout: float | None = None,
    ) -> None:
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout is a time in seconds above 0, not {timeout!r}")
        self.trigger = trigger
        self.timeout = timeout
        self.fires = self.missed = self.skipped = 0
        self.last_fire: float | None = None
        self.interrupted = False
        self._position = 0
        self._failures = 0
        self._not_before = -NEVER
        self._run: _Run | None = None
        self._anchor = now if anchor is None else min(anchor, now)
        seen = [self._anchor]
        if state is not None:
            seen = self._restored(state, now)
        self._started = now if started is None else min(started, now)
        began = Began(self._anchor, self._started)
        branches = _branches(trigger)
        if len(seen) != len(branches):
            seen = [max(seen)] * len(branches)
        self._clauses = [
            _Clause(
                [part for part in branch if isinstance(part, Rhythm)],
                [part for part in branch if isinstance(part, TimeOfDay)],
                [part for part in branch if isinstance(part, AtLeast)],
                moment,
                began,
            )
            for branch, moment in zip(branches, seen, strict=True)
        ]

    def _restored(self, state: Mapping[str, Any], now: float) -> list[float]:
        self.fires, self.missed, self.skipped = (int(state.get(name, 0)) for name in ("fires", "missed", "skipped"))
        self.last_fire, self._position = state["last_fire"], state["position"]
        self.interrupted = state["running"]
        self._anchor = state["anchor"]
        seen = [float(moment) for moment in state["seen"]]
        if state["trigger"] != str(self.trigger):
            # Another trigger than then: its periods count from the last moment that the old one dealt with.
            self._anchor = min(max(seen), now)
            seen = [self._anchor]
        return seen

    def state(self) -> dict[str, Any]:
        """What outlives the process, as plain data: keep it before a run begins, and after it has ended."""
        return {
            "trigger": str(self.trigger),
            "anchor": self._anchor,
            "seen": [clause.seen for clause in self._clauses],
            "last_fire": self.last_fire,
            "position": self._position,
            "running": self._run is not None,
            "fires": self.fires,
            "missed": self.missed,
            "skipped": self.skipped,
        }

    @property
    def running(self) -> bool:
        return self._run is not None

    def changed_to(self, trigger: Trigger, now: float) -> Schedule:
        """The schedule of another trigger, from *now* on: its periods count from the last tick of this one."""
        schedule = Schedule(trigger, now=now, state=self.state(), started=self._started, timeout=self.timeout)
        schedule.ignore_until(now)
        return schedule

    def ignore_until(self, now: float) -> None:
        """Ticks up to *now* are nobody's: they are neither made up for nor counted."""
        for clause in self._clauses:
            clause.seen = max(clause.seen, now)

    def decide(self, now: float, records: Records | None = None) -> Decision:
        """What to do now. After ``FIRE`` a run has begun; say when it has :meth:`ended`.

        Args:
            now: the time.
            records: the store; needed for :class:`AtLeast`.
        """
        if self._run is not None:
            return self._while_running(self._run, now)
        records = records if records is not None else NoRecords()
        looks = [look for clause in self._clauses if (look := self._look_at(clause, now, records)) is not None]
        missed = sum(look.before for look in looks)
        if fired := {look.due for look in looks if not look.reason}:
            missed += len(fired) - 1  # branches that are due at the same moment are one tick
            self.fires, self.last_fire = self.fires + 1, now
            self._run = _Run(now, records.position())
            found = Decision(Act.FIRE, max(fired), missed)
        elif looks:
            self.skipped += 1
            found = Decision(Act.SKIP, max(look.due for look in looks), missed, looks[0].reason)
        else:
            return self._until_next(now)
        self.missed += missed
        return found

    def _look_at(self, clause: _Clause, now: float, records: Records) -> _Look | None:
        """Whether this branch is due."""
        if not clause.ticks:
            waiting = now < self._not_before or clause.closed(now) is not None
            return None if waiting or clause.lacking(now, records, self._position) else _Look(now, 0, "")
        if clause.seen - now > (2 * _EARLY if clause.is_even else _SET_BACK):
            clause.seen = now
        tick, count = clause.passed(now + _EARLY)
        if tick is None:
            return None
        late = tick.until <= now
        lacking = "" if late else clause.lacking(now, records, self._position)
        clause.seen = max(now, tick.due)  # not before: the store may have failed, and the tick is still due then
        if late:
            return _Look(tick.due, count - 1, "it was too late for it")
        return _Look(tick.due, count - 1, f"condition: {lacking}" if lacking else "")

    def _until_next(self, now: float) -> Decision:
        at, kinds = NEVER, set[str]()
        for clause in self._clauses:
            if clause.ticks:
                at = min(at, clause.first(clause.seen).due)
                continue
            later = [moment for moment in (clause.closed(now), self._not_before) if moment is not None and moment > now]
            if later:
                at = min(at, *later)
            kinds.update(need.kind for need in clause.needs)
        return Decision(Act.WAIT, at, kinds=frozenset(kinds))

    def _while_running(self, run: _Run, now: float) -> Decision:
        if self.timeout is None or run.told:
            return Decision(Act.WAIT, NEVER)
        # The clock may have been set back; a run that seems to begin in the future would never time out.
        run.began = min(run.began, now)
        if now < run.began + self.timeout:
            return Decision(Act.WAIT, run.began + self.timeout)
        run.told = True
        return Decision(Act.TIMED_OUT, run.began + self.timeout, reason=f"it took longer than {self.timeout:g} s")

    def ended(self, now: float, *, ok: bool = True) -> None:
        """The run has ended. After one that failed, the records that caused it count again."""
        run, self._run = self._run, None
        if run is None:
            return
        if ok:
            self._position, self._failures, self._not_before = run.position, 0, -NEVER
        else:
            # What fires on records alone would fail again at once, and so on for ever.
            self._not_before = now + min(_LONGEST_RETRY, _RETRY * 2.0 ** min(self._failures, 10))
            self._failures += 1


def _branches(trigger: Trigger) -> list[list[Trigger]]:
    """*trigger* as branches, one of which must hold; in each, all."""
    found: Sequence[list[Trigger]]
    if isinstance(trigger, AnyOf):
        found = [branch for part in trigger.parts for branch in _branches(part)]
    elif isinstance(trigger, AllOf):
        each = [_branches(part) for part in trigger.parts]
        if math.prod(map(len, each)) > _MOST_CLAUSES:
            raise ValueError(f"the trigger {str(trigger)!r} has more than {_MOST_CLAUSES} branches: write it shorter")
        found = [[part for branch in branches for part in branch] for branches in itertools.product(*each)]
    else:
        return [[trigger]]
    if len(found) > _MOST_CLAUSES:
        raise ValueError(f"the trigger {str(trigger)!r} has more than {_MOST_CLAUSES} branches: write it shorter")
    return list(found)
