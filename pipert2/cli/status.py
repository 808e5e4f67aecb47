"""``pipert2 status``: how a running pipe is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipert2.cli.connect import connected
from pipert2.cli.options import Json, PipeName, Token, Url

if TYPE_CHECKING:
    from pipert2.control.client.client import PipeClient


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("status")(status)


def status(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on, until Ctrl-C or the pipe is gone.")] = False,
    interval: Annotated[
        float, typer.Option("--interval", metavar="SECONDS", min=0.1, max=3600.0, help="With --watch: how often.")
    ] = 1.0,
    url: Url = None,
    pipe: PipeName = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Show routines, wires and flows with their states, rates, latencies, drops and errors.

    With --watch and --json each line is one status.
    """
    with connected(url, pipe, token) as client:
        if watch:
            _watch(client, interval, as_json)
        else:
            _once(client, as_json)


def _once(client: PipeClient, as_json: bool) -> None:
    from pipert2.cli.printing import output, print_json
    from pipert2.cli.tables import status_view

    found = client.status()
    if as_json:
        print_json(found.to_dict())
    else:
        output().print(status_view(found))


def _watch(client: PipeClient, interval: float, as_json: bool) -> None:
    from rich.live import Live

    from pipert2.cli.printing import output, print_json
    from pipert2.cli.tables import status_view

    console = output()
    if as_json:
        for found in client.follow_status(interval):
            print_json(found.to_dict(), in_one_line=True)
    elif not console.is_terminal:
        for found in client.follow_status(interval):
            console.print(status_view(found))
            console.print()
    else:
        with Live(console=console, auto_refresh=False) as live:
            for found in client.follow_status(interval):
                live.update(status_view(found), refresh=True)
