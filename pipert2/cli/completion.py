"""What the shell offers after Tab: names asked from the pipes that run. Whatever goes wrong, it offers nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from pipert2.control.records import Structure

_PATIENCE = 1.0
"""Seconds that somebody who pressed Tab is made to wait at most."""


def complete_pipe(incomplete: str) -> list[tuple[str, str]]:
    """The names of the pipes that run on this machine."""
    try:
        from pipert2.control.client.discovery import running_pipes

        return [(found.pipe, found.url) for found in running_pipes() if found.pipe.startswith(incomplete)]
    except Exception:
        return []


def complete_routine(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The names of the pipe's routines."""
    structure = _structure(context)
    routines = structure.routines if structure is not None else ()
    return [(one.name, one.help or one.type) for one in routines if one.name.startswith(incomplete)]


def complete_flow(context: typer.Context, incomplete: str) -> list[str]:
    """The names of the pipe's flows."""
    structure = _structure(context)
    flows = structure.flows if structure is not None else ()
    return [name for name in flows if name.startswith(incomplete)]


def complete_event(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The names of the events that the pipe's routines handle."""
    structure = _structure(context)
    routines = structure.routines if structure is not None else ()
    found = {event.name: event.help or one.name for one in routines for event in one.events}
    return [(name, text) for name, text in found.items() if name.startswith(incomplete)]


def _structure(context: typer.Context) -> Structure | None:
    try:
        from pipert2.cli.connect import connected

        given = {name: context.params.get(name) for name in ("url", "pipe", "token")}
        with connected(**given, timeout=_PATIENCE) as client:
            return client.structure()
    except Exception:
        return None
