"""``pipert2 call``: let a routine of a running pipe work on data, and show what it returns."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from pipert2.cli.completion import complete_routine
from pipert2.cli.connect import connected
from pipert2.cli.options import Json, PipeName, Token, Url
from pipert2.cli.values import parse_json, parse_value


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("call")(call)


def call(
    routine: Annotated[
        str,
        typer.Argument(metavar="ROUTINE", autocompletion=complete_routine, help="Which routine.", show_default=False),
    ],
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATA]",
            help="What it gets: JSON, or else text; - reads JSON from standard input. Left out: null.",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0.001, max=3600.0, help="How long it may take.")
    ] = 30.0,
    url: Url = None,
    pipe: PipeName = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Let a routine work on DATA, and print what it returns as JSON.

    Exits with 1 if it failed or did not answer in time; --debug shows the traceback.
    """
    from pipert2.cli.printing import output, print_json, say

    given = _read(data)
    with connected(url, pipe, token) as client:
        reply = client.call(routine, given, timeout=timeout)
    if as_json:
        print_json(reply)
        return
    output().out(json.dumps(reply.value, ensure_ascii=False), highlight=False)
    for one in reply.lost:
        say(f"not as it was returned: {one}")


def _read(data: str | None) -> Any:
    if data is None:
        return None
    return parse_json(sys.stdin.read()) if data == "-" else parse_value(data)
