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
client = zerorpc.Client(timeout=30)
client.connect(sys.argv[1])
for line in sys.stdin:
    verb, arguments = json.loads(line)
    try:
        answer = {"reply": client("call", verb, arguments)}
    except zerorpc.RemoteError as error:
        answer = {"error": [error.name, error.msg]}
    print(json.dumps(answer), flush=True)
"""


class Face(Protocol):
    """Calls a verb; its reply in JSON's types, or a ControlError."""

    def call(self, verb: str, **arguments: Any) -> Any: ...


class Stage:
    """A pipe in a program of its own, with all its faces."""

    def __init__(self, process: subprocess.Popen[str], places: dict[str, str]) -> None:
        self.process = process
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
    try:
        line = process.stdout.readline()
        assert line, "the stage did not come up"
        yield Stage(process, json.loads(line))
        process.stdin.close()
        assert process.wait(30) == 0
    finally:
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
        self._process.wait(10)
        self._process.stdout.close()


class RpcCommandFace:
    """``pipert2-rpc``."""

    def __init__(self, there: Stage) -> None:
        self._endpoint = there.rpc

    def call(self, verb: str, **arguments: Any) -> Any:
        command = [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            "import sys; from pipert2.control.rpc_command import main; sys.exit(main())",
        ]
        done = _run([*command, "-j", "-pj", self._endpoint, "call", json.dumps(verb), json.dumps(arguments)])
        if done.returncode:
            raise ControlError("failed", done.stderr.strip())
        return json.loads(done.stdout)

    def close(self) -> None:
        """Each call is a process of its own."""


class CliFace:
    """``pipert2 VERB --json``."""

    def __init__(self, there: Stage) -> None:
        self._url = there.http

    def call(self, verb: str, **arguments: Any) -> Any:
        done = _run([sys.executable, "-m", "pipert2", *_command(verb, arguments), "--json", "--url", self._url])
        if done.returncode:
            raise ControlError(str(done.returncode), done.stdout + done.stderr.strip())
        if verb == "logs":
            return {"records": [json.loads(line) for line in done.stdout.splitlines()]}
        return json.loads(done.stdout) if done.stdout.strip() else None

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
        return ["logs", *(f"--{name}={value}" for name, value in arguments.items())]
    if verb == "parameters":
        return ["params", *arguments.values()]
    return [verb, *options]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=_environment())


FACES: dict[str, Callable[[Stage], Any]] = {
    "python client": ClientFace,
    "zerorpc.Client": RpcFace,
    "pipert2-rpc": RpcCommandFace,
    "pipert2": CliFace,
}
