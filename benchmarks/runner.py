"""Runs one trial in a process of its own, within a time limit, and leaves nothing of it behind."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.environments import ROOT
from benchmarks.systems import System
from benchmarks.works import Work

SHM = Path("/dev/shm")
MARK = "PIPERT2_BENCH_RUN"  # environment variable by which a run's processes are known, orphans too
START_LIMIT, COUNT_LIMIT, GRACE = 40.0, 180.0, 2.0  # seconds


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run: figures, or why there are none; what the system left behind (and was cleared away)."""

    figures: dict[str, Any]
    error: str | None
    strays: int
    leftovers: tuple[str, ...]


def run(system: System, work: Work, *, seconds: float | None, warmup: float) -> Outcome:
    """Runs `work` by `system`. Interrupted, it kills what it has started and passes the interrupt on."""
    length = work.seconds if seconds is None else seconds
    limit = COUNT_LIMIT if work.messages else START_LIMIT + 3 * (length + warmup)
    command = [str(system.environment.python), "-m", f"benchmarks.peers.{system.module}", work.key]
    command += ["--variant", system.variant, "--seconds", str(length), "--warmup", str(warmup)]
    return launch(command, limit)


def launch(command: list[str], limit: float) -> Outcome:
    """Runs a command, which prints its figures as one line of JSON, for at most `limit` seconds."""
    token = uuid.uuid4().hex
    before = _segments()
    error: str | None = None
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | {MARK: token}, stdout=output, stderr=log, start_new_session=True
        )
        try:
            if process.wait(limit) != 0:
                error = f"exit code {process.returncode}"
            _wait_gone(token)
        except subprocess.TimeoutExpired:
            error = f"no end within {limit:.0f} s"
        finally:
            strays = _kill(token)
            process.wait()
            leftovers = _sweep(_segments() - before)
        figures, told = _read(output), _last_line(log)
    if not figures or error:
        error = f"{error or 'no result'}: {told}"
    return Outcome(figures, error, strays, leftovers)


def _read(output: Any) -> dict[str, Any]:
    output.seek(0)
    lines = output.read().splitlines()
    return dict(json.loads(lines[-1])) if lines else {}


def _last_line(log: Any) -> str:
    log.seek(0)
    lines = [line.strip() for line in log.read().splitlines() if line.strip()]
    return lines[-1][:300] if lines else "nothing said"


def _wait_gone(token: str) -> None:
    """Gives the helpers of a process that has ended the time to notice and end too."""
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline and any(_marked(token)):
        time.sleep(0.05)


def _kill(token: str) -> int:
    """Kills every process of the run that is still there, and says how many there were."""
    killed = 0
    deadline = time.monotonic() + 5.0
    while (found := list(_marked(token))) and time.monotonic() < deadline:
        killed = max(killed, len(found))
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, timeout=1.0)
    return killed


def _marked(token: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == token:
                yield process


def _segments() -> set[str]:
    return {entry.name for entry in SHM.iterdir()} if SHM.is_dir() else set()


def _sweep(names: set[str]) -> tuple[str, ...]:
    """Removes those of `names` that no process has mapped or opened: others may be at work on this machine."""
    if not names:
        return ()
    # By inode, for a semaphore is mapped by its creator under a passing name and linked to its own afterwards.
    mapped: set[int] = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            mapped |= {int(line.split()[4]) for line in maps.read_text().splitlines() if str(SHM) in line}
    for link in Path("/proc").glob("[0-9]*/fd/*"):  # files of locks are opened, not mapped
        with contextlib.suppress(OSError):
            if str(link.readlink()).startswith(str(SHM)):
                mapped.add(link.stat().st_ino)
    left = []
    for name in sorted(names):
        with contextlib.suppress(OSError):
            if (SHM / name).stat().st_ino not in mapped:
                (SHM / name).unlink()
                left.append(name)
    return tuple(left)
