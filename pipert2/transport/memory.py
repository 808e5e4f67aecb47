"""Blocks of memory and bells, shared between processes or private to one.

The runtime asks an *arena* for both by a short key. With :class:`SharedArena` they are POSIX shared memory and named
semaphores, with :class:`PrivateArena` plain memory and thread semaphores, so that a pipe that runs inline moves its
data by the very same code.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import platform
import sys
import threading
from typing import Any, Protocol

from pipert2.errors import SharedMemoryFullError

try:
    import posix_ipc as posix_ipc
except ImportError:  # pragma: no cover - Windows: pipes run inline there
    posix_ipc = None

WEAKLY_ORDERED = platform.machine().lower() not in ("x86_64", "amd64", "i386", "i686")
"""Whether this processor may reorder two stores, or two loads, so that they need a fence in between."""

# mmap keeps a copy of the descriptor for its resize(), which nobody calls here; from Python 3.13 on it need not.
_NO_DESCRIPTOR: dict[str, Any] = {"trackfd": False} if sys.version_info >= (3, 13) else {}
_MAP_FLAGS = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0) if hasattr(mmap, "MAP_SHARED") else 0


class Fence:
    """A full memory barrier; one object for each thread that needs one.

    Releasing a lock and taking it again are a release and an acquire operation on one word; together they order what
    stands before against what stands after, also on ARMv8. On x86 each is a locked instruction.
    """

    __slots__ = ("_acquire", "_release")

    def __init__(self) -> None:
        lock = threading.Lock()
        lock.acquire()
        self._acquire = lock.acquire
        self._release = lock.release

    def __call__(self) -> None:
        self._release()
        self._acquire()


class Block:
    """A piece of memory as bytes and as 64-bit words; *lock* is for threads of this process that share the object."""

    __slots__ = ("_map", "key", "lock", "size", "view", "words")

    def __init__(self, key: str, buffer: Any, size: int) -> None:
        self.key = key
        self.lock = threading.Lock()
        self.size = size
        self._map = buffer
        self.view = memoryview(buffer)
        self.words = self.view.cast("Q")

    def close(self) -> None:
        """Let go of the mapping. Memory that arrays still look at stays mapped until they are gone."""
        self.words.release()
        with contextlib.suppress(BufferError):
            self.view.release()
        if isinstance(self._map, mmap.mmap):
            with contextlib.suppress(BufferError):
                self._map.close()


class Bell(Protocol):
    """Wakes one sleeping routine. It may ring more often than needed, never less: look again after waking."""

    def ring(self) -> None: ...

    def wait(self, timeout: float | None) -> bool: ...


class Arena(Protocol):
    """Where blocks and bells come from."""

    def create(self, key: str, size: int) -> Block: ...

    def open(self, key: str) -> Block: ...

    def discard(self, key: str) -> None: ...

    def bell(self, key: str, *, create: bool = False) -> Bell: ...

    def free_bytes(self) -> int: ...

    def lock_file(self) -> int | None: ...


class ThreadBell:
    """A bell between the threads of one process."""

    __slots__ = ("_semaphore",)

    def __init__(self) -> None:
        self._semaphore = threading.Semaphore(0)

    def ring(self) -> None:
        self._semaphore.release()

    def wait(self, timeout: float | None) -> bool:
        return self._semaphore.acquire(timeout=timeout)


class SharedBell:
    """A bell between processes: a named POSIX semaphore. Waiting releases the GIL."""

    __slots__ = ("_semaphore", "ring")

    def __init__(self, name: str, *, create: bool) -> None:
        self._semaphore = posix_ipc.Semaphore(name, posix_ipc.O_CREX if create else 0, mode=0o600)
        self.ring = self._semaphore.release

    def wait(self, timeout: float | None) -> bool:
        try:
            if timeout is None or posix_ipc.SEMAPHORE_TIMEOUT_SUPPORTED:
                self._semaphore.acquire(timeout)
                return True
            # macOS cannot wait with a time limit: let a timer ring. It may ring late; one who wakes looks again.
            timer = threading.Timer(timeout, self.ring)
            timer.daemon = True
            timer.start()
            try:
                self._semaphore.acquire()
            finally:
                timer.cancel()
            return True
        except (posix_ipc.BusyError, posix_ipc.SignalError):
            return False


class PrivateArena:
    """Blocks and bells of one process."""

    def __init__(self) -> None:
        self._blocks: dict[str, Block] = {}
        self._bells: dict[str, ThreadBell] = {}

    def create(self, key: str, size: int) -> Block:
        try:
            block = self._blocks[key] = Block(key, bytearray(size), size)
        except MemoryError as error:
            raise SharedMemoryFullError(size, 0, "this process's memory") from error
        return block

    def open(self, key: str) -> Block:
        return self._blocks[key]

    def discard(self, key: str) -> None:
        self._blocks.pop(key, None)

    def bell(self, key: str, *, create: bool = False) -> Bell:
        if create:
            self._bells[key] = ThreadBell()
        return self._bells[key]

    def free_bytes(self) -> int:
        return 1 << 62

    def lock_file(self) -> int | None:
        """Between the threads of one process no file is needed."""
        return None

    def close(self) -> None:
        self._blocks.clear()
        self._bells.clear()


class SharedArena:
    """Blocks and bells that all processes of a run find under ``/PREFIX.KEY``.

    Whoever creates them unlinks them; processes that only open them leave nothing behind.
    """

    def __init__(self, prefix: str) -> None:
        if posix_ipc is None:
            raise RuntimeError("flows in processes of their own need POSIX shared memory: use Pipe(inline=True) here")
        self.prefix = prefix
        self._created: list[Block] = []
        self._created_bells: list[str] = []
        self._locks: int | None = None

    def name(self, key: str) -> str:
        """The system-wide name of what this run calls *key*."""
        return f"/{self.prefix}.{key}"

    def create(self, key: str, size: int) -> Block:
        """Make a block of zeros, with its memory set aside at once.

        Raises:
            SharedMemoryFullError: there is less than *size* left; nothing was made.
        """
        memory = posix_ipc.SharedMemory(self.name(key), posix_ipc.O_CREX, mode=0o600)
        try:
            if hasattr(os, "posix_fallocate"):
                # Without it a full /dev/shm shows only at the first touch, as a SIGBUS that kills the process.
                os.posix_fallocate(memory.fd, 0, size)
            else:  # pragma: no cover - macOS
                os.ftruncate(memory.fd, size)
            mapped = mmap.mmap(memory.fd, size, mmap.MAP_SHARED, **_NO_DESCRIPTOR)
        except OSError as error:
            memory.unlink()
            raise SharedMemoryFullError(size, self.free_bytes()) from error
        finally:
            memory.close_fd()
        block = Block(key, mapped, size)
        self._created.append(block)
        return block

    def open(self, key: str) -> Block:
        memory = posix_ipc.SharedMemory(self.name(key))
        try:
            size = os.fstat(memory.fd).st_size
            return Block(key, mmap.mmap(memory.fd, size, _MAP_FLAGS, **_NO_DESCRIPTOR), size)
        finally:
            memory.close_fd()

    def bell(self, key: str, *, create: bool = False) -> Bell:
        try:
            bell = SharedBell(self.name(key), create=create)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise SharedMemoryFullError(mmap.PAGESIZE, self.free_bytes()) from error
        if create:
            self._created_bells.append(key)
        return bell

    def lock_file(self) -> int | None:
        """The descriptor of the file whose bytes are the locks of this run.

        It is opened once and kept: a process that closes any descriptor of a file loses its locks on it.
        """
        if self._locks is None:
            flags = posix_ipc.O_CREAT
            self._locks = posix_ipc.SharedMemory(self.name("locks"), flags, mode=0o600, size=0).fd
        return self._locks

    def free_bytes(self) -> int:
        """Bytes of shared memory that can still be had."""
        try:
            stat = os.statvfs("/dev/shm")
        except OSError:  # pragma: no cover - macOS has no such file system
            return 1 << 62
        return stat.f_bavail * stat.f_frsize

    def discard(self, key: str) -> None:
        """Unlink one block that this arena created."""
        for block in [block for block in self._created if block.key == key]:
            self._created.remove(block)
            block.close()
            unlink_memory(self.name(key))

    def close(self) -> None:
        """Unlink everything this arena created."""
        for block in self._created:
            block.close()
            unlink_memory(self.name(block.key))
        if self._locks is not None:
            os.close(self._locks)
            self._locks = None
            unlink_memory(self.name("locks"))
        for key in self._created_bells:
            unlink_semaphore(self.name(key))
        self._created.clear()
        self._created_bells.clear()


def unlink_memory(name: str) -> bool:
    """Remove shared memory by its system-wide name; False if there is none."""
    try:
        posix_ipc.unlink_shared_memory(name)
    except posix_ipc.ExistentialError:
        return False
    return True


def unlink_semaphore(name: str) -> bool:
    """Remove a semaphore by its system-wide name; False if there is none."""
    try:
        posix_ipc.unlink_semaphore(name)
    except posix_ipc.ExistentialError:
        return False
    return True
