"""What holds for all tests: nothing is left behind, and no ERROR line comes unexpected.

Several test processes may run at once (``make test`` starts one for each processor): each has a temporary folder of its
own, so that the pipes of one never see those of another, nor those that the user has running.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, settings

from pipert2.transport.leftovers import runs_folder

# Made-up values are the same in each run; `--hypothesis-profile=others` makes up others. None of them has to be quick:
# a processor that others use too is no defect of what is tested.
settings.register_profile("others", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("the same", settings.get_profile("others"), derandomize=True)
settings.load_profile("the same")

# What a shell starts in the background ignores Ctrl-C, and so would all scripts that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

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
    return {child.pid for child in psutil.Process().children(recursive=True) if not _is_service(child)}


def _is_service(process: psutil.Process) -> bool:
    """The fork server and multiprocessing's resource tracker live as long as the interpreter, and a browser that all
    its tests share keeps processes for its next page: it is the browser itself that must not be left. What has ended
    is not left either."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        command = " ".join(process.cmdline())
        if "resource_tracker" in command or ("chrom" in command and "--type=" in command):
            return True
        return "forkserver" in command and process.ppid() == os.getpid()
    except psutil.Error:
        return True


@pytest.fixture(autouse=True)
def _logging_stays_as_it_was() -> Iterator[None]:
    """Libraries that are imported, h5pyd and Ray among them, change the level of all logging and what makes records."""
    logging.getLogger().setLevel(logging.WARNING)
    logging.setLogRecordFactory(logging.LogRecord)
    yield
    logging.getLogger().setLevel(logging.WARNING)
    logging.setLogRecordFactory(logging.LogRecord)


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("pipert2-")}


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Texts that no encoding can hold, as some tests log them, are escaped: test processes could not send them."""
    return _encodable((yield))


def _encodable(part: Any) -> Any:
    if isinstance(part, str):
        return part.encode("utf-8", "backslashreplace").decode()
    if isinstance(part, dict):
        return {_encodable(key): _encodable(value) for key, value in part.items()}
    return type(part)(map(_encodable, part)) if isinstance(part, list | tuple) else part


def pytest_collection_finish() -> None:
    """Thousands of collected tests are not garbage: the collections between tests need not look through them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _temporary_folder_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where runs and announcements of pipes stand. Its name is short: sockets with long ones cannot be opened."""
    folder = str(tmp_path_factory.mktemp("tmp"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", folder)
        patch.setenv("TMPDIR", folder)
        patch.delenv("XDG_RUNTIME_DIR", raising=False)
        yield


@pytest.fixture(autouse=True, scope="session")
def _names_that_nobody_has_are_asked_of_nobody() -> Iterator[None]:
    """A name service that does not answer takes ten seconds to say so, and some answer whatever they are asked."""
    ask = socket.getaddrinfo

    def answer(host: Any, *arguments: Any, **options: Any) -> Any:
        if str(host).endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ask(host, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", answer)
        yield


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """Fails a test that leaves a process, thread, shared memory, semaphore, run folder or file descriptors."""
    before = _shared(), _runs(), _processes(), _threads()
    multiprocessing.active_children()
    yield
    deadline = time.monotonic() + 30.0
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
