"""``pipert2 run``: run a pipe that stands in a module, a script or a YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipert2.cli.exit_codes import CommandError
from pipert2.cli.level import complete_level, parse_level
from pipert2.cli.options import Json

if TYPE_CHECKING:
    from pipert2.pipe import Pipe

Api = Annotated[
    str | None,
    typer.Option(
        "--api",
        metavar="HOST:PORT",
        help="Where the HTTP API listens. Left out: 127.0.0.1 and a free port.",
        show_default=False,
    ),
]
NoApi = Annotated[bool, typer.Option("--no-api", help="No HTTP API; other verbs then cannot find the pipe.")]
Rpc = Annotated[
    str | None,
    typer.Option("--rpc", metavar="ENDPOINT", help="Listen for zerorpc there as well, such as tcp://127.0.0.1:1234."),
]
RpcKey = Annotated[
    Path | None,
    typer.Option(
        "--rpc-key",
        metavar="FILE",
        help="zerorpc's secret key, which other machines need it to have; or in PIPERT2_RPC_SECRET_KEY.",
    ),
]
RpcClients = Annotated[
    Path | None,
    typer.Option(
        "--rpc-clients",
        metavar="FILE",
        help="The public keys of those who may call it by zerorpc, one a line; or in PIPERT2_RPC_CLIENT_KEYS.",
    ),
]
Cockpit = Annotated[
    bool, typer.Option("--cockpit", help="Serve the cockpit beside it: see and drive the pipe in a browser.")
]
Engine = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="ADDRESS",
        help="Run its flows on a cluster: ray://HOST:PORT, the head's address, or ray, the Ray here. Options "
        "stand behind a question mark, as in ?certificates=FOLDER.",
        show_default=False,
    ),
]
ApiToken = Annotated[
    str | None,
    typer.Option("--token", metavar="TOKEN", help="What callers have to show. Left out: PIPERT2_TOKEN, if it is set."),
]
Certificate = Annotated[
    Path | None,
    typer.Option("--certificate", metavar="FILE.pem", help="Serve the API over TLS, with this certificate."),
]
Key = Annotated[
    Path | None, typer.Option("--key", metavar="FILE.pem", help="The certificate's key, if not in the same file.")
]
Duration = Annotated[
    float | None,
    typer.Option(
        "--duration", "-d", metavar="SECONDS", min=0.0, help="End the sources then; what they sent is still worked on."
    ),
]
Summary = Annotated[Path | None, typer.Option("--summary", metavar="FILE.json", help="Write the run's summary there.")]
LogLevel = Annotated[
    str,
    typer.Option(
        "--log-level",
        metavar="LEVEL",
        parser=parse_level,
        autocompletion=complete_level,
        help="Log this level and above.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("run")(run)


def run(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="MODULE:PIPE, FILE.py (its only pipe, or the one called pipe), FILE.py:PIPE, or FILE.yaml. A function "
            "that returns a pipe may stand in PIPE's place.",
            show_default=False,
        ),
    ],
    duration: Duration = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="ROUTINE.PARAMETER=VALUE",
            help="Set a parameter first. May be repeated.",
            show_default=False,
        ),
    ] = None,
    shared: Annotated[
        list[str] | None,
        typer.Option(
            "--param",
            metavar="NAME=VALUE",
            help="Set a parameter of the pipe as a whole first. May be repeated.",
            show_default=False,
        ),
    ] = None,
    inline: Annotated[
        bool,
        typer.Option("--inline", help="Everything in this one process, for debuggers and where there is only one."),
    ] = False,
    engine: Engine = None,
    api: Api = None,
    no_api: NoApi = False,
    rpc: Rpc = None,
    rpc_key: RpcKey = None,
    rpc_clients: RpcClients = None,
    cockpit: Cockpit = False,
    token: ApiToken = None,
    certificate: Certificate = None,
    key: Key = None,
    log_level: LogLevel = "INFO",
    summary: Summary = None,
    as_json: Json = False,
) -> None:
    """Run a pipe until its streams have ended, its time is over, it is killed, or Ctrl-C.

    Messages and the log go to standard error; what the routines print and the summary to standard output.
    """
    from pipert2.cli.hosting import (
        check_summary_file,
        exit_code_of_run,
        faces_from,
        logging_to_stderr,
        reachable,
        say_what_is_missing,
        show_summary,
    )
    from pipert2.cli.target import load_target
    from pipert2.cli.values import parse_pairs, parse_settings

    faces = faces_from(api, no_api, rpc, token, cockpit, certificate, key, rpc_key, rpc_clients)
    settings = parse_settings(values or ())
    given = parse_pairs(shared or ())
    check_summary_file(summary)
    if engine is not None and inline:
        raise CommandError("--engine and --inline contradict each other")
    with logging_to_stderr(log_level):
        pipe = load_target(target)
        if engine is not None:
            _put_on(pipe, engine)
        if inline:
            _put_inline(pipe)
        for routine, wanted in settings.items():
            pipe.set_parameters(routine, wanted)
        if given:
            pipe.set_parameters(values=given)
        with reachable(pipe, faces):
            say_what_is_missing(pipe)
            found = pipe.run(timeout=duration)
    show_summary(found, as_json=as_json, file=summary)
    raise typer.Exit(exit_code_of_run(found))


def _put_on(pipe: Pipe, engine: str) -> None:
    """Let it run on a cluster, whatever its script says."""
    from pipert2.engine.cluster_pipe import move
    from pipert2.errors import ConfigError

    try:
        move(pipe, engine)
    except ConfigError as error:
        raise CommandError(f"--engine: {error}") from None


def _put_inline(pipe: Pipe) -> None:
    """Make it a pipe that runs in this process, whatever its script says."""
    from dataclasses import replace

    pipe.settings = replace(pipe.settings, inline=True)
