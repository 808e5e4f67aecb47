"""``pipert2 doctor``: is this machine fit for pipes?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipert2.cli.exit_codes import FAILED
from pipert2.cli.options import Json

if TYPE_CHECKING:
    from pipert2.cli.fitness import Finding

_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("doctor")(doctor)


def doctor(
    clear: Annotated[bool, typer.Option("--clear", help="First remove what dead runs have left.")] = False,
    as_json: Json = False,
) -> None:
    """Check whether this machine is fit for pipes, and say what to do where it is not. Exits with 1 on a problem."""
    from pipert2.cli.fitness import Verdict, examine
    from pipert2.cli.printing import print_json, say

    if clear:
        from pipert2.transport.leftovers import clear_leftovers

        cleared = clear_leftovers()
        say(f"cleared what {len(cleared)} dead runs have left" if cleared else "there was nothing to clear")
    found = examine()
    if as_json:
        print_json(found)
    else:
        _show(found)
    if any(one.verdict is Verdict.PROBLEM for one in found):
        raise typer.Exit(FAILED)


def _show(found: list[Finding]) -> None:
    from rich.text import Text

    from pipert2.cli.printing import output, printable

    console = output()
    for one in found:
        verdict = one.verdict.value
        line = Text.assemble((f"{verdict:<8}", _STYLES[verdict]), (f"{one.check:<15}", "bold"), printable(one.text))
        console.print(line, soft_wrap=True)
        if one.advice:
            console.print(Text(f"{'':23}{one.advice}", "dim" if verdict == "ok" else ""), soft_wrap=True)
