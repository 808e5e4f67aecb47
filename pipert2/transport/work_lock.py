"""The lock of one work queue, between processes and threads; the kernel lets go of it when its holder is killed.

Where the C library has robust mutexes (Linux) it is one of them, in the queue's own memory: a tenth of the cost of a
record lock. Elsewhere it is a record lock (``fcntl``) behind a lock of threads.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, cast

MUTEX_BYTES = 64
"""Room for a mutex, which takes 40 to 48 bytes where there are robust ones."""

_PROCESS_SHARED = _ROBUST = 1
_TRIES = 60
"""Looks at a lock before going to sleep: 8 us or so, as long as it is held at most. Sleeping costs more than that,
on both sides, and whoever is woken finds it taken again."""


class QueueLock(Protocol):
    """A lock that is also a context manager."""

    def acquire(self) -> object: ...

    def release(self) -> None: ...

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ThreadLock:
    """The lock of a queue that only threads of this process know: all of them get the same one."""

    __slots__ = ("acquire", "release")

    def __init__(self, lock: threading.Lock) -> None:
        self.acquire = lock.acquire
        self.release = lock.release

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class RecordLock:
    """One byte of a file.

    Args:
        file: its descriptor, kept open by the arena.
        offset: which byte.
    """

    __slots__ = ("_file", "_offset", "_thread")

    def __init__(self, file: int, offset: int) -> None:
        self._thread = threading.Lock()
        self._file = file
        self._offset = offset

    def acquire(self) -> None:
        self._thread.acquire()
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, self._offset)

    def release(self) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, self._offset)
        self._thread.release()

    __enter__ = acquire

    def __exit__(self, *_: object) -> None:
        self.release()


class RobustLock:
    """A robust mutex in shared memory.

    Args:
        memory: where it lies; :func:`make_mutex` has been there.
    """

    __slots__ = ("_at", "_consistent", "_memory", "_try", "_unlock", "_wait")

    def __init__(self, memory: memoryview) -> None:
        # Held as long as this lock is, so that the memory cannot be unmapped under it.
        self._memory = (ctypes.c_char * MUTEX_BYTES).from_buffer(memory)
        self._at = ctypes.addressof(self._memory)
        assert _FUNCTIONS is not None
        self._try, self._wait, self._unlock, self._consistent = _FUNCTIONS

    def acquire(self) -> None:
        at, attempt = self._at, self._try
        for _ in range(_TRIES):
            code = attempt(at)
            if code != errno.EBUSY:
                break
        else:
            code = self._wait(at)
        if code:
            self._take_over(code)

    def _take_over(self, code: int) -> None:
        if code != errno.EOWNERDEAD:
            raise OSError(code, f"the lock of a work queue cannot be had: {os.strerror(code)}")
        self._consistent(self._at)  # its holder has died; what is half done is mended by who finds the death

    def release(self) -> None:
        self._unlock(self._at)

    __enter__ = acquire

    def __exit__(self, *_: object) -> None:
        self._unlock(self._at)


def make_mutex(memory: memoryview) -> None:
    """Make a mutex of *memory*; does nothing where there are no robust ones."""
    if _FUNCTIONS is None:
        return
    library = ctypes.CDLL(None)
    attributes = ctypes.create_string_buffer(MUTEX_BYTES)
    place = (ctypes.c_char * MUTEX_BYTES).from_buffer(memory)
    library.pthread_mutexattr_init(attributes)
    library.pthread_mutexattr_setpshared(attributes, _PROCESS_SHARED)
    library.pthread_mutexattr_setrobust(attributes, _ROBUST)
    code = library.pthread_mutex_init(place, attributes)
    library.pthread_mutexattr_destroy(attributes)
    if code:
        raise OSError(code, f"a robust mutex cannot be made: {os.strerror(code)}")


def queue_lock(memory: memoryview, file: int | None, offset: int, threads: threading.Lock) -> QueueLock:
    """The lock of a queue.

    Args:
        memory: its mutex.
        file: whose bytes are locks where there are no robust mutexes; None for the queue of a single process.
        offset: which byte of it.
        threads: the lock of a single process's queue.
    """
    if file is None:
        return ThreadLock(threads)
    if _FUNCTIONS is None:
        return RecordLock(file, offset)
    return RobustLock(memory)


class Both:
    """Two queues' locks, always taken in the same order. A context manager, cheap to make."""

    __slots__ = ("_first", "_second")

    def __init__(self, first: QueueLock, second: QueueLock) -> None:
        self._first = first
        self._second = second

    def __enter__(self) -> None:
        self._first.acquire()
        try:
            self._second.acquire()
        except BaseException:
            self._first.release()
            raise

    def __exit__(self, *_: object) -> None:
        self._second.release()
        self._first.release()


_Call = Callable[[int], int]


def _call(library: type[ctypes.CDLL], name: str) -> _Call:
    function = library(None)[name]
    function.argtypes = [ctypes.c_void_p]
    return cast(_Call, function)


def _functions() -> tuple[_Call, _Call, _Call, _Call] | None:
    """What takes a mutex if it is free, waits for it, lets go of it, and puts it right; None if there are none."""
    if sys.platform != "linux":
        return None
    try:
        # Those that cannot wait keep the GIL, which halves what a call costs.
        return (
            _call(ctypes.PyDLL, "pthread_mutex_trylock"),
            _call(ctypes.CDLL, "pthread_mutex_lock"),
            _call(ctypes.PyDLL, "pthread_mutex_unlock"),
            _call(ctypes.PyDLL, "pthread_mutex_consistent"),
        )
    except (AttributeError, OSError):
        return None


_FUNCTIONS = _functions()
