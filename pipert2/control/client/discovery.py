"""Which pipes of this user run on this machine and can be reached: each announces itself in a small file."""

from __future__ import annotations

import json
import os
import stat
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from pipert2.errors import ControlError

_SLACK = 2.0
_LARGEST = 10_000
_SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class Announcement:
    """A pipe that can be reached.

    Attributes:
        pid: of its main process. pipe: its name. url: of its control API.
        started: when it announced itself, seconds since the epoch.
    """

    pid: int
    pipe: str
    url: str
    started: float


class Announced:
    """An announcement that stands until this is closed. Closes twice without complaint."""

    def __init__(self, announcement: Announcement, path: Path) -> None:
        self.announcement = announcement
        self._path = path
        self._owner = os.getpid()

    def close(self) -> None:
        """Take the announcement back."""
        if os.getpid() == self._owner:  # not in a child that was forked
            self._path.unlink(missing_ok=True)

    def __enter__(self) -> Announced:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def announce(pipe: str, url: str) -> Announced:
    """Let this user's other programs find a pipe of this process.

    Args:
        pipe: its name.
        url: of its control API.

    Raises:
        ControlError: the folder for it is not this user's own, or cannot be written.
    """
    announcement = Announcement(os.getpid(), pipe, url, time.time())
    folder = announcement_folders()[0]
    try:
        _make_private(folder)
        handle, name = tempfile.mkstemp(prefix=f"{announcement.pid}-", suffix=".new", dir=folder)  # mode 0600
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(announcement), file)
        path = Path(name).with_suffix(_SUFFIX)
        os.replace(name, path)  # nobody ever reads half a file
    except OSError as error:
        raise ControlError("failed", f"the pipe cannot be announced in {str(folder)!r}: {error}") from error
    return Announced(announcement, path)


def running_pipes() -> list[Announcement]:
    """The pipes of this user that run on this machine, the latest first. What dead processes left is removed."""
    found = []
    for folder in announcement_folders():
        for path in _files(folder):
            announcement = _read(path)
            if announcement is not None and _lives(announcement):
                found.append(announcement)
            elif announcement is not None or _is_stale(path):
                path.unlink(missing_ok=True)
    return sorted(found, key=lambda one: one.started, reverse=True)


def announcement_folders() -> list[Path]:
    """Where announcements stand, in folders that only this user can enter; new ones in the first.

    The second one is for programs without ``XDG_RUNTIME_DIR``, such as those that cron starts.
    """
    who = str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    folders = [Path(tempfile.gettempdir()) / f"pipert2-control-{who}"]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isabs(runtime) and os.path.isdir(runtime):
        folders.insert(0, Path(runtime) / "pipert2")
    return folders


def _files(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir()) if _is_private(folder) else []
    except OSError:
        return []


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    if not _is_private(folder):
        raise PermissionError(f"{folder} belongs to another user or is open to others: it must be yours, mode 0700")


def _is_private(folder: Path) -> bool:
    """Whether it is a real folder that belongs to this user alone; in the temporary folder anybody could make it."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    if not stat.S_ISDIR(found.st_mode):
        return False
    return not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o077)


def _read(path: Path) -> Announcement | None:
    """The announcement in a file, None if there is none."""
    if path.suffix != _SUFFIX:
        return None
    try:
        if path.stat().st_size > _LARGEST:
            return None
        content: Any = json.loads(path.read_text("utf-8"))
        pid, pipe, url, started = (content[name] for name in ("pid", "pipe", "url", "started"))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    right = type(pid) is int and pid > 0 and isinstance(pipe, str) and isinstance(url, str)
    if not right or not isinstance(started, int | float):
        return None
    return Announcement(pid, pipe, url, float(started))


def _lives(announcement: Announcement) -> bool:
    """Whether the process that announced it still runs, and is not a later one with the same number."""
    try:
        process = psutil.Process(announcement.pid)
        lives: bool = process.status() != psutil.STATUS_ZOMBIE
        return lives and bool(process.create_time() <= announcement.started + _SLACK)
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


def _is_stale(path: Path) -> bool:
    """Whether a file that is no announcement has been there for so long that nobody is writing it."""
    try:
        return path.is_file() and path.stat().st_mtime < time.time() - 60.0
    except OSError:
        return False
