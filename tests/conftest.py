"""What holds for all tests: nothing is left behind, and no ERROR line comes unexpected."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipert2.transport.leftovers import runs_folder

_SHARED_MEMORY = Path("/dev/shm")
_OWN = f"pr2-{os.getpid():x}-"


def _shared() -> set[str]:
    """Shared memory and semaphores of this process's pipes; other processes may have theirs."""
    return {file.name for file in _SHARED_MEMORY.iterdir() if _OWN in file.name} if _SHARED_MEMORY.is_dir() else set()


def _runs() -> set[str]:
    return (
        {folder.name for folder in runs_folder().iterdir() if _OWN in folder.name} if runs_folder().is_dir() else set()
    )


def _processes() -> set[int]:
    return {
        child.pid
        for child in psutil.Process().children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE and not _is_service(child)
    }


def _is_service(process: psutil.Process) -> bool:
    """The fork server and multiprocessing's resource tracker live as long as the interpreter."""
    try:
        command = " ".join(process.cmdline())
        return "resource_tracker" in command or ("forkserver" in command and process.ppid() == os.getpid())
    except psutil.Error:
        return True


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("pipert2-")}


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """Fails a test that leaves a process, thread, shared memory, semaphore, run folder or file descriptors."""
    before = _shared(), _runs(), _processes(), _threads()
    multiprocessing.active_children()
    yield
    deadline = time.monotonic() + 5.0
    left: list[object] = ["?"]
    while left and time.monotonic() < deadline:
        gc.collect()
        multiprocessing.active_children()
        now = _shared(), _runs(), _processes(), _threads()
        left = [sorted(map(str, new - old)) for old, new in zip(before, now, strict=True) if new - old]
        if left:
            time.sleep(0.02)
    assert not left, f"left behind: {left}"


@pytest.fixture(autouse=True)
def _no_unexpected_errors(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fails a test in which an ERROR was logged; mark it with ``expects_errors`` where that is what it is about."""
    yield
    if request.node.get_closest_marker("expects_errors"):
        return
    found = [
        record.getMessage()
        for phase in ("setup", "call")
        for record in caplog.get_records(phase)
        if record.levelno >= logging.ERROR
    ]
    assert not found, f"errors nobody expected: {found}"
