"""Whether a routine's settings are what they may be: levels, intervals, and what the routine itself declares."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipert2.errors import ConfigError, ParameterError, nearest
from pipert2.graph.parameter import Parameter
from pipert2.runtime.triggers.phrases import trigger

KNOWN = ("log_level", "interval")
"""Keys that mean something to the pipe itself."""
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_SHORT = {"WARN": "WARNING", "FATAL": "CRITICAL"}


@dataclass(frozen=True, slots=True)
class Declared:
    """What a routine says of its settings.

    Args:
        defaults: its keys and their defaults; None: it does not say, and any key will do.
        parameters: its parameters; a setting of the same name is the parameter's first value.
    """

    defaults: Mapping[str, Any] | None
    parameters: Mapping[str, Parameter[Any]]

    @property
    def keys(self) -> list[str]:
        return list(dict.fromkeys([*KNOWN, *(self.defaults or {}), *self.parameters]))

    def check(self, values: Mapping[str, Any], where: str) -> list[str]:
        """Check what stands in one place.

        Returns:
            warnings: keys that look like misspelt ones.

        Raises:
            ConfigError: a value, or a key, that cannot be.
        """
        warnings = []
        for key, value in values.items():
            if key == "log_level":
                level_name(value, where)
            elif key == "interval":
                trigger(value, where=where, key=key)
            elif key in self.parameters:
                self._check_parameter(key, value, where)
            elif self.defaults is not None and key in self.defaults:
                _check_like(self.defaults[key], value, where, key)
            elif self.defaults is not None:
                accepted = "one of " + ", ".join(self.keys)
                raise ConfigError(where, key, value, f"{accepted} (no other key)", nearest(key, self.keys))
            elif (meant := nearest(key, self.keys)) is not None and _looks_like(key, meant):
                warnings.append(f"{where}: nothing here knows {key!r}: did you mean {meant!r}?")
        return warnings

    def _check_parameter(self, key: str, value: Any, where: str) -> None:
        try:
            self.parameters[key].check("this routine", value)
        except ParameterError as error:
            raise ConfigError(where, key, value, error.reason) from None


def level_name(value: Any, where: str = "configuration", key: str = "log_level") -> str:
    """The level that *value* names, in capitals.

    Raises:
        ConfigError: it names none.

    >>> level_name("debug"), level_name("Warn")
    ('DEBUG', 'WARNING')
    """
    if isinstance(value, str):
        name = _SHORT.get(value.strip().upper(), value.strip().upper())
        if name in LEVELS or isinstance(logging.getLevelName(name), int):
            return name
    meant = nearest(value, LEVELS) if isinstance(value, str) else None
    raise ConfigError(where, key, value, ", ".join(LEVELS) + ", in capitals or not", meant)


def _check_like(default: Any, value: Any, where: str, key: str) -> None:
    """Check that *value* is of the kind of its default."""
    if isinstance(default, Mapping) and isinstance(value, Mapping):
        for name, inner in value.items():
            if name in default:
                _check_like(default[name], inner, where, f"{key}.{name}")
            elif default:  # an empty one is to be filled by the user
                accepted = "one of " + ", ".join(f"{key}.{known}" for known in default)
                raise ConfigError(where, f"{key}.{name}", inner, accepted, nearest(str(name), list(default)))
        return
    kinds: tuple[tuple[type, str], ...] = (
        (bool, "true or false"),
        (int, "a whole number"),
        (float, "a number"),
        (str, "a text"),
        (Mapping, "keys and values"),
        (list, "a list"),
        (tuple, "a list"),
    )
    for kind, accepted in kinds:
        if isinstance(default, kind):
            if not _is_of(kind, value):
                raise ConfigError(where, key, value, f"{accepted}, such as its default {default!r:.80}")
            return


def _is_of(kind: type, value: Any) -> bool:
    if kind in (int, float):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return kind is float or isinstance(value, int) or value.is_integer()
    return isinstance(value, list | tuple if kind in (list, tuple) else kind)


def _looks_like(key: str, known: str) -> bool:
    """Closer than what an error may guess at: any key is allowed, and most are meant as they are written."""
    return difflib.SequenceMatcher(None, key.lower(), known.lower()).ratio() >= 0.8
