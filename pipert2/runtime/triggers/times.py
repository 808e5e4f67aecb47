"""When triggers tick: durations, cron lines, and places in a minute, hour, day, week or month.

Cron arithmetic is cronsim's, which follows Debian's cron, also where clocks are set forward and back.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from functools import lru_cache

from pipert2.errors import nearest

NEVER = math.inf
_BEFORE = 1e-3  # less than any two ticks of a calendar are apart

_UNITS = {
    0.001: ("ms", "msec", "msecs", "millisecond", "milliseconds"),
    1.0: ("s", "sec", "secs", "second", "seconds"),
    60.0: ("min", "m", "mins", "minute", "minutes"),
    3600.0: ("h", "hour", "hours", "hr", "hrs"),
    86400.0: ("d", "day", "days"),
    604800.0: ("w", "week", "weeks"),
}
UNIT_NAMES = {name: seconds for seconds, names in _UNITS.items() for name in names}
_PART = re.compile(r"(\d+(?:\.\d+)?|\.\d+)?\s*([a-z]+)\s*(?:,|and\b)?\s*")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True)
class Tick:
    """A moment at which something is due, and the moment from which on it is too late for it."""

    due: float
    until: float = NEVER


def duration(text: str) -> float | None:
    """Seconds in *text*, None if it is no duration.

    >>> duration("1h 30min"), duration("500 ms"), duration("day"), duration("banana")
    (5400.0, 0.5, 86400.0, None)
    """
    rest, total = text.strip().lower(), 0.0
    whole = rest
    while rest:
        found = _PART.match(rest)
        if found is None or found[2] not in UNIT_NAMES or (found[1] is None and found.end() != len(whole)):
            return None
        total += float(found[1] or 1) * UNIT_NAMES[found[2]]
        rest = rest[found.end() :]
    return total if whole else None


def nearest_duration(text: str) -> str | None:
    """What *text* becomes when words that are no units are replaced by those that look most like them."""
    units = [name for name in UNIT_NAMES if len(name) > 2]
    guess = re.sub(r"[A-Za-z]+", lambda w: w[0] if w[0].lower() in UNIT_NAMES else nearest(w[0], units) or w[0], text)
    return guess if guess != text and duration(guess) is not None else None


def shown_duration(seconds: float) -> str:
    """*seconds* as :func:`duration` reads them, in the largest unit that needs no fraction.

    >>> shown_duration(5400.0), shown_duration(0.25), shown_duration(90000.0)
    ('90 min', '250 ms', '25 h')
    """
    for unit in sorted(_UNITS, reverse=True):
        number = seconds / unit
        if number >= 1 and round(number) * unit == seconds:
            return f"{round(number)} {_UNITS[unit][0]}"
    return f"{format(seconds, 'f').rstrip('0')} s" if float(format(seconds, "f")) == seconds else f"{seconds!r} s"


@lru_cache(maxsize=64)
def zone(name: str | None) -> tzinfo:
    """A time zone by its name; None: the machine's own.

    Raises:
        ValueError: there is none of this name.
    """
    # Here, because importing them looks around in the machine's settings, for which most pipes have no use.
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    import tzlocal

    if name is None:
        try:
            return tzlocal.get_localzone()
        except (ZoneInfoNotFoundError, OSError, ValueError):  # a machine whose settings contradict each other
            return datetime.now().astimezone().tzinfo or timezone.utc
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {name!r}") from None


@dataclass(frozen=True, slots=True)
class CronTimes:
    """The moments that a cron line names, in a time zone.

    Raises:
        ValueError: the line is none, or names no moment in the next 50 years.
    """

    line: str
    timezone: str | None = None

    def __post_init__(self) -> None:
        from cronsim import CronSim, CronSimError

        where = zone(self.timezone)
        try:
            next(CronSim(self.line, datetime(2024, 1, 1, tzinfo=where)))
        except CronSimError as error:
            raise ValueError(f"{str(error)[:1].lower()}{str(error)[1:]} in {self.line!r}") from None
        except StopIteration:
            raise ValueError(f"{self.line!r} names a moment that never comes") from None

    def first(self, after: float) -> float:
        """The first of them after a moment."""
        return self._next(math.floor(after), reverse=False)

    def last(self, until: float) -> float:
        """The last of them that is not after a moment."""
        return self._next(math.floor(until) + 1, reverse=True)

    def _next(self, moment: int, reverse: bool) -> float:
        from cronsim import CronSim

        there = zone(self.timezone)
        try:
            return next(CronSim(self.line, datetime.fromtimestamp(moment, there), reverse=reverse)).timestamp()
        except (StopIteration, OverflowError, OSError, ValueError):
            return -NEVER if reverse else NEVER


@lru_cache(maxsize=256)
def cron_times(line: str, timezone: str | None) -> CronTimes:
    """As ``CronTimes(line, timezone)``, which reads the line anew."""
    return CronTimes(line, timezone)


@dataclass(frozen=True, slots=True)
class Place:
    """A place in each minute, hour, day, ...: what a cron line names, and so many seconds later.

    Args:
        times: where the count of *seconds* begins; None: each whole second.
        span: how long the place itself is: that of a day is a day, that of ``10:00`` an hour.
        whole_day: it is a day, without a time of day.
    """

    times: CronTimes | None
    seconds: float
    span: float
    whole_day: bool = False

    def first(self, after: float) -> float:
        if self.times is None:
            return math.floor(after - self.seconds) + 1 + self.seconds
        return self.times.first(after - self.seconds) + self.seconds

    def last(self, until: float) -> float:
        if self.times is None:
            return math.floor(until - self.seconds) + self.seconds
        return self.times.last(until - self.seconds) + self.seconds


_CLOCK = re.compile(r"(\d{1,2})(?::(\d{2}))?(?::(\d{2}))?\s*(am|pm)?")
_CLOCK_UNDER = re.compile(r"(\d{1,2})(?::(\d{2}))?")
_START = {"minutely": "* * * * *", "hourly": "0 * * * *", "daily": "0 0 * * *", "weekly": "0 0 * * 1"}
_START["monthly"] = "0 0 1 * *"
PERIODS = ("secondly", *_START)
EXAMPLES = {
    "secondly": "250 ms",
    "minutely": "30",
    "hourly": "15:00 (minutes and seconds)",
    "daily": "10:00",
    "weekly": "Monday or Monday 10:00",
    "monthly": "1st or 1st 10:00",
}


def start_of(period: str, timezone: str | None) -> Place:
    """Where each *period* begins; a week on Monday."""
    return Place(cron_times(_START[period], timezone) if period in _START else None, 0.0, 0.0)


def clock_time(text: str) -> tuple[int, int, int, bool] | None:
    """Hour, minute and second in *text*, and whether it had minutes; None if it is no time of day.

    >>> clock_time("10:00"), clock_time("3 pm"), clock_time("25:00")
    ((10, 0, 0, True), (15, 0, 0, False), None)
    """
    found = _CLOCK.fullmatch(text.strip().lower())
    if found is None:
        return None
    hour, minute, second = int(found[1]), int(found[2] or 0), int(found[3] or 0)
    if found[4]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if found[4] == "pm" else 0)
    return (hour, minute, second, found[2] is not None) if hour < 24 and minute < 60 and second < 60 else None


@lru_cache(maxsize=256)
def place_in(period: str, text: str, timezone: str | None) -> Place | None:
    """The place that *text* names in each *period*, such as ``10:00`` in each day; None if it names none."""
    text = text.strip().lower()
    if period == "secondly":
        seconds = duration(text if re.search("[a-z]", text) else f"{text} ms")
        return None if seconds is None or seconds >= 1 else Place(None, seconds, 0.1)
    if period == "minutely":
        number = re.fullmatch(r"(\d{1,2})\s*(s|sec|seconds?)?", text)
        if number is None or int(number[1]) > 59:
            return None
        return Place(cron_times("* * * * *", timezone), float(number[1]), 1.0)
    if period == "hourly":
        found = _CLOCK_UNDER.fullmatch(re.sub(r"\s*(min|minutes?)$", "", text))
        if found is None or int(found[1]) > 59 or int(found[2] or 0) > 59:
            return None
        return Place(cron_times(f"{int(found[1])} * * * *", timezone), float(found[2] or 0), 60.0)
    day, _, rest = text.partition(" ")
    if period == "daily":
        day, rest = "* * *", text
    elif period == "weekly":
        numbers = [number for number, name in enumerate(WEEKDAYS, 1) if len(day) > 2 and name.startswith(day)]
        if not numbers:
            return None
        day = f"* * {numbers[0] % 7}"
    else:
        ordinal = re.fullmatch(r"(\d{1,2})(st|nd|rd|th|\.)?", day)
        if ordinal is None or not 1 <= int(ordinal[1]) <= 31:
            return None
        day = f"{int(ordinal[1])} * *"
    when = clock_time(rest.removeprefix("at ")) if rest else (0, 0, 0, False)
    if when is None:
        return None
    times = cron_times(f"{when[1]} {when[0]} {day}", timezone)
    return Place(times, float(when[2]), 3600.0 if period == "daily" else 86400.0, whole_day=not rest)


def day_after(moment: float, timezone: str | None) -> float:
    """The same time of day on the next day, on a day on which clocks are changed too."""
    there = zone(timezone)
    local = datetime.fromtimestamp(moment, there)
    return (local.replace(tzinfo=None, fold=0) + timedelta(days=1)).replace(tzinfo=there).timestamp()


@dataclass(frozen=True, slots=True)
class CalendarTimes:
    """The ticks of ``daily``, ``daily between 10:00 and 12:00`` and their like: one in each period.

    Args:
        how: ``""``, ``"before"``, ``"between"``, ``"after"``, ``"on"``, ``"starting"``.
    """

    period: str
    how: str
    places: tuple[Place, ...]
    timezone: str | None

    def first(self, after: float) -> Tick:
        return self._tick(self._begin().first(after))

    def last(self, until: float) -> Tick:
        return self._tick(self._begin().last(until))

    def _begin(self) -> Place:
        return start_of(self.period, self.timezone) if self.how in ("", "before") else self.places[0]

    def _tick(self, due: float) -> Tick:
        if not math.isfinite(due):
            return Tick(due)
        return Tick(due, self._until(due))

    def _until(self, due: float) -> float:
        begins = start_of(self.period, self.timezone)
        if self.how == "before":
            return self.places[0].first(due)
        if self.how == "after":
            return begins.first(due)
        if self.how == "on":
            place = self.places[0]
            return day_after(due, self.timezone) if place.whole_day else due + place.span
        if self.how == "between":
            end = self.places[1]
            if not end.whole_day:
                return end.first(due)
            last_day = end.first(due - _BEFORE)
            following = begins.first(due)
            # A month that has no such day is a window that ends with it; "between 28th and 3rd" goes on around its end.
            if last_day >= following and last_day - following >= due - begins.last(due):
                return following
            return day_after(last_day, self.timezone)
        return NEVER


@lru_cache(maxsize=256)
def calendar_times(period: str, how: str, places: tuple[str, ...], timezone: str | None) -> CalendarTimes:
    """The ticks of a calendar trigger whose places were checked."""
    found = (place_in(period, place, timezone) for place in places)
    return CalendarTimes(period, how, tuple(place for place in found if place is not None), timezone)
