"""What the tests with real processes share: a journal that routines write in, and scripts run as users run theirs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from pipert2 import DataTransmitter, Pipe, Routine, Wire

ROOT = Path(__file__).resolve().parents[2]


class Journal:
    """Lines that routines note from whatever process they run in, in the order in which they were noted."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, *words: object) -> None:
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, (" ".join(map(str, words)) + "\n").encode())
        os.close(handle)

    def lines(self) -> list[str]:
        return self.path.read_text().splitlines() if self.path.exists() else []

    def count(self, line: str) -> int:
        return self.lines().count(line)


class Scripts:
    """Runs a user's scripts; what still runs at the end of the test is killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[subprocess.Popen[str]] = []
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._environment.pop("PYTHONUNBUFFERED", None)  # with it, lines that two processes print run into each other

    def start(self, code: str, *arguments: object, name: str = "script.py") -> subprocess.Popen[str]:
        """Write *code* to a file and start it, in a process group of its own."""
        (self.folder / name).write_text(code)
        return self.command(name, *arguments)

    def command(self, *arguments: object, stdin: int | None = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """Start the interpreter with these arguments."""
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=self.folder,
            env=self._environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def run(self, code: str, *arguments: object, timeout: float = 30.0) -> str:
        """Run *code* to its end; what it printed. It must not fail, and must not complain."""
        return self.finish(self.start(code, *arguments), timeout)

    def finish(self, process: subprocess.Popen[str], timeout: float = 30.0) -> str:
        """Wait until a script has ended; what it printed. It must not have failed, nor complained."""
        out, err = process.communicate(timeout=timeout)
        assert process.returncode == 0, f"exit code {process.returncode}\n{out}\n{err}"
        assert not err, err
        return out

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
            for stream in (process.stdin, process.stdout, process.stderr):
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


@pytest.fixture
def chain() -> Callable[..., Pipe]:
    """Makes a pipe of routines in a row, each in a flow of its own that is named "in-" and the routine's name."""

    def make(*routines: Routine, transmitter: DataTransmitter | None = None, **options: Any) -> Pipe:
        pipe = Pipe(**options)
        for routine in routines:
            pipe.create_flow(f"in-{routine.name}", False, routine)
        for first, second in pairwise(routines):
            pipe.link(Wire(first, (second,), data_transmitter=transmitter))
        return pipe

    return make
