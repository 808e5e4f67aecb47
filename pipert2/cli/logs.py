"""``pipert2 logs``: the log of a running pipe, recent or as it comes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from pipert2.cli.connect import connected
from pipert2.cli.level import complete_level, parse_level
from pipert2.cli.options import Flow, Json, PipeName, RoutineOption, Token, Url

if TYPE_CHECKING:
    from rich.console import Console

    from pipert2.observe.recent_logs import LogRecord

_STYLES = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "bold red", "DEBUG": "dim"}


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("logs")(logs)


def logs(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="RECORDS", min=1, max=10_000, help="How many recent ones at most.")
    ] = 50,
    level: Annotated[
        str | None,
        typer.Option(
            "--level",
            metavar="LEVEL",
            parser=parse_level,
            autocompletion=complete_level,
            help="This level and above.",
        ),
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", metavar="TEXT", help="Only messages with this in them, any case.")
    ] = None,
    flow: Flow = None,
    routine: RoutineOption = None,
    url: Url = None,
    pipe: PipeName = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Show the pipe's recent log records, oldest first; with --json one record a line."""
    from pipert2.cli.printing import output, print_json

    with connected(url, pipe, token) as client:
        page = client.logs(limit=limit, level=level, flow=flow, routine=routine, text=text)
        console = output()
        shown = iter(page.records)
        for record in shown:
            print_json(record, in_one_line=True) if as_json else _show(record, console)
        if not follow:
            return
        for came in client.follow_logs(after=page.last, level=level, flow=flow, routine=routine, text=text):
            if came is not None:
                print_json(came, in_one_line=True) if as_json else _show(came, console)


def _show(record: LogRecord, console: Console) -> None:
    from rich.text import Text

    from pipert2.cli.printing import printable

    clock = time.strftime("%H:%M:%S", time.localtime(record.time)) + f".{int(record.time % 1 * 1000):03d}"
    origin = "/".join(one for one in (record.flow, record.routine) if one) or record.logger
    line = Text.assemble(
        (clock, "dim"),
        " ",
        (f"{record.level:<8}", _STYLES.get(record.level, "")),
        " ",
        (printable(origin), "cyan"),
        " ",
        printable(record.message),
    )
    console.print(line, soft_wrap=True)
    if record.traceback:
        console.print(Text(printable(record.traceback.rstrip()), "dim"), soft_wrap=True)
