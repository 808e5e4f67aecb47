"""What ``run`` and ``demo`` have in common: a pipe in this process, reachable by HTTP and zerorpc, run to its end."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipert2.cli.exit_codes import FAILED, INTERRUPTED, OK, TERMINATED, CommandError
from pipert2.cli.printing import say

if TYPE_CHECKING:
    from pipert2.control.http.tokens import Tokens
    from pipert2.control.rpc.keys import CurveKeys
    from pipert2.control.service import ControlService
    from pipert2.observe.snapshot import RunSummary
    from pipert2.pipe import Pipe


@dataclass(frozen=True, slots=True)
class Faces:
    """How a pipe can be reached while it runs.

    Attributes:
        api: ``(host, port)`` of the HTTP API, port 0 for a free one; None for no API.
        rpc: zerorpc's endpoint; None for none.
        token: the one that callers have to show; None: as the environment says.
        cockpit: whether a cockpit is served beside it.
        certificate, key: PEM files with which the API is served over TLS; None: it is not.
        keys: with which zerorpc knows its clients; None: it asks for none.
    """

    api: tuple[str, int] | None
    rpc: str | None
    token: str | None
    cockpit: bool = False
    certificate: Path | None = None
    key: Path | None = None
    keys: CurveKeys | None = None


def faces_from(
    api: str | None,
    no_api: bool,
    rpc: str | None,
    token: str | None,
    cockpit: bool = False,
    certificate: Path | None = None,
    key: Path | None = None,
    rpc_key: Path | None = None,
    rpc_clients: Path | None = None,
) -> Faces:
    """The faces that the options ``--api``, ``--no-api``, ``--rpc``, ``--token``, ``--cockpit`` and so on ask for."""
    if no_api and api is not None:
        raise CommandError("--api and --no-api contradict each other")
    if token is not None and no_api:
        raise CommandError("--token is for the API, which --no-api leaves out")
    if certificate is not None and no_api:
        raise CommandError("--certificate is for the API, which --no-api leaves out")
    if key is not None and certificate is None:
        raise CommandError("--key is the key of a certificate: give --certificate as well")
    if rpc is None and (rpc_key is not None or rpc_clients is not None):
        raise CommandError("--rpc-key and --rpc-clients are for zerorpc: say where it listens with --rpc ENDPOINT")
    address = parse_address(api) if api is not None else ("127.0.0.1", 0)
    keys = None if rpc is None else _rpc_keys(rpc, rpc_key, rpc_clients)
    return Faces(None if no_api else address, rpc, token, cockpit, certificate, key, keys)


def _rpc_keys(endpoint: str, secret: Path | None, clients: Path | None) -> CurveKeys | None:
    """The keys for *endpoint*, which may want some: found out before anything is opened."""
    from pipert2.control.rpc.endpoint import usable_endpoint
    from pipert2.control.rpc.keys import server_keys

    keys = server_keys(secret, clients)
    usable_endpoint(endpoint, safe=keys is not None)
    return keys


def parse_address(text: str) -> tuple[str, int]:
    """``"HOST:PORT"``, ``":PORT"`` or ``"PORT"``; the host is 127.0.0.1 if it is left out.

    >>> parse_address("0.0.0.0:8320"), parse_address("8320"), parse_address("[::1]:80")
    (('0.0.0.0', 8320), ('127.0.0.1', 8320), ('::1', 80))
    """
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise CommandError(f"--api {text!r} is not HOST:PORT; write it like 127.0.0.1:8320")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return host or "127.0.0.1", int(port)


@contextmanager
def reachable(pipe: Pipe, faces: Faces) -> Iterator[None]:
    """Open the pipe's faces and say where they are; close them at the end."""
    if faces.api is None and faces.rpc is None and not faces.cockpit:
        yield
        return
    from pipert2.control.service import ControlService

    with contextlib.ExitStack() as stack:
        service = stack.enter_context(ControlService(pipe))
        if faces.api is not None:
            _serve_http(stack, service, faces, *faces.api)
        if faces.rpc is not None:
            _serve_rpc(stack, service, faces.rpc, faces.keys)
        if faces.cockpit:
            from pipert2.cockpit.beside import cockpit_beside

            say(f"pipe {pipe.name}: cockpit at {stack.enter_context(cockpit_beside(pipe, service=service))}")
        yield


def _serve_http(stack: contextlib.ExitStack, service: ControlService, faces: Faces, host: str, port: int) -> None:
    from pipert2.control.http.server import ControlServer

    server = ControlServer(
        service,
        host=host,
        port=port,
        tokens=_tokens(host, faces.token),
        certificate=faces.certificate,
        key=faces.key,
    )
    stack.callback(server.close)
    server.start()
    say(f"pipe {service.pipe.name}: API at {server.url}")


def _tokens(host: str, token: str | None) -> Tokens:
    from pipert2.control.http.tokens import Tokens, generate_token
    from pipert2.control.verbs import Scope

    tokens = Tokens([(token, Scope.CONTROL)]) if token is not None else Tokens.from_environment()
    if tokens or is_loopback(host):
        return tokens
    made = generate_token()
    say(f"others can reach {host}, so callers have to show this token (PIPERT2_TOKEN sets one of your own): {made}")
    return Tokens([(made, Scope.CONTROL)])


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _serve_rpc(stack: contextlib.ExitStack, service: ControlService, endpoint: str, keys: CurveKeys | None) -> None:
    from pipert2.control.rpc.wrapper import RPCPipeWrapper

    wrapper = RPCPipeWrapper(service.pipe, service=service, keys=keys)
    stack.callback(wrapper.close)
    wrapper.start_rpc_server(endpoint=endpoint)
    say(
        f"pipe {service.pipe.name}: zerorpc at {wrapper.endpoint}" + (", for who has a key" if keys is not None else "")
    )


@contextmanager
def logging_to_stderr(level: str) -> Iterator[None]:
    """Send log records from *level* on to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-8s %(name)s: %(message)s", "%H:%M:%S"))
    root, own = logging.getLogger(), logging.getLogger("pipert2")
    before = own.level
    root.addHandler(handler)
    own.setLevel(level)
    try:
        yield
    finally:
        root.removeHandler(handler)
        own.setLevel(before)


def say_what_is_missing(pipe: Pipe) -> None:
    """Say which parameters the pipe waits for: without them nothing happens, and nobody would know why."""
    missing = [name for name in pipe.requires if name not in pipe.shared_parameters]
    if missing:
        given = " ".join(f"{name}=VALUE" for name in missing)
        names = " and ".join(repr(name) for name in missing)
        say(f"pipe {pipe.name}: waits for {names}: give it with --param, or now with pipert2 params {given}")


def exit_code_of_run(summary: RunSummary) -> int:
    """0 if it ended as somebody wanted it to, which being killed by order is as well, and gave no messages up."""
    if summary.reason == "interrupted by SIGTERM":
        return TERMINATED
    if summary.reason.startswith("interrupted"):
        return INTERRUPTED
    if summary.dead_letters:
        return FAILED
    return OK if summary.ok or summary.reason in ("killed", "stopped") else FAILED


def show_summary(summary: RunSummary, *, as_json: bool, file: Path | None) -> None:
    """Print how the run went, and write it into *file* as JSON."""
    from pipert2.cli.printing import output, print_json, printable
    from pipert2.cli.tables import routine_table
    from pipert2.control.verbs import plain

    if file is not None:
        try:
            file.write_text(json.dumps(plain(summary), indent=2) + "\n", "utf-8")
        except OSError as error:
            raise CommandError(f"--summary: {file} cannot be written: {error.strerror}", FAILED) from None
    if as_json:
        print_json(summary)
        return
    console = output()
    verdict = "ok" if summary.ok else "ended" if exit_code_of_run(summary) != FAILED else "FAILED"
    style = "green" if summary.ok else "yellow" if verdict == "ended" else "bold red"
    errors = "1 error" if summary.errors == 1 else f"{summary.errors} errors"
    text = f"{verdict}: {summary.reason}, after {summary.elapsed:.1f} s, {errors}"
    if summary.dead_letters:
        text += f", {summary.dead_letters} {'message' if summary.dead_letters == 1 else 'messages'} given up"
    console.print(printable(text), style=style, soft_wrap=True)
    console.print(routine_table(summary.routines, summary.wires))


def check_summary_file(file: Path | None) -> None:
    """Find out before the run whether its summary can be written."""
    if file is None:
        return
    if file.is_dir() or not file.parent.is_dir():
        reason = "it is a folder" if file.is_dir() else f"there is no folder {file.parent}"
        raise CommandError(f"--summary: {file} cannot be written: {reason}")
