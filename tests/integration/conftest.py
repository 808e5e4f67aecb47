"""What the tests with real processes share: a journal that routines write in, and scripts run as users run theirs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pipert2 import DataTransmitter, Pipe, Routine, Wire
from tests.processes import ROOT, Children, Journal, by_value


class Scripts(Children):
    """Runs a user's scripts."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._environment.pop("PYTHONUNBUFFERED", None)  # with it, lines that two processes print run into each other

    def start(self, code: str, *arguments: object, name: str = "script.py") -> subprocess.Popen[str]:
        """Write *code* to a file and start it."""
        (self.folder / name).write_text(code)
        return self.command(name, *arguments)

    def command(self, *arguments: object, stdin: int | None = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """Start the interpreter with these arguments."""
        command = [sys.executable, *map(str, arguments)]
        return self.open(command, cwd=self.folder, env=self._environment, stdin=stdin)

    def run(self, code: str, *arguments: object, timeout: float = 60.0) -> str:
        """Run *code* to its end; what it printed. It must not fail, and must not complain."""
        return self.finish(self.start(code, *arguments), timeout)

    def finish(self, process: subprocess.Popen[str], timeout: float = 60.0) -> str:
        """Wait until a script has ended; what it printed. It must not have failed, nor complained."""
        out, err = process.communicate(timeout=timeout)
        assert process.returncode == 0, f"exit code {process.returncode}\n{out}\n{err}"
        assert not err, err
        return out


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


@pytest.fixture
def scripts(tmp_path: Path) -> Iterator[Scripts]:
    running = Scripts(tmp_path)
    yield running
    running.close()


@pytest.fixture(autouse=True)
def _routines_travel_by_value() -> Iterator[None]:
    with by_value():
        yield


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
