"""What runs leave behind when they are killed, and how the next run clears it away.

Each run has a folder under the temporary directory with a file ``lock``, which the main process keeps locked while it
lives (the kernel unlocks it however the process ends), ``names``, the processes it started, and ``folders``, where the
sockets of its fork server are.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import tempfile
import time
from pathlib import Path
from types import TracebackType

import psutil

from pipert2.transport.memory import posix_ipc, unlink_memory, unlink_semaphore

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows: pipes run inline there
    fcntl = None  # type: ignore[assignment]

_SHARED_MEMORY = Path("/dev/shm")
_SOCKETS = "pymp-"  # what multiprocessing's folders are called
_UNFINISHED_AFTER = 60.0  # seconds; whoever makes a run's folder takes a millisecond for it


def runs_folder() -> Path:
    """Where the folders of this user's runs are."""
    return Path(tempfile.gettempdir()) / f"pipert2-{os.getuid()}"


class Run:
    """The mark of a living run, and the prefix of all its names. A context manager; closes twice without complaint."""

    def __init__(self) -> None:
        folder = runs_folder()
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            raise PermissionError(f"{folder} belongs to another user: remove it, or set TMPDIR to a folder of your own")
        self.prefix = f"pr2-{os.getpid():x}-{secrets.token_hex(3)}"
        self.folder = folder / self.prefix
        # It gets the name that others look for once it is locked, else they could take it for dead meanwhile.
        unfinished = folder / f"new-{self.prefix}"
        unfinished.mkdir(mode=0o700)
        self._lock = os.open(unfinished / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        unfinished.rename(self.folder)
        self._folders: set[str] = set()
        self._closed = False

    def add_process(self, pid: int) -> None:
        """Note a process of the run, so that it can be found should the main process be killed."""
        with contextlib.suppress(psutil.NoSuchProcess), open(self.folder / "names", "a", encoding="ascii") as file:
            file.write(f"{pid} {psutil.Process(pid).create_time():.2f}\n")

    def add_folder(self, path: str) -> None:
        """Note a folder of multiprocessing's that goes with the main process, which a killed one leaves."""
        if path not in self._folders:
            self._folders.add(path)
            with open(self.folder / "folders", "a", encoding="utf-8") as file:
                file.write(f"{path}\n")

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            shutil.rmtree(self.folder, ignore_errors=True)
            os.close(self._lock)

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def clear_leftovers() -> list[str]:
    """Remove what dead runs of this user left (processes, shared memory, folders); returns their prefixes."""
    cleared = []
    try:
        folders = [folder for folder in runs_folder().iterdir() if folder.name.startswith(("pr2-", "new-pr2-"))]
    except FileNotFoundError:
        return []
    for folder in folders:
        if folder.name.startswith("new-"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - folder.stat().st_mtime > _UNFINISHED_AFTER:
                    shutil.rmtree(folder, ignore_errors=True)
            continue
        try:
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # just being made, or just being removed
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue  # alive
        else:
            if _is_same(lock, folder / "lock"):
                _clear(folder)
                cleared.append(folder.name)
        finally:
            os.close(lock)
    return cleared


def _is_same(lock: int, path: Path) -> bool:
    """Whether a file that was opened is still the one of that name: another run may have cleared it meanwhile."""
    try:
        return os.path.samestat(os.fstat(lock), path.stat())
    except FileNotFoundError:
        return False


def _clear(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        for line in (folder / "names").read_text("ascii").splitlines():
            _kill(line)
    with contextlib.suppress(FileNotFoundError):
        for line in (folder / "folders").read_text("utf-8").splitlines():
            if Path(line).name.startswith(_SOCKETS):
                shutil.rmtree(line, ignore_errors=True)
    prefix = f"{folder.name}."
    if _SHARED_MEMORY.is_dir():
        for file in _SHARED_MEMORY.iterdir():
            with contextlib.suppress(posix_ipc.Error):
                if file.name.startswith(prefix):
                    unlink_memory(f"/{file.name}")
                elif file.name.startswith(f"sem.{prefix}"):
                    unlink_semaphore(f"/{file.name[4:]}")
    shutil.rmtree(folder, ignore_errors=True)


def _kill(line: str) -> None:
    """Kill a process noted by a dead run, if its number still belongs to it."""
    pid, _, started = line.partition(" ")
    with contextlib.suppress(psutil.Error, ValueError, OSError):
        process = psutil.Process(int(pid))
        if abs(process.create_time() - float(started)) < 0.1:
            process.send_signal(signal.SIGKILL)
