"""Log levels by name, as records carry them."""

from __future__ import annotations

_NUMBERS = {
    "PIPE_INFRASTRUCTURE": 5,
    "DEBUG": 10,
    "INFO": 20,
    "WARNING": 30,
    "ERROR": 40,
    "CRITICAL": 50,
}


def level_number(name: str) -> int:
    """How severe a level is; one that is unknown here counts as INFO.

    >>> level_number("ERROR"), level_number("Level 25"), level_number("NOTICE")
    (40, 25, 20)
    """
    found = _NUMBERS.get(name)
    if found is None and name.startswith("Level ") and name[6:].isascii() and name[6:].isdecimal():
        found = min(int(name[6:]), 1000)
    return found if found is not None else _NUMBERS["INFO"]
