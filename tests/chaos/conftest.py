"""What the chaos tests share: a journal that survives whoever writes in it, and scripts to be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import pytest

ROOT = Path(__file__).resolve().parents[2]


class Journal:
    """Lines that routines note from whatever process they run in; what was noted stays when the process is killed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, *words: object) -> None:
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, (" ".join(map(str, words)) + "\n").encode())
        os.close(handle)

    def lines(self) -> list[str]:
        return self.path.read_text().splitlines() if self.path.exists() else []


class Scripts:
    """Starts a user's scripts, each in a process group of its own; what still runs at the end of the test is killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[subprocess.Popen[str]] = []

    def start(self, code: str, *before: str) -> subprocess.Popen[str]:
        """Start a script; *before* is the command that starts the interpreter, if it is another one's child."""
        path = self._folder / f"script_{len(self._started)}.py"
        path.write_text(code)
        process = subprocess.Popen(
            [*before, sys.executable, str(path)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    @staticmethod
    def read_line(process: subprocess.Popen[str]) -> str:
        """The next line a script prints; nothing behind it is read, so that it is left for ``communicate``."""
        assert process.stdout is not None
        line = b""
        while not line.endswith(b"\n") and (byte := os.read(process.stdout.fileno(), 1)):
            line += byte
        return line.decode()

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


@pytest.fixture
def scripts(tmp_path: Path) -> Iterator[Scripts]:
    running = Scripts(tmp_path)
    yield running
    running.close()


@pytest.fixture(autouse=True)
def _routines_travel_by_value(request: pytest.FixtureRequest) -> Iterator[None]:
    """Flows do not import test modules, as they do not import users' scripts."""
    modules = (request.module, sys.modules[__name__])
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    yield
    for module in modules:
        cloudpickle.unregister_pickle_by_value(module)
