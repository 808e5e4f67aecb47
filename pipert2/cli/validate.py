"""``pipert2 validate``: what is wrong with a pipe's document, and where."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipert2.cli.exit_codes import FAILED, CommandError
from pipert2.cli.options import Json

if TYPE_CHECKING:
    from pipert2.document import Finding


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("validate")(validate)


def validate(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The document, such as pipe.yaml.", show_default=False)
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of documents, for editors, and look at no file.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Report every problem of a pipe's document with file, line and column.

    The modules that it names are imported and its routines made, but nothing is started. Exit code 1: there are
    problems.
    """
    from pipert2.document import check_document, document_schema

    if schema:
        if file is not None:
            raise CommandError("--schema is the same for all documents: leave FILE out")
        print(json.dumps(document_schema(), indent=2))
        return
    if file is None:
        raise CommandError("name the document, as in `pipert2 validate pipe.yaml`")
    sys.path.insert(0, str(Path.cwd()))  # for the classes it names, as `python -m` does it
    with contextlib.redirect_stdout(sys.stderr):  # what the modules print is no data
        findings = check_document(file)
    _show(file, findings, as_json)
    if findings:
        raise typer.Exit(FAILED)


def _show(file: Path, findings: list[Finding], as_json: bool) -> None:
    from pipert2.cli.printing import output, print_json, printable, say

    if as_json:
        print_json({"file": str(file), "ok": not findings, "findings": findings})
        return
    for finding in findings:
        output().print(printable(str(finding)), soft_wrap=True)
    if findings:
        say(f"{len(findings)} problem{'s' if len(findings) > 1 else ''} in {file}")
    else:
        output().print(printable(f"{file}: no problems"), soft_wrap=True)
