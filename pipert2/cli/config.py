"""``pipert2 config``: what settings routines have, and where each comes from."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipert2.cli.options import Json
from pipert2.cli.target import load_target

if TYPE_CHECKING:
    from pipert2.runtime.configuration.configuration import Setting


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    group = typer.Typer(no_args_is_help=True, help="Show the settings of a pipe's routines.")
    group.callback()(lambda: None)  # so that its only verb keeps its name
    group.command("explain")(explain)
    app.add_typer(group, name="config")


def explain(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="MODULE:PIPE, FILE.py, FILE.py:PIPE or FILE.yaml.")],
    routine: Annotated[
        str | None, typer.Argument(metavar="[ROUTINE]", help="Left out: all.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Show each setting with its value, where that stands (a file, a variable, the routine), and what it replaces.

    Nothing is started. A setting that cannot be used ends it with exit code 2. Values of settings that are called
    password, token, key or the like are not shown.
    """
    from pipert2.cli.printing import print_json, say
    from pipert2.runtime.configuration.routines import warnings_of

    pipe = load_target(target)
    names = list(pipe.flow_names) if routine is None else [routine]
    configurations = {name: pipe.configuration(name) for name in names}
    found = {name: one.explain() for name, one in configurations.items()}
    if routine is None:
        routines = [pipe.routine(name) for name in names]
        for warning in warnings_of(pipe.config_folder, routines, list(configurations.values()), os.environ):
            say(warning, "yellow")
    if as_json:
        print_json(found)
    else:
        _show(found)


def _show(found: dict[str, list[Setting]]) -> None:
    from pipert2.cli.printing import output, printable
    from pipert2.cli.tables import plain_table

    table = plain_table("routine", "setting", "value", "from", "in place of")
    for routine, settings in found.items():
        for one in settings:
            hidden = "; ".join(f"{_text(value)} ({origin})" for origin, value in reversed(one.hides))
            cells = (routine, one.key, _text(one.value), one.origin, hidden)
            table.add_row(*(printable(cell) for cell in cells))
    output().print(table)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)
