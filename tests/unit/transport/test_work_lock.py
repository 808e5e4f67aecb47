"""The lock of a work queue: one holder at a time, in threads and processes, and never a dead one."""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pipert2.testing import wait_until
from pipert2.transport.work_lock import MUTEX_BYTES, Both, QueueLock, RecordLock, RobustLock, make_mutex, queue_lock


@pytest.fixture
def memory() -> Iterator[mmap.mmap]:
    with mmap.mmap(-1, mmap.PAGESIZE) as made:
        yield made


def robust(memory: mmap.mmap, at: int = 0) -> QueueLock:
    view = memoryview(memory)[at : at + MUTEX_BYTES]
    make_mutex(view)
    return RobustLock(view)


def record(_: mmap.mmap, at: int = 0) -> QueueLock:
    return RecordLock(_FILE, at)


def of_threads(_: mmap.mmap, at: int = 0) -> QueueLock:
    return queue_lock(memoryview(b""), None, at, threading.Lock())


_FILE = os.memfd_create("locks")
between_processes = pytest.mark.parametrize("make", [robust, record])
every_kind = pytest.mark.parametrize("make", [robust, record, of_threads])
Make = Callable[[mmap.mmap, int], QueueLock]


@every_kind
def test_only_one_thread_holds_it(make: Make, memory: mmap.mmap) -> None:
    lock, inside, most = make(memory, 0), [], []

    def work() -> None:
        for _ in range(300):
            with lock:
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(most), max(most)) == (1200, 1)


@between_processes
def test_a_holder_that_is_killed_lets_go_of_it(make: Make, memory: mmap.mmap) -> None:
    lock = make(memory, 0)
    child = os.fork()
    if not child:
        lock.acquire()
        memory[2048] = 1
        os.kill(os.getpid(), 9)
    wait_until(lambda: memory[2048] == 1)
    os.waitpid(child, 0)
    for _ in range(2):  # and it is as good as before
        with lock:
            pass


@between_processes
def test_two_locks_are_given_back_together(make: Make, memory: mmap.mmap) -> None:
    first, second = make(memory, 0), make(memory, MUTEX_BYTES)
    with Both(first, second), _child_that_takes(memory, first) as has_it, pytest.raises(TimeoutError):
        wait_until(has_it, timeout=0.2)
    for lock in (first, second):
        with _child_that_takes(memory, lock) as has_it:
            wait_until(has_it, what="the lock in another process")


@contextmanager
def _child_that_takes(memory: mmap.mmap, lock: QueueLock) -> Iterator[Callable[[], bool]]:
    """Another process that waits for the lock by now; the answer is whether it has got it."""
    memory[2048] = memory[2049] = 0
    child = os.fork()
    if not child:
        memory[2049] = 1
        with lock:
            memory[2048] = 1
        os._exit(0)
    try:
        wait_until(lambda: memory[2049] == 1)
        yield lambda: memory[2048] == 1
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
