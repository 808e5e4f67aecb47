"""``pipert2 start``, ``stop``, ``kill``, ``join``, ``restart``, ``replicas``: the life of a running pipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import typer

from pipert2.cli.completion import complete_flow
from pipert2.cli.connect import connected
from pipert2.cli.exit_codes import FAILED
from pipert2.cli.options import Flow, Json, PipeName, RoutineOption, Token, Url, Wait
from pipert2.cli.replies import show_event


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    start = "Start the pipe, a flow or a routine; what runs already goes on."
    stop = "Stop the pipe, a flow or a routine after the message in hand; it can be started again."
    kill = "End the pipe, a flow or a routine for good."
    app.command("start")(_command_of("start", "started", start))
    app.command("stop")(_command_of("stop", "stopped", stop))
    app.command("pause", hidden=True)(_command_of("stop", "stopped", stop))
    app.command("kill")(_command_of("kill", "killed", kill))
    app.command("join")(join)
    app.command("restart")(restart)
    app.command("replicas")(replicas)


def _command_of(verb: Literal["start", "stop", "kill"], done: str, help_text: str) -> Callable[..., None]:
    """The command of a verb that goes to the pipe, a flow or a routine; *done* is what they are then."""

    def command(
        flow: Flow = None,
        routine: RoutineOption = None,
        wait: Wait = None,
        url: Url = None,
        pipe: PipeName = None,
        token: Token = None,
        as_json: Json = False,
    ) -> None:
        with connected(url, pipe, token) as client:
            reply = getattr(client, verb)(flow=flow, routine=routine, wait=wait)
        show_event(reply, done if wait is not None else f"told to {verb}", as_json=as_json)

    command.__doc__ = help_text
    return command


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


def replicas(
    flow: Annotated[str, typer.Argument(metavar="FLOW", autocompletion=complete_flow, help="Which flow.")],
    count: Annotated[int, typer.Argument(metavar="COUNT", min=1, help="How many processes it is to have.")],
    url: Url = None,
    pipe: PipeName = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Change how many processes of a flow compete for its input; those that go end the message in hand."""
    from pipert2.cli.printing import output, print_json, printable

    with connected(url, pipe, token) as client:
        reply = client.set_replicas(flow, count)
    if as_json:
        print_json(reply)
    else:
        many = "1 replica" if reply.replicas == 1 else f"{reply.replicas} replicas"
        output().print(printable(f"flow {reply.flow}: {many}"), soft_wrap=True)
