"""Triggers are values that say when they tick, and phrases stand for them."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipert2 import ConfigError
from pipert2.runtime.triggers.phrases import trigger
from pipert2.runtime.triggers.times import NEVER, duration, shown_duration
from pipert2.runtime.triggers.triggers import (
    AllOf,
    AnyOf,
    AtLeast,
    AtStart,
    Began,
    Calendar,
    Cron,
    Every,
    Rhythm,
    TimeOfDay,
    with_interval,
)

START = Began(0.0, 0.0)


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def ticks(phrase: str, after: str, number: int, zone: str = "UTC") -> list[str]:
    """The next ticks, as local times; with the end of the window behind a slash, if there is one."""
    rhythm = trigger(f"{phrase} in {zone}")
    assert isinstance(rhythm, Rhythm)
    found, moment = [], at(after, zone)
    for _ in range(number):
        tick = rhythm.first(moment, START)
        assert rhythm.last(tick.due, START) == tick
        assert rhythm.last(tick.due - 0.01, START).due < tick.due
        text = local(tick.due, zone)
        found.append(text if tick.until == NEVER else f"{text} / {local(tick.until, zone)}")
        moment = tick.due
    return found


def local(moment: float, zone: str) -> str:
    return datetime.fromtimestamp(moment, ZoneInfo(zone)).strftime("%a %d %H:%M:%S")


# --- durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("10 s", 10), ("10 seconds", 10), ("1h 30min", 5400), ("1h30min", 5400), ("500 ms", 0.5), ("1.5 h", 5400)),
        *(("2 days, 3 hours", 183600), ("1 h and 5 min", 3900), ("day", 86400), ("15 min", 900), ("1 week", 604800)),
        *(("", None), ("5", None), ("banana", None), ("5 apples", None), ("h 5 min", None), ("-5 s", None)),
    ],
)
def test_durations_are_read(text: str, seconds: float | None) -> None:
    assert duration(text) == seconds


@given(st.floats(0.001, 1e11))
def test_durations_are_shown_as_they_are_read(seconds: float) -> None:
    assert duration(shown_duration(seconds)) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(("value", "seconds"), [("10 s", 10.0), (5, 5.0), (0.25, 0.25), (timedelta(hours=1), 3600.0)])
def test_every_takes_seconds_texts_and_timedeltas(value: Any, seconds: float) -> None:
    assert Every(value).seconds == seconds


@pytest.mark.parametrize("value", [0, -1, "0 s", "banana", "", None, True, float("nan"), float("inf"), [5], "hourly"])
def test_every_refuses_what_is_no_duration(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"Every\(\.\.\.\): 'period' is .*accepted: a number of seconds above 0"):
        Every(value)


def test_a_misspelt_unit_is_guessed() -> None:
    with pytest.raises(ConfigError, match="did you mean '10 seconds'"):
        Every("10 sceonds")


# --- phrases

PHRASES = [
    ("hourly", Calendar("hourly")),
    ("Daily", Calendar("daily")),
    ("every 10 seconds", Every(10)),
    ("every 1h 30min", Every(5400)),
    ("every 500 ms", Every(0.5)),
    ("every hour", Every(3600)),
    ("1 h", Every(3600)),
    (" 15 min ", Every(900)),
    (5, Every(5)),
    (timedelta(minutes=1), Every(60)),
    ("cron 0 * * * *", Cron("0 * * * *")),
    ("cron 0 9 * * mon-fri in Europe/Berlin", Cron("0 9 * * mon-fri", "Europe/Berlin")),
    ("daily between 10:00 and 12:00", Calendar("daily", "between", ("10:00", "12:00"))),
    ("daily at 10:00", Calendar("daily", "on", ("10:00",))),
    ("weekly on Monday", Calendar("weekly", "on", ("Monday",))),
    ("monthly starting 3rd", Calendar("monthly", "starting", ("3rd",))),
    ("minutely before 45", Calendar("minutely", "before", ("45",))),
    ("hourly after 15:00", Calendar("hourly", "after", ("15:00",))),
    ("time of day between 10:00 and 12:00", TimeOfDay("10:00", "12:00")),
    ("time of day before 10:00", TimeOfDay("00:00", "10:00")),
    ("time of day after 10:00", TimeOfDay("10:00", "00:00")),
    ("at start", AtStart()),
    ("at least 1000 elf within 1 hour", AtLeast(1000, "elf", "1 hour")),
    ('at least 3 "odd & even"', AtLeast(3, "odd & even")),
    ("every 10 s & time of day between 10:00 and 12:00", AllOf((Every(10), TimeOfDay("10:00", "12:00")))),
    ("hourly | at start", AnyOf((Calendar("hourly"), AtStart()))),
    ("(hourly | daily) & at least 5 elf", AllOf((AnyOf((Calendar("hourly"), Calendar("daily"))), AtLeast(5, "elf")))),
    ("hourly & at least 5 elf | daily", AnyOf((AllOf((Calendar("hourly"), AtLeast(5, "elf"))), Calendar("daily")))),
]


@pytest.mark.parametrize(("phrase", "meant"), PHRASES)
def test_phrases_stand_for_triggers(phrase: Any, meant: Any) -> None:
    assert trigger(phrase) == meant


@pytest.mark.parametrize("meant", [meant for _, meant in PHRASES])
def test_a_trigger_is_shown_as_the_phrase_that_stands_for_it(meant: Any) -> None:
    assert trigger(str(meant)) == meant


@pytest.mark.parametrize("period", ["secondly", "minutely", "hourly", "daily", "weekly", "monthly"])
@pytest.mark.parametrize("how", ["before {}", "after {}", "on {}", "starting {}", "between {} and {}"])
def test_each_period_has_each_part(period: str, how: str) -> None:
    places = {"secondly": "250 ms", "minutely": "30", "hourly": "15:00", "daily": "10:00", "weekly": "Tue"}
    place = places.get(period, "2nd")
    rhythm = trigger(f"{period} {how.format(place, place)}")
    assert isinstance(rhythm, Rhythm)
    tick = rhythm.first(1e9, START)
    assert 1e9 < tick.due < tick.until


@pytest.mark.parametrize(
    "value",
    [
        *("evry 5 s", "every banana", "", " ", None, 0, -1, "every 0 second", True, ["hourly"], {}, "(hourly"),
        *("hourly)", "hourly &", "| hourly", "x" * 5000, "(" * 5000, '"', "after task 'x'", "daily between 10:00"),
        "5",
    ],
)
def test_what_stands_for_nothing_is_one_error_that_says_what_is_accepted(value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        trigger(value, where="configs/A.json", key="interval")
    error = caught.value
    assert (error.where, error.key, error.value) == ("configs/A.json", "interval", value)
    assert str(error).startswith("configs/A.json: 'interval' is ")
    assert "hourly" in error.accepted or "seconds above 0" in error.accepted
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("evry 5 s", "every 5 s"),
        ("evry 5 sceonds", "every 5 seconds"),
        ("hurly", "hourly"),
        ("dialy between 10:00 and 12:00", "daily between 10:00 and 12:00"),
        ("weekly on Mondey", "weekly on monday"),
        ("every banana", None),
    ],
)
def test_what_may_have_been_meant_is_said(value: str, meant: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        trigger(value)
    assert caught.value.nearest == meant


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("cron 99 * * * *", "bad minute in '99"),
        ("cron * *", "wrong number of fields"),
        ("cron 0 0 30 2 *", "bad day-of-month"),
        ("hourly before 99:00", "with hourly places such as 15:00"),
        ("daily on Monday", "with daily places such as 10:00"),
        ("monthly on 32nd", "with monthly places such as 1st"),
        ("daily in Nowhere/Land", "there is no time zone 'Nowhere/Land'"),
        ("cron 0 * * * * in Nowhere/Land", "there is no time zone 'Nowhere/Land'"),
        ("time of day between 10:00 and 25:00", "a time of day such as 10:00"),
        ("at least 0 elf", "a whole number, 1 or more"),
    ],
)
def test_a_phrase_that_is_nearly_right_says_what_is_wrong(phrase: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        trigger(phrase)


@given(st.text(max_size=40))
def test_any_text_is_a_trigger_or_one_error(text: str) -> None:
    try:
        found = trigger(text)
    except ConfigError:
        return
    assert trigger(str(found)) == found


@pytest.mark.parametrize("arguments", [(0, "elf"), (1.5, "elf"), (True, "elf"), (1, ""), (1, None), (1, 'a"b')])
def test_a_count_trigger_refuses_what_it_cannot_count(arguments: Any) -> None:
    with pytest.raises(ConfigError, match=r"AtLeast\(\.\.\.\)"):
        AtLeast(*arguments)


def test_triggers_joined_by_words_are_refused() -> None:
    with pytest.raises(TypeError, match="combined with & and"):
        Every(1) and Every(2)
    with pytest.raises(TypeError):
        Every(1) & "hourly"  # type: ignore[operator]


def test_triggers_are_values() -> None:
    assert Every("1 h") & AtLeast(5, "elf") == trigger("1 h & at least 5 elf")
    assert len({Every(60), Every("1 min"), trigger("every minute")}) == 1


# --- when they tick


def test_every_has_no_drift() -> None:
    assert [Every(0.1).first(number * 0.1 + 0.05, Began(0.0, 0.0)).due for number in range(3)] == pytest.approx(
        [0.1, 0.2, 0.3]
    )


@given(st.floats(0.001, 1e6), st.floats(0, 4e9), st.floats(0, 4e9))
def test_a_tick_is_after_the_moment_and_within_one_period(period: float, anchor: float, moment: float) -> None:
    assume(period > 1e-5 * 1)
    due = Every(period).first(moment, Began(anchor, anchor)).due
    assert moment < due <= moment + period * 1.01 + 1e-5
    assert Every(period).last(due, Began(anchor, anchor)).due == due


def test_calendar_words_tick_at_the_beginning_of_each_period() -> None:
    assert ticks("secondly", "2024-05-01T10:20:30", 2) == ["Wed 01 10:20:31", "Wed 01 10:20:32"]
    assert ticks("minutely", "2024-05-01T10:20:30", 2) == ["Wed 01 10:21:00", "Wed 01 10:22:00"]
    assert ticks("hourly", "2024-05-01T10:20:30", 2) == ["Wed 01 11:00:00", "Wed 01 12:00:00"]
    assert ticks("daily", "2024-05-01T10:20:30", 2) == ["Thu 02 00:00:00", "Fri 03 00:00:00"]
    assert ticks("weekly", "2024-05-01T10:20:30", 2) == ["Mon 06 00:00:00", "Mon 13 00:00:00"]
    assert ticks("monthly", "2024-05-01T10:20:30", 2) == ["Sat 01 00:00:00", "Mon 01 00:00:00"]


@pytest.mark.parametrize(
    ("phrase", "tick"),
    [
        ("daily between 10:00 and 12:00", "Thu 02 10:00:00 / Thu 02 12:00:00"),
        ("daily between 22:00 and 6:00", "Wed 01 22:00:00 / Thu 02 06:00:00"),
        ("daily before 9:30", "Thu 02 00:00:00 / Thu 02 09:30:00"),
        ("daily after 20:15:30", "Wed 01 20:15:30 / Thu 02 00:00:00"),
        ("daily on 3 pm", "Wed 01 15:00:00 / Wed 01 16:00:00"),
        ("daily starting 9:00", "Thu 02 09:00:00"),
        ("hourly between 15:00 and 30:30", "Wed 01 11:15:00 / Wed 01 11:30:30"),
        ("hourly on 25", "Wed 01 10:25:00 / Wed 01 10:26:00"),
        ("hourly before 45:00", "Wed 01 11:00:00 / Wed 01 11:45:00"),
        ("minutely on 45", "Wed 01 10:20:45 / Wed 01 10:20:46"),
        ("minutely after 15", "Wed 01 10:21:15 / Wed 01 10:22:00"),
        ("weekly on Friday", "Fri 03 00:00:00 / Sat 04 00:00:00"),
        ("weekly between Mon and Fri", "Mon 06 00:00:00 / Sat 11 00:00:00"),
        ("weekly between Fri and Mon", "Fri 03 00:00:00 / Tue 07 00:00:00"),
        ("weekly between Fri 20:00 and Mon 6:00", "Fri 03 20:00:00 / Mon 06 06:00:00"),
        ("weekly after Thursday", "Thu 02 00:00:00 / Mon 06 00:00:00"),
        ("weekly starting Sunday 12:00", "Sun 05 12:00:00"),
        ("monthly on 15th", "Wed 15 00:00:00 / Thu 16 00:00:00"),
        ("monthly between 2nd and 5th", "Thu 02 00:00:00 / Mon 06 00:00:00"),
        ("monthly between 28th and 3rd", "Tue 28 00:00:00 / Tue 04 00:00:00"),
        ("monthly between 30th and 31st", "Thu 30 00:00:00 / Sat 01 00:00:00"),
    ],
)
def test_parts_of_periods_begin_and_end_where_they_should(phrase: str, tick: str) -> None:
    assert ticks(phrase, "2024-05-01T10:20:30", 1) == [tick]


def test_a_window_up_to_a_day_that_a_month_has_not_ends_with_the_month() -> None:
    assert ticks("monthly between 28th and 31st", "2024-04-02T00:00:00", 1) == ["Sun 28 00:00:00 / Wed 01 00:00:00"]


def test_days_follow_the_clock_when_summer_time_begins_and_ends() -> None:
    berlin = "Europe/Berlin"
    assert ticks("daily", "2024-03-30T12:00:00", 2, berlin) == ["Sun 31 00:00:00", "Mon 01 00:00:00"]
    assert ticks("daily on 2:30", "2024-03-30T12:00:00", 1, berlin) == ["Sun 31 03:00:00 / Sun 31 04:00:00"]
    assert ticks("weekly on Sunday", "2024-10-22T12:00:00", 1, berlin) == ["Sun 27 00:00:00 / Mon 28 00:00:00"]


def test_hours_pass_one_after_the_other_when_clocks_are_set_back() -> None:
    rhythm = Calendar("hourly", timezone="Europe/Berlin")
    moment, found = at("2024-10-27T00:30:00", "Europe/Berlin"), []
    for _ in range(4):
        moment = rhythm.first(moment, START).due
        found.append(moment)
    assert {second - first for first, second in pairwise(found)} == {3600.0}


def test_cron_lines_may_have_seconds() -> None:
    assert ticks("cron */20 * * * * *", "2024-05-01T10:20:30", 2) == ["Wed 01 10:20:40", "Wed 01 10:21:00"]


def test_a_wait_that_ends_a_moment_early_does_not_lose_the_tick() -> None:
    due = at("2024-05-01T11:00:00")
    assert Cron("0 * * * *", "UTC").first(math.nextafter(due, 0.0), START).due == due


def test_times_of_day_open_and_close() -> None:
    night = TimeOfDay("22:00", "6:00", "UTC")
    assert night.open_until(at("2024-05-01T23:00:00")) == at("2024-05-02T06:00:00")
    assert night.open_until(at("2024-05-01T06:00:00")) is None
    assert night.opens(at("2024-05-01T06:00:00")) == at("2024-05-01T22:00:00")


def test_without_a_time_zone_it_is_the_machines_own() -> None:
    due = Calendar("daily").first(1.7e9, START).due
    found = datetime.fromtimestamp(due, timezone.utc).astimezone()
    assert (found.hour, found.minute) == (0, 0)


# --- the interval of a configuration


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        (None, "every 15 min"),
        ("every 1 h", "every 15 min"),
        ("hourly & at least 5 elf", "every 15 min & at least 5 elf"),
        ("at least 5 elf", "every 15 min & at least 5 elf"),
        ("at start | hourly", "at start | every 15 min"),
        ("hourly | daily", "every 15 min"),
    ],
)
def test_an_interval_replaces_the_rhythm_and_nothing_else(declared: str | None, found: str) -> None:
    before = None if declared is None else trigger(declared)
    assert str(with_interval(before, Every("15 min"))) == found
