"""Values as they are written on a command line: ``NAME=VALUE``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pipert2.cli.exit_codes import CommandError


def parse_value(text: str) -> Any:
    """*text* read as JSON where it is JSON, else as it stands.

    Raises:
        CommandError: it begins as an object, a list or a quoted text does, and is none.

    >>> parse_value("2.5"), parse_value("true"), parse_value("[1, 2]"), parse_value("left")
    (2.5, True, [1, 2], 'left')
    >>> parse_value('"2.5"')
    '2.5'
    """
    try:
        return _loads(text)
    except ValueError as error:
        if text.lstrip()[:1] in ("{", "[", '"'):  # a bracket that was forgotten; nobody means a text by that
            shown = text if len(text) <= 60 else f"{text[:60]}..."
            raise CommandError(
                f"{shown} is not JSON: {error} (a text that begins so stands in double quotes)"
            ) from None
        return text


def _loads(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def parse_pairs(pairs: Sequence[str]) -> dict[str, Any]:
    """``["size=3", "mode=fast"]`` as ``{"size": 3, "mode": "fast"}``.

    Raises:
        CommandError: one is no ``NAME=VALUE``, or a name comes twice.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise CommandError(f"{pair!r} is not NAME=VALUE; write it like size=3")
        if name in found:
            raise CommandError(f"{name!r} is given twice")
        found[name] = parse_value(value)
    return found


def parse_json(text: str) -> Any:
    """*text* read as JSON.

    Raises:
        CommandError: it is none.
    """
    try:
        return _loads(text)
    except ValueError as error:
        raise CommandError(f"this is not JSON: {error}") from None


def parse_settings(texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """``["camera.rate=30"]`` as ``{"camera": {"rate": 30}}``; the last dot before ``=`` ends the routine's name.

    Raises:
        CommandError: one is no ``ROUTINE.PARAMETER=VALUE``, or a parameter comes twice.
    """
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        place, equals, value = text.partition("=")
        routine, dot, parameter = place.rpartition(".")
        if not (equals and dot and routine and parameter):
            raise CommandError(f"--set {text!r} is not ROUTINE.PARAMETER=VALUE; write it like camera.rate=30")
        if parameter in found.setdefault(routine, {}):
            raise CommandError(f"--set gives {place!r} twice")
        found[routine][parameter] = parse_value(value)
    return found
