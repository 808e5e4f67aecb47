"""What the environment says, and below it ``.env`` in the working directory."""

from __future__ import annotations

import os
from pathlib import Path

from dotenv import dotenv_values

from pipert2.errors import ControlError

PathLike = str | os.PathLike[str]


def environment_and_file(dotenv_path: PathLike | None = None) -> dict[str, str]:
    """The variables of the file, overruled by those of the environment. Arguments and errors: as below."""
    return {**file_variables(dotenv_path), **os.environ}


def file_variables(dotenv_path: PathLike | None = None) -> dict[str, str]:
    """The variables of a file of ``NAME=value`` lines.

    Args:
        dotenv_path: the file, which must be there; if left out, ``.env`` of the working directory, if it is there. Not
            one further up: somebody else could have put it there.

    Raises:
        ControlError: the file cannot be read.
    """
    path = Path(".env" if dotenv_path is None else dotenv_path)
    if dotenv_path is None and not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8") as stream:
            written = dotenv_values(stream=stream, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise ControlError("bad_argument", f"{str(path)!r} cannot be read: {error}") from None
    return {name: value for name, value in written.items() if value}
