"""APIWrapper, as PipeRT2 documents it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from pipert2 import Pipe
from pipert2.control.http.api_wrapper import APIWrapper
from pipert2.control.http.tokens import Tokens
from pipert2.control.verbs import Scope
from pipert2.errors import ControlError
from pipert2.testing import CollectingDestination, ListSource, wait_until
from tests.integration.conftest import Scripts

ENOUGH = 60.0
TOKEN = "control-token-of-the-tests"

SCRIPT = """
import os, time
from pipert2 import DestinationRoutine, Pipe, SourceRoutine
from pipert2.control.http.api_wrapper import APIWrapper

class Generate(SourceRoutine):
    def main_logic(self):
        time.sleep(0.01)
        return {"value": "example"}

class Take(DestinationRoutine):
    def main_logic(self, data):
        pass

if __name__ == "__main__":
    pipe = Pipe()
    pipe.create_flow("Flow1", True, Generate("generate"), Take("take"))
    api_wrapper = APIWrapper(host="127.0.0.1", port=0, pipe=pipe)
    api_wrapper.run()
    print(api_wrapper.url, flush=True)
"""


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PIPERT2_TOKEN", raising=False)
    monkeypatch.delenv("PIPERT2_READ_TOKEN", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def pipe() -> Pipe:
    made = Pipe("wrapped", inline=True)
    made.create_flow("all", True, ListSource([1, 2], repeat=True), CollectingDestination("sink"))
    return made


def get(url: str, path: str, token: str | None = None) -> tuple[int, object]:
    address = url.partition("://")[2]
    connection = http.client.HTTPConnection(address, timeout=ENOUGH)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_run_returns_and_the_documents_routes_drive_the_pipe(pipe: Pipe) -> None:
    with APIWrapper(host="127.0.0.1", port=0, pipe=pipe) as api:
        assert get(api.url, "/start")[0] == 200
        wait_until(lambda: pipe.status().state.value == "running")
        assert get(api.url, "/pause")[0] == 200
        assert get(api.url, "/kill")[0] == 200
        assert api.wait(ENOUGH)
    pipe.join(to_kill=True)


def test_close_ends_it_and_closes_twice_and_it_can_run_again(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipert2.control.http.server._WORKERS_SECONDS", ENOUGH)  # which have nothing to do
    api = APIWrapper(pipe, port=0)
    api.close()
    api.run()
    api.run()
    assert get(api.url, "/api/v1/version")[0] == 200
    api.close()
    api.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pipert2-http")]

    api.run()
    assert get(api.url, "/api/v1/version")[0] == 200
    api.close()
    pipe.join(to_kill=True)


def test_a_start_that_fails_leaves_nothing(pipe: Pipe) -> None:
    handlers = len(pipe.logger.handlers)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        api = APIWrapper(pipe, port=taken.getsockname()[1])
        with pytest.raises(ControlError, match="port"):
            api.run()
    assert len(pipe.logger.handlers) == handlers
    with pytest.raises(ControlError, match="run"):
        _ = api.url


def test_what_is_not_a_pipe_is_refused() -> None:
    with pytest.raises(ControlError, match="not a pipe"):
        APIWrapper("pipe")  # type: ignore[arg-type]


def test_on_loopback_no_token_is_made(pipe: Pipe, capsys: pytest.CaptureFixture[str]) -> None:
    with APIWrapper(pipe, port=0) as api:
        assert get(api.url, "/api/v1/version")[0] == 200
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""


def test_beyond_loopback_a_token_is_made_and_shown_once(pipe: Pipe, capsys: pytest.CaptureFixture[str]) -> None:
    with APIWrapper(pipe, host="0.0.0.0", port=0) as api:
        printed = capsys.readouterr()
        assert printed.out == ""
        (line,) = printed.err.splitlines()
        token = line.rpartition(" ")[2]
        assert re.fullmatch(r"[\w-]{40,}", token)

        assert get(api.url, "/api/v1/version")[0] == 401
        assert get(api.url, "/api/v1/version", token)[0] == 200
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize("where", ["argument", "environment", "file"])
def test_a_token_that_was_given_is_not_shown(
    pipe: Pipe, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str
) -> None:
    tokens = None
    if where == "argument":
        tokens = Tokens([(TOKEN, Scope.CONTROL)])
    elif where == "environment":
        monkeypatch.setenv("PIPERT2_TOKEN", TOKEN)
    else:
        (tmp_path / ".env").write_text(f"PIPERT2_TOKEN={TOKEN}\n")

    with APIWrapper(pipe, host="0.0.0.0", port=0, tokens=tokens) as api:
        assert get(api.url, "/api/v1/version", TOKEN)[0] == 200
        assert get(api.url, "/api/v1/version")[0] == 401
    assert capsys.readouterr().err == ""


# --- the document's program, which ends with run()


def _start(scripts: Scripts, code: str = SCRIPT) -> tuple[subprocess.Popen[str], str]:
    process = scripts.start(code)
    return process, scripts.read_line(process).strip()


def test_a_program_that_ends_with_run_goes_on_until_its_pipe_is_killed(scripts: Scripts) -> None:
    process, url = _start(scripts)

    assert get(url, "/start")[0] == 200
    wait_until(lambda: get(url, "/api/v1/status")[1]["routines"][1]["received"] > 3)
    assert process.poll() is None
    assert get(url, "/kill")[0] == 200
    assert scripts.finish(process) == ""


def _catches_sigterm(pid: int) -> bool:
    caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks in /proc whether signals are caught")
@pytest.mark.parametrize("started", [True, False])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_program_that_ends_with_run_is_ended_by_a_signal_without_complaint(
    scripts: Scripts, number: signal.Signals, started: bool
) -> None:
    process, url = _start(scripts)
    if started:
        assert get(url, "/start")[0] == 200
        wait_until(lambda: get(url, "/api/v1/status")[1]["routines"][1]["received"] > 3)
    wait_until(lambda: _catches_sigterm(process.pid), what="the end of the program's main part")

    os.kill(process.pid, number)

    assert scripts.finish(process) == ""


def test_a_program_that_fails_behind_run_ends(scripts: Scripts) -> None:
    process, _ = _start(scripts, SCRIPT + "    raise ValueError('the program failed')\n")

    _, err = process.communicate(timeout=ENOUGH)
    assert process.returncode == 1
    assert err.rstrip().endswith("ValueError: the program failed")


def test_a_program_that_closes_it_ends(scripts: Scripts) -> None:
    process, _ = _start(scripts, SCRIPT + "    api_wrapper.close()\n")

    assert scripts.finish(process) == ""
