"""``pipert2 params``: see and set the parameters of a running pipe's routines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipert2.cli.completion import complete_routine
from pipert2.cli.connect import connected
from pipert2.cli.options import Json, PipeName, Token, Url
from pipert2.cli.values import parse_pairs

if TYPE_CHECKING:
    from pipert2.control.records import ParametersReply, SharedParametersReply
    from pipert2.observe.snapshot import ParameterStatus


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("params")(params)


def params(
    routine: Annotated[
        str | None,
        typer.Argument(
            metavar="[ROUTINE]",
            autocompletion=complete_routine,
            help="Left out: all routines and the pipe as a whole.",
            show_default=False,
        ),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=VALUE]...",
            help="Set these, all of them or none; without ROUTINE those of the pipe as a whole.",
            show_default=False,
        ),
    ] = None,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0.0, help="How long the message in hand may take.")
    ] = 5.0,
    url: Url = None,
    pipe: PipeName = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Show parameters with their values and limits; with NAME=VALUE set them first, between two messages.

    NAME=VALUE without a ROUTINE sets parameters of the pipe as a whole.
    """
    from pipert2.cli.printing import print_json

    if routine is not None and "=" in routine:
        shared = parse_pairs((routine, *(values or ())))
        with connected(url, pipe, token) as client:
            given = client.set_shared_parameters(shared)
        if as_json:
            print_json(given)
        else:
            _show_shared(given)
        return
    wanted = parse_pairs(values or ())
    with connected(url, pipe, token) as client:
        if routine is not None and wanted:
            reply = client.set_parameters(routine, wanted, wait=wait)
        else:
            reply = client.parameters(routine)
    if as_json:
        print_json(reply)
    else:
        _show(reply)


def _show_shared(reply: SharedParametersReply) -> None:
    from pipert2.cli.printing import output, printable

    for name, value in reply.values.items():
        output().print(printable(f"{name} = {_text(value)}, for the whole pipe"), soft_wrap=True)
    for name in reply.missing:
        output().print(printable(f"{name} is missing: give it with pipert2 params {name}=VALUE"), style="yellow")


def _show(reply: ParametersReply) -> None:
    from pipert2.cli.printing import output, printable, say
    from pipert2.cli.tables import plain_table

    if reply.shared is not None and (reply.shared.values or reply.shared.missing):
        _show_shared(reply.shared)
        if not any(reply.routines.values()):
            return
    if not any(reply.routines.values()):
        say(
            f"{next(iter(reply.routines), 'no routine')} has no parameters"
            if reply.routines
            else "there are no parameters"
        )
        return
    table = plain_table("routine", "parameter", "value", "default", "takes", "help")
    for routine, found in reply.routines.items():
        for one in found:
            value = _text(one.value) + (f" {one.unit}" if one.unit else "")
            cells = (routine, one.name, value, _text(one.default), takes(one), one.help)
            table.add_row(*(printable(cell) for cell in cells))
    output().print(table)


def takes(parameter: ParameterStatus) -> str:
    """Which values a parameter takes, ``"float, 0 to 8"``."""
    if parameter.choices is not None:
        return " | ".join(_text(choice) for choice in parameter.choices)
    least, most = parameter.minimum, parameter.maximum
    if least is not None and most is not None:
        return f"{parameter.type}, {least:g} to {most:g}"
    if least is not None:
        return f"{parameter.type}, at least {least:g}"
    if most is not None:
        return f"{parameter.type}, at most {most:g}"
    return parameter.type


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
