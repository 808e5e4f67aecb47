"""Gives others the processors first, in ``python -m benchmarks.cockpit``."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

_LOWER = 10


@contextmanager
def stand_back(programs: list[subprocess.Popen[bytes] | subprocess.Popen[str] | None]) -> Iterator[None]:
    """From here on *programs* and what they started have a lower priority than all else.

    Where the kernel shares processors between sessions before it looks at priorities (``sched_autogroup``), so has this
    program's session until the end of this: the browser is in a session of its own.
    """
    for program in programs:
        if program is not None:
            with suppress(psutil.NoSuchProcess):
                first = psutil.Process(program.pid)
                for process in (first, *first.children(recursive=True)):
                    _lower(process)
    _session(_LOWER)
    try:
        yield
    finally:
        _session(0)


def _lower(process: psutil.Process) -> None:
    """A priority is a thread's own on Linux; only what a thread starts later inherits it."""
    with suppress(psutil.Error):
        for thread in process.threads():
            with suppress(OSError):  # it has ended meanwhile
                os.setpriority(os.PRIO_PROCESS, thread.id, _LOWER)


def _session(by: int) -> None:
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(by))
