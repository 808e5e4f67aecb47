"""Finding what dead runs left behind, without touching it."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipert2.transport.leftovers import runs_folder

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows: pipes run inline there
    fcntl = None  # type: ignore[assignment]

_NAME = re.compile(r"(?:sem\.)?(pr2-([0-9a-f]+)-[0-9a-f]+)\.")


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Names of dead runs, and of files in shared memory that no living run owns; *size* is theirs in bytes."""

    runs: tuple[str, ...]
    files: tuple[str, ...]
    size: int


def find_leftovers(shared_memory: Path = Path("/dev/shm")) -> Leftovers:
    """What this user's dead runs left."""
    folder = runs_folder()
    runs = sorted(one.name for one in folder.iterdir() if one.name.startswith("pr2-")) if folder.is_dir() else []
    living = {run for run in runs if _lives(folder / run)}
    files, size = [], 0
    for file in shared_memory.iterdir() if shared_memory.is_dir() else ():
        found = _NAME.match(file.name)
        if found is None or found[1] in living:
            continue
        if found[1] not in runs and psutil.pid_exists(int(found[2], 16)):
            continue  # it may have its folder elsewhere: another TMPDIR
        with contextlib.suppress(FileNotFoundError):
            about = file.stat()
            if about.st_uid == os.getuid():
                files.append(file.name)
                size += about.st_size
    return Leftovers(tuple(run for run in runs if run not in living), tuple(sorted(files)), size)


def _lives(run: Path) -> bool:
    """Whether the main process of a run still holds its lock."""
    try:
        lock = os.open(run / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True  # just being made, or just being removed
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(lock)
