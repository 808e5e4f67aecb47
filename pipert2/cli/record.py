"""``pipert2 record``: run a pipe, and record what travels on its wires."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipert2.cli.exit_codes import CommandError
from pipert2.cli.options import Json
from pipert2.cli.run import Api, ApiToken, Duration, LogLevel, NoApi, Summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipert2.pipe import Pipe


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("record")(record)


def record(
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="The pipe, as for `pipert2 run`.", show_default=False)
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE.mcap", help="Where it is recorded.", show_default=False),
    ],
    wires: Annotated[
        list[str] | None,
        typer.Option(
            "--wire",
            "-w",
            metavar="SOURCE[->DESTINATION]",
            help="Record what this routine sends. May be repeated. Left out: what each routine sends.",
            show_default=False,
        ),
    ] = None,
    duration: Duration = None,
    lossless: Annotated[
        bool, typer.Option("--lossless", help="Record everything, even if sources have to wait for the recorder.")
    ] = False,
    compression: Annotated[
        Literal["lz4", "zstd"] | None, typer.Option("--compression", help="Pack the file.", show_default=False)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE if it is there.")] = False,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="ROUTINE.PARAMETER=VALUE",
            help="Set a parameter first. May be repeated.",
            show_default=False,
        ),
    ] = None,
    url: Annotated[str | None, typer.Option("--url", hidden=True)] = None,
    api: Api = None,
    no_api: NoApi = False,
    token: ApiToken = None,
    log_level: LogLevel = "WARNING",
    summary: Summary = None,
    as_json: Json = False,
) -> None:
    """Run a pipe and record what travels on its wires, one channel for each routine that sends.

    Recorders are wired as any destination is: real-time, and what they are too slow for is counted as dropped, or
    --lossless.
    """
    from pipert2.cli.hosting import (
        check_summary_file,
        exit_code_of_run,
        faces_from,
        logging_to_stderr,
        reachable,
        show_summary,
    )
    from pipert2.cli.target import load_target
    from pipert2.cli.values import parse_settings

    if url is not None:
        raise CommandError(
            "a pipe that runs already cannot be given a recorder: a flow has to be there when the pipe is built. Run "
            f"it with `pipert2 record TARGET -o {output}`, or put a Recorder into it: `pipert2 unlink` and `link` then "
            "end and begin its recordings"
        )
    faces = faces_from(api, no_api, None, token)
    settings = parse_settings(values or ())
    check_summary_file(summary)
    check_output(output, overwrite=overwrite)
    with logging_to_stderr(log_level):
        pipe = load_target(target)
        for routine, wanted in settings.items():
            pipe.set_parameters(routine, wanted)
        add_recorders(pipe, wires or (), output, lossless=lossless, compression=compression)
        if overwrite:
            output.unlink(missing_ok=True)
        with reachable(pipe, faces):
            found = pipe.run(timeout=duration)
    show_summary(found, as_json=as_json, file=summary)
    if not as_json and output.is_file():
        from pipert2.cli.capture import show_info

        show_info(output)
    raise typer.Exit(exit_code_of_run(found))


def check_output(output: Path, *, overwrite: bool) -> None:
    """Find out before the run whether it can be recorded there."""
    import os

    if output.is_dir():
        raise CommandError(f"--output: {output} is a folder, name a file in it")
    folder = output.parent
    if not folder.is_dir():
        raise CommandError(f"--output: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise CommandError(f"--output: nothing may be written into the folder {folder}")
    if output.exists() and not overwrite:
        raise CommandError(f"--output: {output} is there already: choose another name, or --overwrite it")


def add_recorders(
    pipe: Pipe,
    wires: Sequence[str],
    output: Path,
    *,
    lossless: bool,
    compression: Literal["lz4", "zstd"] | None,
) -> None:
    """Let these wires be recorded, all if there are none."""
    from pipert2.patterns.capture.recorder import check_format
    from pipert2.pipe.recording import Recording

    senders = _senders(pipe, wires)
    try:
        check_format(output, compression)
    except ValueError as error:
        raise CommandError(f"--output: {error}") from None
    pipe.recordings += [Recording(name, output, compression, lossless) for name in senders]


def _senders(pipe: Pipe, wires: Sequence[str]) -> list[str]:
    """The names of the routines whose wires are meant."""
    from pipert2.errors import UnknownWireError

    pairs = [(wire.source.name, end.name) for wire in pipe.wires for end in wire.destinations]
    if not pairs:
        raise CommandError(f"pipe {pipe.name!r} has no wires, so there is nothing to record")
    found: dict[str, None] = {}
    for text in wires:
        source, arrow, destination = (part.strip() for part in text.partition("->"))
        pipe.routine(source)
        if arrow and (source, destination) not in pairs:
            raise UnknownWireError(
                f"{source} -> {destination}", [f"{a} -> {b}" for a, b in pairs], f"pipe {pipe.name!r}"
            )
        if source not in (start for start, _ in pairs):
            raise CommandError(f"--wire: {source!r} sends nothing: it has no wire")
        found[source] = None
    return list(found or dict.fromkeys(start for start, _ in pairs))
