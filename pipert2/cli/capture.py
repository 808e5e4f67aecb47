"""``pipert2 capture``: what is in captures."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipert2.cli.exit_codes import FAILED
from pipert2.cli.options import Json

if TYPE_CHECKING:
    from pipert2.patterns.capture.info import CaptureInfo

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="A capture: .mcap, .cbors or .cbors.gz.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    group = typer.Typer(no_args_is_help=True, help="Look at captures.")
    group.command("info")(info)
    app.add_typer(group, name="capture")


def info(file: File, as_json: Json = False) -> None:
    """Tell what is in a capture, and whether it is whole; all of it is read, and its checksums are checked."""
    raise typer.Exit(show_info(file, as_json=as_json))


def show_info(file: Path, *, as_json: bool = False) -> int:
    """Print what is in a capture; the exit code that its state leads to."""
    from pipert2.cli.printing import print_json
    from pipert2.patterns.capture.info import capture_info

    found = capture_info(file)
    if as_json:
        print_json(_plain(found))
    else:
        _print(found)
    return FAILED if found.problem is not None else 0


def _plain(found: CaptureInfo) -> dict[str, Any]:
    from dataclasses import asdict

    plain = asdict(found)
    for channel, one in zip(plain["channels"], found.channels, strict=True):
        channel["rate"] = one.rate
    return {**plain, "first": found.first, "last": found.last, "whole": found.whole}


def _print(found: CaptureInfo) -> None:
    from pipert2.cli.printing import output, printable
    from pipert2.cli.tables import count, plain_table
    from pipert2.errors import readable_size

    console = output()
    lines = [f"{found.path}: {found.format}, {readable_size(found.size)}, {found.messages} messages"]
    if found.first is not None and found.last is not None:
        began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found.first))
        lines.append(f"recorded {began}, {found.last - found.first:.3f} s")
    if found.scans > 1:
        lines.append(f"event numbers begin anew: {found.scans} scans")
    for text in lines:
        console.print(printable(text), soft_wrap=True)
    if found.channels:
        table = plain_table(
            "channel", "kind", "messages", "rate/s", "size", "pictures", "missing",
            right=("messages", "rate/s", "size", "pictures", "missing"),
        )  # fmt: skip
        for one in found.channels:
            rate = "-" if one.rate is None else f"{one.rate:.1f}"
            size = readable_size(one.bytes)
            pictures, missing = count(one.pictures), count(one.missing, "yellow")
            table.add_row(printable(one.topic), printable(one.kind), str(one.messages), rate, size, pictures, missing)
        console.print(table)
    for what, names in (("classes", found.classes), ("pickled", found.pickled)):
        if names:
            console.print(printable(f"{what}: {', '.join(names)}"), soft_wrap=True)
    if found.problem is not None:
        where = f" at byte {found.offset}" if found.offset is not None else ""
        console.print(printable(f"DAMAGED{where}: {found.problem}"), style="bold red", soft_wrap=True)
    elif not found.closed:
        console.print("not closed by its writer: its end may be missing", style="yellow", soft_wrap=True)
    else:
        console.print("whole", style="green")
