"""``pipert2 replay``: give the events of captures to a worker and a reducer."""

from __future__ import annotations

import importlib
import inspect
import logging
import math
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pipert2.cli.exit_codes import FAILED, INTERRUPTED, CommandError
from pipert2.cli.level import complete_level, parse_level
from pipert2.cli.options import Json
from pipert2.errors import nearest

KEYS = ("number", "count")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("replay")(replay)


def replay(
    worker: Annotated[
        str,
        typer.Option(
            "--worker",
            "-w",
            metavar="MODULE:NAME",
            help="A class with process_event, or a function of an event.",
            show_default=False,
        ),
    ],
    reducer: Annotated[
        str,
        typer.Option(
            "--reducer",
            "-r",
            metavar="MODULE:NAME",
            help="A class with process_result, or a function of a result.",
            show_default=False,
        ),
    ],
    files: Annotated[
        list[Path],
        typer.Option(
            "--file",
            "-f",
            metavar="FILE",
            help="A capture: .cbors, one for each group of streams, or MCAP.",
            show_default=False,
        ),
    ],
    raw: Annotated[
        list[str] | None,
        typer.Option(
            "--as",
            metavar="STREAM:PROTOCOL",
            help="The files hold raw messages: of which stream, in which protocol. One for each .cbors, in order; "
            "of an MCAP file, one for each stream in it.",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            metavar="[STREAM:]KEY",
            help="How frames of raw messages meet: by their number, or count them. Left out: count those without one.",
            show_default=False,
            autocompletion=lambda: list(KEYS),
        ),
    ] = None,
    params: Annotated[
        Path | None,
        typer.Option("--params", "-p", metavar="FILE.json", help="Values of parameters.", show_default=False),
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(
            "--speed",
            metavar="TIMES",
            help="Times as fast as it was recorded. Left out: as fast as it is taken.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", "-n", metavar="N", min=1, help="Worker processes.")] = 2,
    inline: Annotated[bool, typer.Option("--inline", help="Everything in this one process, for a debugger.")] = False,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", metavar="SECONDS", min=0.1, help="Wait so long for events that nothing is heard of any more."
        ),
    ] = 60.0,
    publish: Annotated[
        int | None,
        typer.Option(
            "--publish",
            metavar="PORT",
            min=0,
            max=65535,
            help="Show what the reducer publishes as an HDF5 file over HTTP there, to this machine; 0: any free port.",
            show_default=False,
        ),
    ] = None,
    keep_alive: Annotated[
        bool, typer.Option("--keep-alive", help="Go on until Ctrl-C, so that what is published can be looked at.")
    ] = False,
    log_level: Annotated[
        str,
        typer.Option(
            "--log-level",
            metavar="LEVEL",
            parser=parse_level,
            autocompletion=complete_level,
            help="Log this level and above; LOG_LEVEL says so as well.",
            envvar="LOG_LEVEL",
        ),
    ] = "INFO",
    as_json: Json = False,
) -> None:
    """Run an analysis over captures: workers map events in parallel processes, one reducer reduces what they return.

    What the analysis prints goes to standard output, the log to standard error. It fails if an event does.
    """
    if keep_alive and publish is None:
        raise CommandError("--keep-alive shows what is published: say where, with --publish PORT")
    if speed is not None and not 0 < speed < math.inf:
        raise CommandError(f"--speed is a number above 0, not {speed:g}")
    from pipert2.cli.hosting import logging_to_stderr
    from pipert2.patterns.map_reduce.pipes import replay as run

    with logging_to_stderr(log_level):
        streams = _streams(raw)
        align = {"key": keys} if (keys := _keys(key, streams)) else {}
        found = [_loaded(worker, "--worker"), _loaded(reducer, "--reducer")]
        for target in found:
            _show_own(target, log_level)
        summary = run(
            found[0],
            found[1],
            files,
            params=params,
            workers=workers,
            inline=inline,
            timeout=timeout,
            publish=publish,
            keep_alive=keep_alive,
            streams=streams,
            speed=speed,
            **align,
        )
    _show(summary, as_json)
    if summary.reason.startswith("interrupted") and not keep_alive:
        raise typer.Exit(INTERRUPTED)
    if not summary.ok:
        raise typer.Exit(FAILED)


def _streams(raw: list[str] | None) -> dict[str, str] | None:
    """The streams of files of raw messages, with their protocols."""
    found: dict[str, str] = {}
    for text in raw or ():
        stream, colon, protocol = text.partition(":")
        if not colon or not stream or not protocol:
            raise CommandError(f"--as {text!r} is not STREAM:PROTOCOL, as in xrd:STINS")
        if stream in found:
            raise CommandError(f"--as: the stream {stream!r} is named twice; each has one file")
        found[stream] = protocol
    return found or None


def _keys(given: list[str] | None, streams: dict[str, str] | None) -> dict[str, str]:
    """What is to be used for each stream that was named, or for all."""
    if given and streams is None:
        raise CommandError("--key says how raw messages meet: say which they are, with --as STREAM:PROTOCOL")
    found: dict[str, str] = {}
    for text in given or ():
        stream, colon, key = text.rpartition(":")
        if key not in KEYS:
            raise CommandError(f"--key {text!r} is neither {' nor '.join(KEYS)}, nor one of them as STREAM:KEY")
        names = list(streams or ())
        if colon and stream not in names:
            near = nearest(stream, names)
            hint = f"did you mean {near!r}?" if near else f"there are {', '.join(map(repr, names))}"
            raise CommandError(f"--key: no stream {stream!r} was named with --as: {hint}")
        found.update(dict.fromkeys([stream] if colon else names, key))
    return found


def _loaded(path: str, option: str) -> Any:
    """What MODULE:NAME means; modules of the current folder are found as well."""
    from pipert2.cli.target import _user_code

    place, colon, name = path.partition(":")
    if not colon or not place or not name:
        raise CommandError(f"{option} {path!r} is not MODULE:NAME, as in src.worker:TestWorker")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        with _user_code(place):
            module = importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is not None and (place == error.name or place.startswith(f"{error.name}.")):
            raise CommandError(f"{option}: there is no module {place} here or among the installed ones") from None
        raise CommandError(f"{option}: {place} needs the module {error.name}, which is not installed") from None
    found = getattr(module, name, None)
    if found is None:
        known = [key for key, value in vars(module).items() if inspect.isclass(value) or inspect.isfunction(value)]
        near = nearest(name, known)
        raise CommandError(f"{option}: {place} has no {name!r}" + (f", did you mean {near!r}?" if near else ""))
    return found


def _show_own(target: Any, level: str) -> None:
    package = str(getattr(target, "__module__", "")).partition(".")[0]
    if package not in ("", "pipert2", "builtins"):
        logging.getLogger(package).setLevel(level)


def _show(summary: Any, as_json: bool) -> None:
    from pipert2.cli.printing import output, print_json, printable
    from pipert2.patterns.events.scan_report import irregular

    if as_json:
        print_json({"ok": summary.ok, "reason": summary.reason, "scans": list(summary.scans)})
        return
    console = output()
    for scan in summary.scans:
        parts = [f"{scan[name]} {name}" for name in ("done", "failed", "lost", "late", "discarded") if scan[name]]
        text = f"{scan['state']}: {scan['events']} events, {', '.join(parts) or 'none'}"
        if odd := irregular(scan):
            text += f"; frames: {odd}"
        if scan["reason"]:
            text += f" ({scan['reason']})"
        style = "green" if scan["state"] == "done" and not scan["failed"] else "bold red"
        console.print(printable(text), style=style, soft_wrap=True)
        for failure in scan["failures"][:5]:
            where = f"event {failure['event_number']} in {failure['worker']}"
            console.print(printable(f"  {where}: {failure['reason']}"), soft_wrap=True)
    if not summary.scans:
        console.print(printable(f"FAILED: {summary.reason}"), style="bold red", soft_wrap=True)
