"""``pipert2 link`` and ``unlink``: the wires of a running pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipert2.cli.completion import complete_routine
from pipert2.cli.connect import connected
from pipert2.cli.options import Json, PipeName, Token, Url

if TYPE_CHECKING:
    from pipert2.control.records import WireReply

_UNCHANGED = {True: "linked already", False: "not linked anyway"}
Source = Annotated[
    str, typer.Argument(metavar="SOURCE", autocompletion=complete_routine, help="The routine that sends.")
]
Destination = Annotated[
    str, typer.Argument(metavar="DESTINATION", autocompletion=complete_routine, help="The routine that receives.")
]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("link")(link)
    app.command("unlink")(unlink)


def link(
    source: Source,
    destination: Destination,
    lossless: Annotated[
        bool | None,
        typer.Option(
            "--lossless/--newest",
            help="Make the source wait for room, or let newer data replace older.",
            show_default=False,
        ),
    ] = None,
    capacity: Annotated[
        int | None, typer.Option("--capacity", metavar="MESSAGES", min=1, help="How many messages may wait.")
    ] = None,
    transmitter: Annotated[
        Literal["basic", "shared_memory"] | None, typer.Option("--transmitter", help="How data is placed.")
    ] = None,
    url: Url = None,
    pipe: PipeName = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Add a wire, also while the pipe runs. Rules that are left out are the pipe's own."""
    with connected(url, pipe, token) as client:
        reply = client.link(source, destination, lossless=lossless, capacity=capacity, transmitter=transmitter)
    _show(reply, as_json)


def unlink(
    source: Source,
    destination: Destination,
    url: Url = None,
    pipe: PipeName = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Take a wire away, also while the pipe runs; what waits on it is still delivered."""
    with connected(url, pipe, token) as client:
        reply = client.unlink(source, destination)
    _show(reply, as_json)


def _show(reply: WireReply, as_json: bool) -> None:
    from pipert2.cli.printing import output, print_json, printable

    if as_json:
        print_json(reply)
        return
    state = ("linked" if reply.linked else "unlinked") if reply.changed else _UNCHANGED[reply.linked]
    output().print(printable(f"{reply.source} -> {reply.destination}: {state}"), soft_wrap=True)
