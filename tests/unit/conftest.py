"""Unit tests start no process, so there is less that they could leave behind, and looking for it is quicker."""

from __future__ import annotations

import gc
import multiprocessing
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipert2.testing import wait_until

_SHARED_MEMORY = Path("/dev/shm")
_OURS = (f"pr2-test{os.getpid():08x}", f"pr2-dead{os.getpid():08x}")


def _left() -> set[str]:
    files = {file.name for file in _SHARED_MEMORY.iterdir()} if _SHARED_MEMORY.is_dir() else set()
    found = {name for name in files if name.removeprefix("sem.").startswith(_OURS)}
    found |= {thread.name for thread in threading.enumerate() if thread.name.startswith("pipert2-")}
    return found | {f"process {child.pid}" for child in multiprocessing.active_children()}


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """Fails a test that leaves shared memory, a semaphore, a thread or a process."""
    before = _left()
    yield
    if _left() - before:
        gc.collect()
        wait_until(lambda: not _left() - before, timeout=30.0, what=f"that nothing is left of {_left() - before}")
