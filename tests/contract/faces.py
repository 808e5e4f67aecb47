"""The faces of one control service, each called from where its users are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from pipert2 import PipeClient
from pipert2.control.verbs import plain
from pipert2.errors import ControlError

STAGE = Path(__file__).with_name("stage.py")

_RPC_CALLER = """
import json, sys, zerorpc
client = zerorpc.Client(timeout=90)
client.connect(sys.argv[1])
for line in sys.stdin:
    verb, arguments = json.loads(line)
    try:
        answer = {"reply": client("call", verb, arguments)}
    except zerorpc.RemoteError as error:
        answer = {"error": [error.name, error.msg]}
    print(json.dumps(answer), flush=True)
"""

_COMMANDS = """
import importlib, json, os, sys, tempfile
import pipert2.cli.main, pipert2.control.client.client, pipert2.control.rpc.command, rich.console

for line in sys.stdin:
    module, arguments = json.loads(line)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as said:
        child = os.fork()
        if not child:
            os.dup2(out.fileno(), 1)
            os.dup2(said.fileno(), 2)
            os.close(0)
            os.open(os.devnull, os.O_RDONLY)
            code = importlib.import_module(module).main(arguments)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)  # to take apart all that was imported takes as long as the command
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        said.seek(0)
        print(json.dumps([code, out.read(), said.read()]), flush=True)
"""


class Face(Protocol):
    """Calls a verb; its reply in JSON's types, or a ControlError."""

    def call(self, verb: str, **arguments: Any) -> Any: ...


class Stage:
    """A pipe in a program of its own, with all its faces."""

    def __init__(self, commands: Commands, places: dict[str, str]) -> None:
        self.commands = commands
        self.http = places["http"]
        self.rpc = places["rpc"]


@contextmanager
def stage() -> Iterator[Stage]:
    """Run :mod:`tests.contract.stage` until the block ends; it must then end by itself."""
    process = subprocess.Popen(
        [sys.executable, str(STAGE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment()
    )
    assert process.stdin is not None
    assert process.stdout is not None
    commands = Commands()
    try:
        line = process.stdout.readline()
        assert line, "the stage did not come up"
        yield Stage(commands, json.loads(line))
        process.stdin.close()
        assert process.wait(60) == 0
    finally:
        commands.close()
        process.kill()
        process.wait()
        process.stdout.close()


def _environment() -> dict[str, str]:
    return {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}


class ClientFace:
    """Python, over HTTP."""

    def __init__(self, there: Stage) -> None:
        self._client = PipeClient(there.http)

    def call(self, verb: str, **arguments: Any) -> Any:
        return json.loads(json.dumps(plain(getattr(self._client, verb)(**arguments))))

    def close(self) -> None:
        self._client.close()


class RpcFace:
    """A stock ``zerorpc.Client``, in a program of its own, since gevent does not mix with everything."""

    def __init__(self, there: Stage) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _RPC_CALLER, there.rpc],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def call(self, verb: str, **arguments: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([verb, arguments]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise ControlError(answer["error"][0], answer["error"][1])
        return answer["reply"]

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


class Commands:
    """Runs commands in processes of their own, forked from one that has imported them: that is most of their time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _COMMANDS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=_environment(),
        )

    def run(self, module: str, *arguments: str) -> tuple[int, str, str]:
        """Exit code, output and what it said on standard error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([module, arguments]) + "\n")
        self._process.stdin.flush()
        code, out, said = json.loads(self._process.stdout.readline())
        return code, out, said

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


class RpcCommandFace:
    """``pipert2-rpc``."""

    def __init__(self, there: Stage) -> None:
        self._there = there

    def call(self, verb: str, **arguments: Any) -> Any:
        said = ("-j", "-pj", self._there.rpc, "call", json.dumps(verb), json.dumps(arguments))
        code, out, error = self._there.commands.run("pipert2.control.rpc.command", *said)
        if code:
            raise ControlError("failed", error.strip())
        return json.loads(out)

    def close(self) -> None:
        """Each call is a process of its own."""


class CliFace:
    """``pipert2 VERB --json``."""

    def __init__(self, there: Stage) -> None:
        self._there = there

    def call(self, verb: str, **arguments: Any) -> Any:
        said = (*_command(verb, arguments), "--json", "--url", self._there.http)
        code, out, error = self._there.commands.run("pipert2.cli.main", *said)
        if code:
            raise ControlError(str(code), out + error.strip())
        if verb == "shared_parameters":
            return json.loads(out)["shared"]
        if verb == "logs":
            return {"records": [json.loads(line) for line in out.splitlines()]}
        return json.loads(out) if out.strip() else None

    def close(self) -> None:
        """Each call is a process of its own."""


def _command(verb: str, given: dict[str, Any]) -> list[str]:
    """A verb as it is typed."""
    arguments = dict(given)
    options = [
        f"--{name}={arguments.pop(name)}" for name in ("wait", "flow", "timeout") if arguments.get(name) is not None
    ]
    if verb == "event":
        params = [f"{name}={json.dumps(value)}" for name, value in (arguments.pop("params", None) or {}).items()]
        chosen = [f"--routine={arguments['routine']}"] if "routine" in arguments else []
        return ["event", arguments["name"], *params, *chosen, *options]
    if verb == "set_parameters":
        return ["params", arguments["routine"], *(f"{k}={json.dumps(v)}" for k, v in arguments["values"].items())]
    if verb == "set_shared_parameters":
        return ["params", *(f"{k}={json.dumps(v)}" for k, v in arguments["values"].items())]
    if verb == "call":
        return [
            "call",
            arguments["routine"],
            *([json.dumps(arguments["data"])] if "data" in arguments else []),
            *options,
        ]
    if verb == "set_replicas":
        return ["replicas", given["flow"], str(given["replicas"])]
    if verb in ("link", "unlink"):
        chosen = ["--lossless"] if arguments.get("lossless") else []
        return [verb, arguments["source"], arguments["destination"], *chosen]
    if verb == "log_level":
        return ["level", arguments["routine"], arguments["level"]]
    if verb == "restart_flow":
        return ["restart", *(text.removeprefix("--flow=") for text in options)]
    if verb in ("start", "stop", "kill"):
        return [verb, *(f"--{name}={value}" for name, value in arguments.items()), *options]
    if verb == "logs":
        return ["logs", *(f"--{name}={value}" for name, value in arguments.items()), *options]
    if verb.startswith(("dead_letter", "requeue_dead_letter", "drop_dead_letter")):
        action = "list" if verb.startswith("dead") else verb.split("_")[0]
        number = [str(arguments.pop("number"))] if "number" in arguments else []
        every = ["--all"] if verb in ("requeue_dead_letters", "drop_dead_letters") else []
        chosen = [f"--{name}={value}" for name, value in arguments.items()]
        return ["dead-letters", action, *number, *every, *chosen, *options]
    if verb in ("parameters", "shared_parameters"):
        return ["params", *arguments.values()]
    return [verb, *options]


FACES: dict[str, Callable[[Stage], Any]] = {
    "python client": ClientFace,
    "zerorpc.Client": RpcFace,
    "pipert2-rpc": RpcCommandFace,
    "pipert2": CliFace,
}
