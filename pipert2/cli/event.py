"""``pipert2 event``: send an event to a running pipe."""

from __future__ import annotations

from typing import Annotated

import typer

from pipert2.cli.completion import complete_event
from pipert2.cli.connect import connected
from pipert2.cli.options import Flow, Json, PipeName, RoutineOption, Token, Url, Wait
from pipert2.cli.replies import show_event
from pipert2.cli.values import parse_pairs


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("event")(event)


def event(
    name: Annotated[
        str, typer.Argument(metavar="EVENT", autocompletion=complete_event, help="Its name.", show_default=False)
    ],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=VALUE]...",
            help="What the handlers get. Values are read as JSON where they are JSON, else as text.",
            show_default=False,
        ),
    ] = None,
    flow: Flow = None,
    routine: RoutineOption = None,
    wait: Wait = None,
    url: Url = None,
    pipe: PipeName = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Send an event to the pipe, a flow or a routine.

    With --wait it shows what the handlers returned, and exits with 1 if one of them failed.
    """
    params = parse_pairs(arguments or ())
    with connected(url, pipe, token) as client:
        reply = client.event(name, flow=flow, routine=routine, params=params, wait=wait)
    show_event(reply, "done" if wait is not None else "sent to", as_json=as_json)
