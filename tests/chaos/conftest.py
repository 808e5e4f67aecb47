"""What the chaos tests share: a journal that survives whoever writes in it, and scripts to be killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Children, Journal, by_value


class Scripts(Children):
    """Starts a user's scripts."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def start(self, code: str, *before: str) -> subprocess.Popen[str]:
        """Start a script; *before* is the command that starts the interpreter, if it is another one's child."""
        path = self._folder / f"script_{len(self._started)}.py"
        path.write_text(code)
        return self.open([*before, sys.executable, str(path)])


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
