"""Showing what a pipe replied to an event."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from pipert2.cli.exit_codes import FAILED

if TYPE_CHECKING:
    from pipert2.control.records import EventReply

_MOST_NAMES = 6


def show_event(reply: EventReply, done: str, *, as_json: bool) -> None:
    """Show what came of an event; exits with 1 if a handler failed or did not answer in time.

    Args:
        done: what was done, such as ``"started"``.
        as_json: print the whole reply instead.
    """
    from pipert2.cli.printing import output, print_json, printable

    if as_json:
        print_json(reply)
    else:
        console = output()
        if reply.results is None:
            console.print(printable(f"{done}: {_names(reply.routines)}"), soft_wrap=True)
        for routine, result in (reply.results or {}).items():
            if result.error is not None:
                console.print(printable(f"{routine}: failed: {result.error}"), style="red", soft_wrap=True)
            else:
                value = "" if result.value is None else f" -> {json.dumps(result.value, ensure_ascii=False)}"
                console.print(printable(f"{routine}: {done}{value}"), soft_wrap=True)
    if not reply.ok:
        raise typer.Exit(FAILED)


def _names(routines: tuple[str, ...]) -> str:
    if not routines:
        return "nothing to do"
    more = len(routines) - _MOST_NAMES
    return ", ".join(routines[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
