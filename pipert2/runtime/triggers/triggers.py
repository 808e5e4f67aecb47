"""Triggers: values that say when a source runs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from pipert2.errors import ConfigError
from pipert2.runtime.triggers.times import (
    EXAMPLES,
    NEVER,
    PERIODS,
    CalendarTimes,
    CronTimes,
    Place,
    Tick,
    calendar_times,
    cron_times,
    duration,
    nearest_duration,
    place_in,
    shown_duration,
    zone,
)

_ACCEPTED_DURATION = 'a number of seconds above 0, or a text such as "10 s", "500 ms", "1h 30min"'
_SHORTEST, _LONGEST = 0.001, 1e11
_PLACES = {"": 0, "before": 1, "after": 1, "on": 1, "starting": 1, "between": 2}


class Trigger:
    """When a source runs. Triggers are combined with ``&`` (both) and ``|`` (either).

    >>> str(Every("1 hour") & AtLeast(1000, "elf", within="1 hour") | Cron("0 0 * * *"))
    '(every 1 h & at least 1000 elf within 1 h) | cron 0 0 * * *'
    """

    __slots__ = ()

    def __and__(self, other: Trigger) -> Trigger:
        return AllOf((self, other)) if isinstance(other, Trigger) else NotImplemented

    def __or__(self, other: Trigger) -> Trigger:
        return AnyOf((self, other)) if isinstance(other, Trigger) else NotImplemented

    def __bool__(self) -> bool:
        raise TypeError("triggers are combined with & and |, not with 'and' and 'or'")


@dataclass(frozen=True, slots=True)
class Began:
    """From when on a trigger's ticks count.

    Args:
        anchor: when the trigger was first used, in an earlier run perhaps (seconds since the epoch).
        started: when it was in this run.
    """

    anchor: float
    started: float


class Rhythm(Trigger):
    """A trigger that ticks at moments that are known beforehand."""

    __slots__ = ()

    def first(self, after: float, began: Began) -> Tick:
        """The first tick after a moment."""
        raise NotImplementedError

    def last(self, until: float, began: Began) -> Tick:
        """The last tick that is not after a moment."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, init=False)
class Every(Rhythm):
    """Every so often, counted from the start of the pipe, without drift; the first time after one *period*.

    Args:
        period: seconds, a ``timedelta`` or a text such as ``"10 s"``, ``"1h 30min"``, ``"500 ms"``.

    Raises:
        ConfigError: *period* is no time between a millisecond and some thousand years.
    """

    seconds: float

    def __init__(self, period: float | str | timedelta) -> None:
        object.__setattr__(self, "seconds", _seconds(period, "Every(...)", "period"))

    def first(self, after: float, began: Began) -> Tick:
        number = math.floor((after - began.anchor) / self.seconds) + 1
        while (due := began.anchor + number * self.seconds) <= after:  # division and product are rounded differently
            number += 1
        return Tick(due)

    def last(self, until: float, began: Began) -> Tick:
        number = math.floor((until - began.anchor) / self.seconds) + 1
        while (due := began.anchor + number * self.seconds) > until:
            number -= 1
        return Tick(due)

    def __str__(self) -> str:
        return f"every {shown_duration(self.seconds)}"


@dataclass(frozen=True, slots=True)
class Cron(Rhythm):
    """At the moments that a cron line names, as Debian's cron has them; with six fields the first is the second.

    Args:
        line: minute, hour, day of month, month, day of week.
        timezone: such as ``"Europe/Berlin"``; the machine's own if left out.

    Raises:
        ConfigError: *line* is no cron line, or *timezone* no time zone.
    """

    line: str
    timezone: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.line, str):
            raise ConfigError("Cron(...)", "line", self.line, 'a text such as "0 * * * *"')
        object.__setattr__(self, "line", " ".join(self.line.split()))
        try:
            self._times()
        except ValueError as error:
            accepted = f'minute, hour, day of month, month, day of week, such as "0 * * * *" ({error})'
            raise ConfigError("Cron(...)", "line", self.line, accepted) from None

    def _times(self) -> CronTimes:
        return cron_times(self.line, self.timezone)

    def first(self, after: float, began: Began) -> Tick:
        return Tick(self._times().first(after))

    def last(self, until: float, began: Began) -> Tick:
        return Tick(self._times().last(until))

    def __str__(self) -> str:
        return f"cron {self.line}{_in(self.timezone)}"


@dataclass(frozen=True, slots=True)
class Calendar(Rhythm):
    """Once in each second, minute, hour, day, week or month, in a part of it perhaps.

    Args:
        period: ``"secondly"``, ``"minutely"``, ``"hourly"``, ``"daily"``, ``"weekly"`` or ``"monthly"``.
        how: ``"before"``, ``"between"``, ``"after"``, ``"on"``: only in that part of it, at its beginning; or
            ``"starting"``: it begins there.
        places: one text, two for ``"between"``: ``"10:00"`` in a day, ``"Monday"`` in a week, ``"1st"`` in a month,
            ``"15:00"`` (minutes and seconds) in an hour, ``"30"`` in a minute.

    Raises:
        ConfigError: there is no such place.
    """

    period: str
    how: str = ""
    places: tuple[str, ...] = ()
    timezone: str | None = None

    def __post_init__(self) -> None:
        if self.period not in PERIODS or len(self.places) != _PLACES.get(self.how, -1):
            accepted = f"one of {', '.join(PERIODS)}, and before, after, on, starting or between"
            raise ConfigError("Calendar(...)", None, repr(str(self)), accepted)
        try:
            zone(self.timezone)
            found = [place_in(self.period, place, self.timezone) for place in self.places]
        except ValueError as error:
            accepted = f"the name of a time zone such as Europe/Berlin ({error})"
            raise ConfigError("Calendar(...)", "timezone", self.timezone, accepted) from None
        for place, text in zip(found, self.places, strict=True):
            if place is None:
                accepted = f"with {self.period} places such as {EXAMPLES[self.period]}, not {text!r}"
                raise ConfigError("Calendar(...)", "places", text, accepted)

    def _times(self) -> CalendarTimes:
        return calendar_times(self.period, self.how, self.places, self.timezone)

    def first(self, after: float, began: Began) -> Tick:
        return self._times().first(after)

    def last(self, until: float, began: Began) -> Tick:
        return self._times().last(until)

    def __str__(self) -> str:
        return " ".join(part for part in (self.period, self.how, " and ".join(self.places)) if part) + _in(
            self.timezone
        )


@dataclass(frozen=True, slots=True)
class AtStart(Rhythm):
    """Once, when the pipe starts: ``AtStart() | Every("1 hour")``."""

    def first(self, after: float, began: Began) -> Tick:
        due = math.nextafter(began.started, NEVER)
        return Tick(due if due > after else NEVER)

    def last(self, until: float, began: Began) -> Tick:
        due = math.nextafter(began.started, NEVER)
        return Tick(due if due <= until else -NEVER)

    def __str__(self) -> str:
        return "at start"


@dataclass(frozen=True, slots=True)
class TimeOfDay(Trigger):
    """Only while it is between two times of day; by itself: again and again while it is.

    Args:
        start, end: such as ``"22:00"`` and ``"6:00"``; from the first to just before the second.
        timezone: the machine's own if left out.

    Raises:
        ConfigError: that is no time of day.
    """

    start: str = "00:00"
    end: str = "00:00"
    timezone: str | None = None

    def __post_init__(self) -> None:
        for name, text in (("start", self.start), ("end", self.end)):
            try:
                place = place_in("daily", text, self.timezone) if isinstance(text, str) else None
            except ValueError as error:
                accepted = f"the name of a time zone such as Europe/Berlin ({error})"
                raise ConfigError("TimeOfDay(...)", "timezone", self.timezone, accepted) from None
            if place is None or not text.strip():
                raise ConfigError("TimeOfDay(...)", name, text, "a time of day such as 10:00 or 3 pm")

    def _place(self, text: str) -> Place:
        place = place_in("daily", text, self.timezone)
        assert place is not None
        return place

    def open_until(self, moment: float) -> float | None:
        """When the time that *moment* is in ends; None if it is in none."""
        end = self._place(self.end).first(self._place(self.start).last(moment))
        return end if moment < end else None

    def opens(self, after: float) -> float:
        """When it begins next."""
        return self._place(self.start).first(after)

    def __str__(self) -> str:
        return f"time of day between {self.start} and {self.end}{_in(self.timezone)}"


@dataclass(frozen=True, slots=True, init=False)
class AtLeast(Trigger):
    """When so many new records have come into the store since the last run that was completed.

    With ``&`` it is looked at when the other trigger ticks; by itself, as soon as the last of them is there.

    Args:
        number: how many.
        kind: of this kind of record.
        within: only those of the last so many seconds count; also as a text such as ``"1 hour"``.

    Raises:
        ConfigError: an argument is not what it should be.
    """

    number: int
    kind: str
    within: float | None

    def __init__(self, number: int, kind: str, within: float | str | timedelta | None = None) -> None:
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ConfigError("AtLeast(...)", "number", number, "a whole number, 1 or more")
        if not isinstance(kind, str) or not kind or '"' in kind:
            raise ConfigError("AtLeast(...)", "kind", kind, "the name of a kind of record, without quotes")
        object.__setattr__(self, "number", number)
        object.__setattr__(self, "kind", kind)
        seconds = None if within is None else _seconds(within, "AtLeast(...)", "within")
        object.__setattr__(self, "within", seconds)

    def __str__(self) -> str:
        kind = self.kind if re.fullmatch(r"[\w.-]+", self.kind) else f'"{self.kind}"'
        within = "" if self.within is None else f" within {shown_duration(self.within)}"
        return f"at least {self.number} {kind}{within}"


@dataclass(frozen=True, slots=True)
class AllOf(Trigger):
    """When all of *parts* are so: what ``&`` makes."""

    parts: tuple[Trigger, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(_flat(self.parts, AllOf)))

    def __str__(self) -> str:
        return " & ".join(f"({part})" if isinstance(part, AnyOf) else str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class AnyOf(Trigger):
    """When one of *parts* is so: what ``|`` makes."""

    parts: tuple[Trigger, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(_flat(self.parts, AnyOf)))

    def __str__(self) -> str:
        return " | ".join(f"({part})" if isinstance(part, AllOf) else str(part) for part in self.parts)


def with_interval(declared: Trigger | None, interval: Trigger) -> Trigger:
    """*declared* with another rhythm; what it asks for besides stays.

    >>> str(with_interval(Every("1 h") & AtLeast(5, "elf"), Every("15 min")))
    'every 15 min & at least 5 elf'
    """
    if declared is None:
        return interval
    if not any(isinstance(part, Every | Cron | Calendar) for part in parts_of(declared)):
        return interval & declared
    return _replaced(declared, interval)


def parts_of(whole: Trigger) -> Iterator[Trigger]:
    """The triggers that *whole* is combined of."""
    if isinstance(whole, AllOf | AnyOf):
        for part in whole.parts:
            yield from parts_of(part)
    else:
        yield whole


def _replaced(whole: Trigger, interval: Trigger) -> Trigger:
    if isinstance(whole, AllOf | AnyOf):
        parts = tuple(dict.fromkeys(_replaced(part, interval) for part in whole.parts))
        return parts[0] if len(parts) == 1 else type(whole)(parts)
    return interval if isinstance(whole, Every | Cron | Calendar) else whole


def _flat(parts: Sequence[Trigger], kind: type[AllOf] | type[AnyOf]) -> Iterator[Trigger]:
    for part in parts:
        if isinstance(part, kind):
            yield from part.parts
        else:
            yield part


def _seconds(value: object, where: str, key: str) -> float:
    """*value* in seconds, within what makes sense."""
    seconds: float | None = None
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, str):
        text = value.strip().lower().removeprefix("every ")
        seconds = duration(text)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    if seconds is None or not _SHORTEST <= seconds <= _LONGEST:
        meant = nearest_duration(value) if isinstance(value, str) else None
        raise ConfigError(where, key, value, _ACCEPTED_DURATION, meant)
    return seconds


def _in(timezone: str | None) -> str:
    return "" if timezone is None else f" in {timezone}"
