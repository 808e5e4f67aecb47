"""``pipert2 demo``: a pipe that needs nothing prepared, with a live view."""

from __future__ import annotations

import typer

from pipert2.cli.options import Json
from pipert2.cli.run import (
    Api,
    ApiToken,
    Certificate,
    Cockpit,
    Duration,
    Key,
    LogLevel,
    NoApi,
    Rpc,
    RpcClients,
    RpcKey,
    Summary,
)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("demo")(demo)


def demo(
    duration: Duration = None,
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
    """Run a small pipe that is built in, and watch it: a moving spot, and a routine that finds it.

    While it runs, try the other verbs in another terminal: pipert2 status, top, params, event TURN degrees=45 --wait 1.
    """
    from pipert2.cli.demo_pipe import make_demo
    from pipert2.cli.hosting import (
        check_summary_file,
        exit_code_of_run,
        faces_from,
        logging_to_stderr,
        reachable,
        show_summary,
    )
    from pipert2.cli.live_view import LiveView

    faces = faces_from(api, no_api, rpc, token, cockpit, certificate, key, rpc_key, rpc_clients)
    check_summary_file(summary)
    pipe = make_demo()
    with reachable(pipe, faces), LiveView(pipe), logging_to_stderr(log_level):
        found = pipe.run(timeout=duration)
    show_summary(found, as_json=as_json, file=summary)
    raise typer.Exit(exit_code_of_run(found))
