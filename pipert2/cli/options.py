"""The options that several verbs have."""

from __future__ import annotations

from typing import Annotated

import typer

from pipert2.cli.completion import complete_flow, complete_pipe, complete_routine

_WHICH = "Which pipe"

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        rich_help_panel=_WHICH,
        help="Its API, such as http://127.0.0.1:8320. Left out: PIPERT2_URL from the environment or .env, else the "
        "pipe that runs on this machine.",
    ),
]
PipeName = Annotated[
    str | None,
    typer.Option(
        "--pipe",
        "-p",
        metavar="NAME",
        rich_help_panel=_WHICH,
        autocompletion=complete_pipe,
        help="One of the pipes that run on this machine, by its name or process id.",
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TOKEN",
        rich_help_panel=_WHICH,
        help="What the pipe asks for. Left out: PIPERT2_TOKEN from the environment or .env (which others on this "
        "machine cannot read off the process list).",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Flow = Annotated[
    str | None, typer.Option("--flow", metavar="FLOW", autocompletion=complete_flow, help="Only this flow.")
]
RoutineOption = Annotated[
    str | None,
    typer.Option("--routine", "-r", metavar="ROUTINE", autocompletion=complete_routine, help="Only this routine."),
]
Routine = Annotated[
    str,
    typer.Argument(metavar="ROUTINE", autocompletion=complete_routine, help="The routine's name.", show_default=False),
]
Wait = Annotated[
    float | None,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        min=0.0,
        help="Wait so long for the routines to have done it, and say what came of it.",
    ),
]
