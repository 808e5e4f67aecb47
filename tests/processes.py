"""What tests with real processes share: a journal that all may write in, children that end, classes that travel."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cloudpickle

ROOT = Path(__file__).resolve().parents[1]


def whole_lines(path: Path) -> list[str]:
    """The lines of a file that somebody may be writing to just now, without what is not a line yet."""
    return path.read_text().rpartition("\n")[0].splitlines() if path.exists() else []


class Journal:
    """Lines that routines note from whatever process they run in, in the order in which they were noted.

    What was noted stays when the process is killed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, *words: object) -> None:
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, (" ".join(map(str, words)) + "\n").encode())
        os.close(handle)

    def lines(self) -> list[str]:
        return whole_lines(self.path)

    def count(self, line: str) -> int:
        return self.lines().count(line)


class Children:
    """Processes, each in a group of its own; what still runs at the end of the test is killed."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[str]] = []

    def open(self, command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
        """Start one that finds the package, and whose output can be read."""
        options = {"env": {**os.environ, "PYTHONPATH": str(ROOT)}, **options}
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **options
        )
        self._started.append(process)
        return process

    @staticmethod
    def read_line(process: subprocess.Popen[str]) -> str:
        """The next line a process prints; nothing behind it is read, so that it is left for ``communicate``."""
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


@contextmanager
def by_value() -> Iterator[None]:
    """What test modules define travels by value: flows do not import them, as they do not import users' scripts."""
    tests = sys.modules[__name__.partition(".")[0]]
    cloudpickle.register_pickle_by_value(tests)
    yield
    cloudpickle.unregister_pickle_by_value(tests)
