"""A schedule fires when it should, once, and says why when it does not."""

from __future__ import annotations

import json
from bisect import bisect_left
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipert2.runtime.triggers.phrases import trigger
from pipert2.runtime.triggers.schedule import Act, Decision, Schedule
from pipert2.runtime.triggers.triggers import AtLeast, Every
from pipert2.testing import VirtualClock

HOUR = 3600.0
NEVER = float("inf")


class Pile:
    """Records as the store counts them."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.kinds: list[str] = []

    def add(self, number: int, kind: str, now: float) -> None:
        self.times += [now] * number
        self.kinds += [kind] * number

    def position(self) -> int:
        return len(self.times)

    def count(
        self, kind: str, since: float | None = None, *, after: int | None = None, limit: int | None = None
    ) -> int:
        begin = max(after or 0, 0 if since is None else bisect_left(self.times, since))
        found = sum(1 for one in self.kinds[begin:] if one == kind)
        return found if limit is None else min(found, limit)


class Rig:
    """A schedule, a clock and records; runs take *seconds*."""

    def __init__(self, phrase: Any, *, start: float = 0.0, seconds: float = 0.0, **options: Any) -> None:
        self.clock = VirtualClock(start)
        self.records = Pile()
        self.schedule = Schedule(trigger(phrase), now=start, **options)
        self.seconds = seconds
        self.fires: list[float] = []
        self.skips: list[Decision] = []
        self.decisions: list[Decision] = []

    def until(self, end: float, *, ok: bool = True) -> None:
        """Let time go by as the schedule asks for it."""
        while self.clock.now() <= end:
            found = self.schedule.decide(self.clock.now(), self.records)
            if found.act is Act.WAIT:
                if found.at > end:
                    self.clock.advance(max(0.0, end - self.clock.now()))
                    return
                self.clock.advance(found.at - self.clock.now())
                continue
            self.decisions.append(found)
            if found.act is Act.SKIP:
                self.skips.append(found)
            elif found.act is Act.FIRE:
                self.fires.append(self.clock.now())
                self.clock.advance(self.seconds)
                self.schedule.ended(self.clock.now(), ok=ok)

    def restarted(self, phrase: Any = None, **options: Any) -> None:
        """As if the process had been ended and started again; what is kept went through a file."""
        kept = json.loads(json.dumps(self.schedule.state()))
        new = self.schedule.trigger if phrase is None else trigger(phrase)
        self.schedule = Schedule(new, now=self.clock.now(), state=kept, **options)


def hours(*values: float) -> list[float]:
    return [value * HOUR for value in values]


# --- B-1 and B-3


def test_every_200_ms_fires_ten_times_in_two_seconds() -> None:
    """B-1: the fires, by a virtual clock."""
    rig = Rig("every 200 ms", start=1.7e9)
    rig.until(1.7e9 + 2.1)
    assert len(rig.fires) == 10
    assert rig.schedule.missed == 0


def _day(rig: Rig) -> None:
    for moment, number, kind in [
        *((0.5, 999, "elf"), (0.5, 5000, "pe"), (1.5, 1, "elf"), (3 + 1 / 60, 1000, "elf")),
        *((4.5, 600, "elf"), (7 + 1 / 6, 400, "elf")),
    ]:
        rig.until(moment * HOUR)
        rig.records.add(number, kind, rig.clock.now())
    rig.until(8 * HOUR)


def test_an_interval_and_a_count_fire_when_both_hold() -> None:
    """B-3: fires at 2:00 and 4:00 only, six ticks skipped for the condition."""
    rig = Rig(Every("1 h") & AtLeast(1000, "elf", within="2 h"))
    _day(rig)
    assert rig.fires == hours(2, 4)
    assert [skip.at for skip in rig.skips] == hours(1, 3, 5, 6, 7, 8)
    assert all(skip.reason.startswith("condition: ") for skip in rig.skips)
    assert rig.skips[0].reason == "condition: 999 of 1000 new 'elf' since the last run within 2 h"
    assert rig.schedule.skipped == 6


def test_the_interval_alone_fires_at_each_tick() -> None:
    """B-3: the interval alone."""
    rig = Rig("every 1 h")
    _day(rig)
    assert rig.fires == hours(1, 2, 3, 4, 5, 6, 7, 8)


def test_without_a_window_all_records_since_the_last_run_count() -> None:
    rig = Rig(Every("1 h") & AtLeast(1000, "elf"))
    _day(rig)
    assert rig.fires == hours(2, 4, 8)


# --- starting


@pytest.mark.parametrize("phrase", ["every 1 h", "hourly", "cron 0 * * * *"])
def test_nothing_fires_at_the_start(phrase: str) -> None:
    rig = Rig(phrase)
    rig.until(HOUR - 1)
    assert rig.fires == []
    rig.until(HOUR)
    assert rig.fires == hours(1)


def test_one_may_ask_for_a_run_at_the_start() -> None:
    rig = Rig("at start | every 1 h")
    rig.until(2.5 * HOUR)
    assert rig.fires == pytest.approx(hours(0, 1, 2), abs=0.001)
    rig.restarted()
    rig.until(3 * HOUR)
    assert rig.fires[3:] == pytest.approx(hours(2.5, 3), abs=0.001)


def test_periods_are_counted_from_the_start_of_the_pipe() -> None:
    rig = Rig("every 10 s", start=103.0, anchor=100.0)
    rig.until(130.0)
    assert rig.fires == [110.0, 120.0, 130.0]


# --- no overlap, missed ticks


def test_a_run_that_takes_longer_than_the_period_makes_missed_ticks_one() -> None:
    """B-5"""
    rig = Rig("every 1 s", seconds=2.5)
    rig.until(11.0)
    assert rig.fires == [1.0, 3.5, 6.0, 8.5, 11.0]
    assert [found.missed for found in rig.decisions] == [0, 1, 2, 1, 2]
    assert rig.schedule.missed == 6


def test_while_a_run_lasts_there_is_nothing_to_do() -> None:
    schedule = Schedule(Every(1), now=0.0)
    assert schedule.decide(1.0).act is Act.FIRE
    assert schedule.running
    assert schedule.decide(5.0) == Decision(Act.WAIT, NEVER)
    schedule.ended(5.5)
    assert schedule.decide(5.5) == Decision(Act.FIRE, 5.0, missed=3)


def test_there_is_no_drift_in_an_hour() -> None:
    """B-5: of virtual time."""
    rig = Rig("every 100 ms", seconds=0.03)
    rig.until(HOUR)
    assert len(rig.fires) == 36_000
    assert max(abs(moment - 0.1 * number) for number, moment in enumerate(rig.fires, 1)) < 1e-5


def test_a_tick_that_was_skipped_is_over() -> None:
    rig = Rig(Every("1 h") & AtLeast(1, "elf"))
    rig.until(1.5 * HOUR)
    rig.records.add(1, "elf", rig.clock.now())
    rig.until(1.9 * HOUR)
    assert rig.fires == []
    rig.until(2 * HOUR)
    assert rig.fires == hours(2)


# --- restarts


@pytest.mark.parametrize("phrase", ["every 1 h", "hourly", "cron 0 * * * *"])
def test_after_downtime_there_is_one_catch_up_not_five(phrase: str) -> None:
    """B-4"""
    rig = Rig(phrase)
    rig.until(1 * HOUR)
    rig.clock.advance(5.5 * HOUR)
    rig.restarted()
    rig.until(8 * HOUR)
    assert rig.fires == hours(1, 6.5, 7, 8)
    assert rig.schedule.missed == 4
    assert rig.schedule.fires == 4


@pytest.mark.parametrize("phrase", ["every 1 h", "hourly"])
def test_a_restart_within_a_period_fires_no_earlier(phrase: str) -> None:
    rig = Rig(phrase)
    for moment in (0.5, 1.2, 1.4, 1.8):
        rig.until(moment * HOUR)
        rig.restarted()
    rig.until(2 * HOUR)
    assert rig.fires == hours(1, 2)


def test_a_tick_missed_before_the_first_fire_is_caught_up() -> None:
    rig = Rig("hourly", start=600.0)
    rig.clock.advance(HOUR)
    rig.restarted()
    rig.until(1.2 * HOUR)
    assert rig.fires == [HOUR + 600.0]


def test_a_run_that_was_killed_is_known_and_not_repeated_at_once() -> None:
    rig = Rig("every 1 h")
    rig.clock.advance(HOUR)
    assert rig.schedule.decide(rig.clock.now()).act is Act.FIRE
    rig.restarted()
    assert rig.schedule.interrupted
    rig.until(2 * HOUR)
    assert rig.fires == hours(2)
    rig.restarted()
    assert not rig.schedule.interrupted


def test_records_of_a_killed_run_count_again() -> None:
    rig = Rig("every 1 h & at least 10 elf")
    rig.records.add(10, "elf", 0.0)
    rig.clock.advance(HOUR)
    assert rig.schedule.decide(rig.clock.now(), rig.records).act is Act.FIRE
    rig.restarted()
    rig.until(3 * HOUR)
    assert rig.fires == hours(2)


def test_another_interval_counts_from_the_last_tick() -> None:
    rig = Rig("every 1 h")
    rig.until(1.2 * HOUR)
    rig.restarted("every 30 min")
    rig.until(2 * HOUR)
    assert rig.fires == hours(1, 1.5, 2)


def test_an_interval_that_became_longer_does_not_fire_at_once() -> None:
    rig = Rig("every 1 s")
    rig.until(10.5)
    rig.restarted("every 1 h")
    rig.until(HOUR)
    assert rig.fires[10:] == []


# --- parts of periods


def test_a_part_of_the_day_fires_at_its_beginning_and_not_when_it_is_over() -> None:
    rig = Rig("daily between 10:00 and 12:00 in UTC")
    rig.until(11 * HOUR)
    assert rig.fires == hours(10)
    rig.clock.advance(24 * HOUR)
    rig.restarted()
    rig.until(36 * HOUR)
    assert rig.fires == hours(10, 35)
    rig.clock.advance(48 * HOUR)
    rig.restarted()
    rig.until(85 * HOUR)
    assert rig.fires == hours(10, 35)
    assert [skip.reason for skip in rig.skips] == ["it was too late for it"]


def test_a_rhythm_within_a_time_of_day_sleeps_outside_it() -> None:
    rig = Rig("every 30 min & time of day between 10:00 and 12:00 in UTC")
    rig.until(24 * HOUR)
    assert rig.fires == hours(10, 10.5, 11, 11.5)
    assert rig.skips == []
    assert rig.schedule.decide(rig.clock.now()) == Decision(Act.WAIT, 34 * HOUR)


def test_ticks_outside_the_time_of_day_are_not_caught_up_later() -> None:
    rig = Rig("every 30 min & time of day between 10:00 and 12:00 in UTC", start=9 * HOUR)
    rig.clock.advance(9 * HOUR)
    rig.restarted()
    rig.until(33 * HOUR)
    assert rig.fires == []


def test_being_far_behind_within_a_time_of_day_is_one_catch_up() -> None:
    rig = Rig("every 1 s & time of day between 00:00 and 23:00 in UTC")
    rig.clock.advance(22 * HOUR)
    rig.until(22 * HOUR + 2)
    assert rig.fires == [22 * HOUR, 22 * HOUR + 1, 22 * HOUR + 2]


def test_a_time_of_day_alone_fires_again_and_again_while_it_lasts() -> None:
    rig = Rig("time of day between 10:00 and 10:01 in UTC", seconds=15.0)
    rig.until(12 * HOUR)
    assert rig.fires == [10 * HOUR + second for second in (0, 15, 30, 45)]


def test_two_rhythms_joined_fire_when_both_have_ticked() -> None:
    rig = Rig("every 10 min & every 25 min")
    rig.until(1.6 * HOUR)
    assert [fire / 60 for fire in rig.fires] == [25, 50, 75]


def test_either_of_two_rhythms_fires_and_the_same_moment_is_one() -> None:
    rig = Rig("every 20 min | every 30 min")
    rig.until(HOUR)
    assert [fire / 60 for fire in rig.fires] == [20, 30, 40, 60]
    assert rig.schedule.missed == 0


# --- counts alone


def test_a_count_alone_fires_as_soon_as_it_is_reached() -> None:
    rig = Rig("at least 1000 elf")
    assert rig.schedule.decide(0.0, rig.records) == Decision(Act.WAIT, NEVER, kinds=frozenset({"elf"}))
    rig.records.add(999, "elf", 1.0)
    rig.until(5.0)
    assert rig.fires == []
    rig.records.add(1, "elf", 5.0)
    rig.until(6.0)
    assert rig.fires == [5.0]
    rig.records.add(1500, "elf", 6.0)
    rig.until(7.0)
    assert rig.fires == [5.0, 6.0]


def test_records_that_come_during_a_run_count_for_the_next() -> None:
    rig = Rig("at least 10 elf")
    rig.records.add(10, "elf", 0.0)
    assert rig.schedule.decide(0.0, rig.records).act is Act.FIRE
    rig.records.add(10, "elf", 0.0)
    rig.schedule.ended(1.0)
    assert rig.schedule.decide(1.0, rig.records).act is Act.FIRE
    rig.schedule.ended(2.0)
    assert rig.schedule.decide(2.0, rig.records).act is Act.WAIT


def test_a_count_or_an_interval_fires_at_whichever_comes_first() -> None:
    rig = Rig("every 1 h | at least 10 elf")
    rig.until(0.5 * HOUR)
    rig.records.add(10, "elf", rig.clock.now())
    rig.until(2 * HOUR)
    assert rig.fires == hours(0.5, 1, 2)


def test_a_count_whose_run_fails_is_tried_again_later_and_later() -> None:
    rig = Rig("at least 1 elf")
    rig.records.add(1, "elf", 0.0)
    rig.until(10.0, ok=False)
    assert rig.fires == [0.0, 1.0, 3.0, 7.0]
    rig.until(15.0)
    assert rig.fires[4:] == [15.0]
    rig.records.add(1, "elf", 15.0)
    rig.until(16.0)
    assert rig.fires[5:] == [15.0]


# --- time-outs and clocks


def test_a_run_that_takes_too_long_is_told_once() -> None:
    """B-7"""
    schedule = Schedule(Every(10), now=0.0, timeout=3.0)
    assert schedule.decide(10.0).act is Act.FIRE
    assert schedule.decide(11.0) == Decision(Act.WAIT, 13.0)
    assert schedule.decide(13.0) == Decision(Act.TIMED_OUT, 13.0, reason="it took longer than 3 s")
    assert schedule.decide(14.0) == Decision(Act.WAIT, NEVER)
    schedule.ended(25.0, ok=False)
    assert schedule.decide(25.0) == Decision(Act.FIRE, 20.0)


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_timeout_that_is_no_time_is_refused(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout is a time in seconds above 0"):
        Schedule(Every(1), now=0.0, timeout=timeout)


def test_a_clock_that_is_set_back_does_not_stop_an_interval() -> None:
    rig = Rig("every 10 s", start=10 * HOUR)
    rig.until(10 * HOUR + 20)
    rig.clock.set_to(8 * HOUR + 5)
    rig.until(8 * HOUR + 30)
    assert rig.fires[2:] == [8 * HOUR + 10, 8 * HOUR + 20, 8 * HOUR + 30]


def test_a_clock_that_is_set_back_an_hour_repeats_no_calendar_tick() -> None:
    rig = Rig("hourly", start=0.0)
    rig.until(3 * HOUR)
    rig.clock.set_to(2.5 * HOUR)
    rig.until(4 * HOUR)
    assert rig.fires == hours(1, 2, 3, 4)


def test_a_clock_that_was_wrong_by_years_does_not_stop_a_calendar() -> None:
    rig = Rig("hourly", start=1e9)
    rig.until(1e9 + 2 * HOUR)
    rig.clock.set_to(0.0)
    rig.until(2 * HOUR)
    assert rig.fires[2:] == hours(1, 2)


def test_a_clock_that_is_set_forward_makes_missed_ticks_one() -> None:
    rig = Rig("every 1 h")
    rig.until(1.5 * HOUR)
    rig.clock.set_to(9.5 * HOUR)
    rig.until(10 * HOUR)
    assert rig.fires == hours(1, 9.5, 10)


# --- all of it


def test_a_trigger_with_far_too_many_branches_is_refused() -> None:
    several = "(hourly | every 7 min)"
    with pytest.raises(ValueError, match="more than 64 branches"):
        Schedule(trigger(" & ".join([several] * 7)), now=0.0)


@given(
    phrase=st.sampled_from(
        ["every 7 s", "minutely", "every 7 s | minutely", "every 7 s & every 11 s", "minutely after 30", "secondly"]
    ),
    steps=st.lists(st.tuples(st.floats(0, 100), st.floats(0, 30), st.booleans()), max_size=20),
)
def test_however_time_passes_runs_never_overlap_and_no_fire_is_early(
    phrase: str, steps: list[tuple[float, float, bool]]
) -> None:
    rig = Rig(phrase)
    for wait, run, restart in steps:
        rig.clock.advance(wait)
        before = rig.schedule.last_fire
        found = rig.schedule.decide(rig.clock.now())
        if found.act is Act.FIRE:
            assert before is None or found.at > before - 100
            assert found.at <= rig.clock.now() + 1e-6
            assert rig.schedule.decide(rig.clock.now()).act is Act.WAIT
            rig.clock.advance(run)
            rig.schedule.ended(rig.clock.now())
        elif found.act is Act.WAIT:
            assert found.at > rig.clock.now()
        if restart:
            rig.restarted()


def test_a_tick_that_is_found_a_little_too_early_fires_once() -> None:
    schedule = Schedule(Every(10), now=100.0000005, anchor=100.0000005)
    assert schedule.decide(110.0).act is Act.FIRE
    schedule.ended(110.0)
    assert schedule.decide(110.0) == Decision(Act.WAIT, 120.0000005)


def test_another_trigger_goes_on_from_the_last_tick_and_makes_up_for_nothing() -> None:
    schedule = Schedule(Every(3600), now=0.0)
    assert schedule.decide(3600.0).act is Act.FIRE
    schedule.ended(3601.0)
    changed = schedule.changed_to(Every(600), 5000.0)
    assert changed.decide(5000.0) == Decision(Act.WAIT, 5400.0)
    assert (changed.fires, changed.last_fire) == (1, 3600.0)
