"""``pipert2 start``, ``stop``, ``kill``, ``join``, ``restart``: the life of a running pipe."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from pipert2.cli.completion import complete_flow
from pipert2.cli.connect import connected
from pipert2.cli.exit_codes import FAILED
from pipert2.cli.options import Flow, Json, PipeName, RoutineOption, Token, Url, Wait
from pipert2.cli.replies import show_event

_DONE = {"start": "started", "stop": "stopped", "kill": "killed"}


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("start")(start)
    app.command("stop")(stop)
    app.command("pause", hidden=True)(stop)
    app.command("kill")(kill)
    app.command("join")(join)
    app.command("restart")(restart)


def start(
    flow: Flow = None,
    routine: RoutineOption = None,
    wait: Wait = None,
    url: Url = None,
    pipe: PipeName = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Start the pipe, a flow or a routine; what runs already goes on."""
    _event("start", flow, routine, wait, url, pipe, token, as_json)


def stop(
    flow: Flow = None,
    routine: RoutineOption = None,
    wait: Wait = None,
    url: Url = None,
    pipe: PipeName = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Stop the pipe, a flow or a routine after the message in hand; it can be started again."""
    _event("stop", flow, routine, wait, url, pipe, token, as_json)


def kill(
    flow: Flow = None,
    routine: RoutineOption = None,
    wait: Wait = None,
    url: Url = None,
    pipe: PipeName = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """End the pipe, a flow or a routine for good."""
    _event("kill", flow, routine, wait, url, pipe, token, as_json)


def _event(
    verb: Literal["start", "stop", "kill"],
    flow: str | None,
    routine: str | None,
    wait: float | None,
    url: str | None,
    pipe: str | None,
    token: str | None,
    as_json: bool,
) -> None:
    with connected(url, pipe, token) as client:
        send = {"start": client.start, "stop": client.stop, "kill": client.kill}[verb]
        reply = send(flow=flow, routine=routine, wait=wait)
    show_event(reply, _DONE[verb] if wait is not None else f"told to {verb}", as_json=as_json)


def join(
    to_kill: Annotated[bool, typer.Option("--kill", help="Kill it first.")] = False,
    timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="SECONDS", min=0.0, help="Wait no longer than that.")
    ] = None,
    url: Url = None,
    pipe: PipeName = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Wait until the pipe has ended: all its streams, or by being killed. Exits with 1 if the time was over first."""
    from pipert2.cli.printing import output, print_json

    with connected(url, pipe, token) as client:
        reply = client.join(to_kill=to_kill, timeout=timeout)
    if as_json:
        print_json(reply)
    else:
        output().print("ended" if reply.ended else f"still runs after {timeout:g} s")
    if not reply.ended:
        raise typer.Exit(FAILED)


def restart(
    flow: Annotated[str, typer.Argument(metavar="FLOW", autocompletion=complete_flow, help="Which flow.")],
    url: Url = None,
    pipe: PipeName = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """End a flow's process and start it anew, with its routines as they were asked to be."""
    from pipert2.cli.printing import output, print_json, printable

    with connected(url, pipe, token) as client:
        reply = client.restart_flow(flow)
    if as_json:
        print_json(reply)
    else:
        before = f" ({reply.restarts} times before)" if reply.restarts else ""
        output().print(printable(f"flow {reply.flow} is being restarted{before}"), soft_wrap=True)
