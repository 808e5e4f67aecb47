"""``pipert2 level``: from which level on a routine's log records are kept."""

from __future__ import annotations

from typing import Annotated

import typer

from pipert2.cli.connect import connected
from pipert2.cli.options import Json, PipeName, Routine, Token, Url
from pipert2.errors import nearest

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def parse_level(text: str) -> str:
    """A level's name, in whatever case it is written.

    Raises:
        typer.BadParameter: there is no such level.
    """
    name = text.upper()
    if name in LEVELS:
        return name
    near = nearest(name, LEVELS)
    hint = f"did you mean {near}?" if near is not None else f"known are {', '.join(LEVELS)}"
    raise typer.BadParameter(f"there is no level {text!r}: {hint}")


def complete_level(incomplete: str) -> list[str]:
    """The levels that begin so, in the letters that were begun with: shells drop what begins with others."""
    names = [name.lower() for name in LEVELS] if incomplete.islower() else LEVELS
    return [name for name in names if name.startswith(incomplete)]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("level")(level)


def level(
    routine: Routine,
    least: Annotated[
        str,
        typer.Argument(
            metavar="LEVEL",
            parser=parse_level,
            autocompletion=complete_level,
            help="DEBUG, INFO, WARNING, ERROR or CRITICAL.",
        ),
    ],
    url: Url = None,
    pipe: PipeName = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Set from which level on a routine's log records are kept."""
    from pipert2.cli.printing import output, print_json, printable

    with connected(url, pipe, token) as client:
        reply = client.log_level(routine, least)
    if as_json:
        print_json(reply)
    else:
        output().print(printable(f"{reply.routine}: {reply.level} and above"), soft_wrap=True)
