"""What a cockpit is told by flags, the environment and ``.env``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipert2.control.environment import environment_and_file
from pipert2.errors import ControlError

DEFAULT_PORT = 8321
TOKEN_NAME = "PIPERT2_COCKPIT_TOKEN"
_PREFIX = "PIPERT2_COCKPIT_"


@dataclass(frozen=True, slots=True)
class CockpitSettings:
    """How a cockpit is run.

    Attributes:
        host, port: where it listens; port 0 is any free one.
        database: the SQLite file; its folder is made if need be.
        token: what pipes have to show; None: nothing, which is for loopback only.
        allowed_hosts: further names that the server is called by, such as ``"robot.local"``.
        certificate, key: PEM files; with them it is served over TLS.
        ca: for a pipe that goes to a cockpit that is there already: the file with the certificate that signed its own.
        keep_records: log records of each pipe. keep_days: age of log records and of 5-minute metrics.
        keep_pipes: runs of pipes that are remembered.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    database: Path = field(default_factory=lambda: default_database())
    token: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None
    keep_records: int = 1_000_000
    keep_days: float = 30.0
    keep_pipes: int = 500


def default_database() -> Path:
    """Where the database is if nobody says otherwise: in the user's data folder."""
    folder = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(folder) / "pipert2" / "cockpit.db"


def settings_from(given: Mapping[str, Any], dotenv_path: str | os.PathLike[str] | None = None) -> CockpitSettings:
    """The settings that are *given*; of those that are not, or None, what the environment or ``.env`` says.

    The variables are named ``PIPERT2_COCKPIT_HOST`` and so on. The environment wins over the file, and is not changed.

    Raises:
        ControlError: the file cannot be read, or a value is not what it should be.
    """
    written = environment_and_file(dotenv_path)
    wanted: dict[str, Any] = {}
    for name, read in _READERS.items():
        if given.get(name) is not None:
            wanted[name] = given[name]
        elif text := (written.get(_PREFIX + name.upper()) or "").strip():
            try:
                wanted[name] = read(text)
            except ValueError:
                reason = f"{_PREFIX}{name.upper()}: {text!r} is not a number that fits"
                raise ControlError("bad_argument", reason, field=name) from None
    return CockpitSettings(**wanted)


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _positive(text: str) -> int:
    return _at_least(1, int(text))


def _port(text: str) -> int:
    number = _at_least(0, int(text))
    if number > 65535:
        raise ValueError(text)
    return number


def _days(text: str) -> float:
    number = float(text)
    if not 0 < number < 1e6:
        raise ValueError(text)
    return number


def _at_least(least: int, number: int) -> int:
    if number < least:
        raise ValueError(number)
    return number


_READERS: dict[str, Any] = {
    "host": str,
    "port": _port,
    "database": Path,
    "token": str,
    "allowed_hosts": _names,
    "certificate": Path,
    "key": Path,
    "ca": Path,
    "keep_records": _positive,
    "keep_days": _days,
    "keep_pipes": _positive,
}
