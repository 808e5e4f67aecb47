"""``pipert2 list``: the pipes that run on this machine."""

from __future__ import annotations

import time

import typer

from pipert2.cli.options import Json


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("list")(list_pipes)


def list_pipes(as_json: Json = False) -> None:
    """List the pipes of yours that run on this machine and can be driven."""
    from pipert2.cli.printing import output, print_json, printable, say
    from pipert2.cli.tables import duration, plain_table
    from pipert2.control.client.discovery import running_pipes

    found = running_pipes()
    if as_json:
        print_json(found)
        return
    if not found:
        say("no pipe of yours runs on this machine")
        return
    table = plain_table("pipe", "process", "url", "up")
    for one in found:
        table.add_row(printable(one.pipe), str(one.pid), printable(one.url), duration(time.time() - one.started))
    output().print(table)
