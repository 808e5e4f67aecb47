"""The phrases that stand for triggers: ``hourly``, ``every 10 seconds``, ``daily between 10:00 and 12:00``, ...

They are those of the rocketry scheduler as far as they are about time, and ``at least 1000 elf within 1 hour``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

from pipert2.errors import ConfigError, nearest
from pipert2.runtime.triggers.times import PERIODS, UNIT_NAMES, WEEKDAYS, duration
from pipert2.runtime.triggers.triggers import AllOf, AnyOf, AtLeast, AtStart, Calendar, Cron, Every, TimeOfDay, Trigger

ACCEPTED = (
    '"10 s", "every 1h 30min", "secondly", "minutely", "hourly", "daily", "weekly", "monthly", '
    '"daily between 10:00 and 12:00" (or before, after, on, starting), "cron 0 * * * *", "at start", '
    '"time of day between 10:00 and 12:00", "at least 1000 elf within 1 hour"; combined with & and |'
)
_PIECE = re.compile(r'"[^"]*"|[()&|]|[^()&|"]+')
_ZONE = re.compile(r"\s+in\s+([A-Za-z_]+(?:/[A-Za-z0-9_+-]+)*)$")
_AT_LEAST = re.compile(r'at least (\d+)\s+(?:"([^"]+)"|([\w.-]+))(?:\s+within\s+(.+))?', re.IGNORECASE)
_OF_DAY = re.compile(r"time of day (?:between (.+) and (.+)|(before|after) (.+))", re.IGNORECASE)
_PERIODIC = re.compile(r"(\w+?ly)(?: (?:(before|after|on|at|starting) (.+)|between (.+) and (.+)))?", re.IGNORECASE)
_DEEPEST = 20
_WORDS = (
    *("every", "cron", "before", "between", "after", "on", "starting", "and", "at", "least", "within", "time", "of"),
    *("start", *PERIODS, *(name for name in UNIT_NAMES if len(name) > 2), *WEEKDAYS),
)


def trigger(value: object, *, where: str = "trigger", key: str | None = "trigger") -> Trigger:
    """The trigger that *value* stands for: a trigger, seconds, a ``timedelta``, or a phrase.

    Args:
        where, key: what to name in the error.

    Raises:
        ConfigError: it stands for none; the error says what is accepted and what may have been meant.

    >>> trigger("hourly"), trigger("every 1h 30min & at least 10 elf")
    (Calendar(period='hourly', how='', places=(), timezone=None), AllOf(parts=(Every(seconds=5400.0), ...
    """
    if isinstance(value, Trigger):
        return value
    if isinstance(value, timedelta) or (isinstance(value, int | float) and not isinstance(value, bool)):
        try:
            return Every(value)
        except ConfigError:
            raise ConfigError(where, key, value, ACCEPTED) from None
    if not isinstance(value, str):
        raise ConfigError(where, key, value, ACCEPTED)
    found, reason = _read(value)
    if found is None:
        raise ConfigError(where, key, value, ACCEPTED if reason is None else reason.accepted, _meant(value))
    return found


class _NotAPhraseError(Exception):
    """Parentheses do not match, or a piece stands for nothing."""


def _read(text: str) -> tuple[Trigger | None, ConfigError | None]:
    """The trigger that *text* stands for, or why it stands for none if there is more to say."""
    pieces = _PIECE.findall(text)
    if "".join(pieces) != text:  # a quote that is not closed
        return None, None
    try:
        found, rest = _either(pieces, 0)
    except _NotAPhraseError:
        return None, None
    except ConfigError as error:
        return None, error
    return (found, None) if not rest else (None, None)


def _either(pieces: list[str], depth: int) -> tuple[Trigger, list[str]]:
    return _joined(pieces, depth, "|", _both, AnyOf)


def _both(pieces: list[str], depth: int) -> tuple[Trigger, list[str]]:
    return _joined(pieces, depth, "&", _single, AllOf)


def _joined(
    pieces: list[str],
    depth: int,
    sign: str,
    part: Callable[[list[str], int], tuple[Trigger, list[str]]],
    kind: type[AllOf] | type[AnyOf],
) -> tuple[Trigger, list[str]]:
    found, pieces = part(pieces, depth)
    parts = [found]
    while pieces and pieces[0] == sign:
        found, pieces = part(pieces[1:], depth)
        parts.append(found)
    return (kind(tuple(parts)) if len(parts) > 1 else found), pieces


def _single(pieces: list[str], depth: int) -> tuple[Trigger, list[str]]:
    while pieces and pieces[0].isspace():
        pieces = pieces[1:]
    if pieces and pieces[0] == "(" and depth < _DEEPEST:
        found, pieces = _either(pieces[1:], depth + 1)
        if not pieces or pieces[0] != ")":
            raise _NotAPhraseError
        pieces = pieces[1:]
    else:
        number = next((n for n, piece in enumerate(pieces) if piece in ("(", ")", "&", "|")), len(pieces))
        found, pieces = _phrase("".join(pieces[:number]).strip()), pieces[number:]
    while pieces and pieces[0].isspace():
        pieces = pieces[1:]
    return found, pieces


def _phrase(text: str) -> Trigger:
    """The trigger that a phrase without ``&`` and ``|`` stands for."""
    plain = " ".join(text.split()) if '"' not in text else text
    if found := _AT_LEAST.fullmatch(plain):
        return AtLeast(int(found[1]), found[2] or found[3], found[4])
    if plain.lower() == "at start":
        return AtStart()
    timezone = None
    if place := _ZONE.search(plain):
        plain, timezone = plain[: place.start()], place[1]
    if plain.lower().startswith("cron "):
        return Cron(plain[5:], timezone)
    if found := _OF_DAY.fullmatch(plain):
        start, end = found[1] or "00:00", found[2] or "00:00"
        if found[3]:
            start, end = (start, found[4]) if found[3].lower() == "before" else (found[4], end)
        return TimeOfDay(start, end, timezone)
    if (found := _PERIODIC.fullmatch(plain)) and found[1].lower() in PERIODS:
        how = (found[2] or ("between" if found[4] else "")).lower().replace("at", "on")
        places = tuple(part for part in (found[3], found[4], found[5]) if part)
        return Calendar(found[1].lower(), how, places, timezone)
    if plain and timezone is None and duration(plain.lower().removeprefix("every ")) is not None:
        return Every(plain)
    raise _NotAPhraseError


def _meant(text: str) -> str | None:
    """What *text* becomes when words that are none are replaced by those that look most like them."""
    guess = re.sub(r"[A-Za-z]+", _nearest_word, text)
    return guess if guess != text and len(text) < 200 and _read(guess)[0] is not None else None


def _nearest_word(found: re.Match[str]) -> str:
    word = found[0]
    return word if word.lower() in UNIT_NAMES else nearest(word, _WORDS) or word
