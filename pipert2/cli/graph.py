"""``pipert2 graph``: a pipe's routines and wires as a picture, or as text for a program that draws."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipert2.cli.connect import connected
from pipert2.cli.exit_codes import FAILED, CommandError
from pipert2.cli.options import Json, PipeName, Token, Url

if TYPE_CHECKING:
    from pipert2.control.records import Structure

Format = Literal["mermaid", "dot", "svg"]
_ENDINGS: dict[str, Format] = {".svg": "svg", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid", ".mermaid": "mermaid"}


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("graph")(graph)


def graph(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="TARGET",
            help="A pipe that is not running: module:pipe, a .py file or a .yaml file. Left out: a running one.",
            show_default=False,
        ),
    ] = None,
    layout: Annotated[
        Format | None,
        typer.Option("--format", "-f", help="Left out: by the ending of --output, else mermaid.", show_default=False),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there.", show_default=False)
    ] = None,
    url: Url = None,
    pipe: PipeName = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Draw a pipe: flows as groups, lossless wires solid, real-time ones dashed.

    With --json it tells what there is to draw: flows, routines with their events and parameters, wires.
    """
    if target is not None and (url is not None or pipe is not None):
        raise CommandError("TARGET names a pipe that is not running, --url and --pipe a running one: give one of them")
    if as_json and layout is not None:
        raise CommandError("--json tells the structure, --format draws it: give one of them")
    wanted = None if as_json else layout or _format_of(file)
    structure = _structure(target, url, pipe, token)
    text = _told(structure) if wanted is None else _drawn(structure, wanted)
    if file is None:
        print(text, end="")
        return
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror}", FAILED) from None


def _format_of(file: Path | None) -> Format:
    if file is None:
        return "mermaid"
    found = _ENDINGS.get(file.suffix.lower())
    if found is None:
        raise CommandError(f"say with --format what {file} is to be: mermaid, dot or svg")
    return found


def _structure(target: str | None, url: str | None, pipe: str | None, token: str | None) -> Structure:
    if target is None:
        with connected(url, pipe, token) as client:
            return client.structure()
    from pipert2.cli.target import load_target
    from pipert2.control.structure import structure_of

    with contextlib.redirect_stdout(sys.stderr):  # what the target prints while it is loaded is no picture
        return structure_of(load_target(target))


def _told(structure: Structure) -> str:
    from pipert2.control.verbs import plain

    return json.dumps(plain(structure), ensure_ascii=False, indent=2) + "\n"


def _drawn(structure: Structure, layout: Format) -> str:
    from pipert2.graph.render import Arrow, Node, dot, make_drawing, mermaid
    from pipert2.graph.svg import svg

    drawing = make_drawing(
        structure.name,
        [Node(routine.name, routine.flow, routine.kind) for routine in structure.routines],
        [Arrow(wire.source, wire.destination, wire.lossless, wire.capacity) for wire in structure.wires],
    )
    return {"mermaid": mermaid, "dot": dot, "svg": svg}[layout](drawing)
