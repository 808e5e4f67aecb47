"""Threads that carry out requests: as many as are needed, and none that keeps the program from ending."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from time import monotonic
from typing import Any, TypeVar

_T = TypeVar("_T")
_Job = tuple["Future[Any]", Callable[..., Any], tuple[Any, ...], dict[str, Any]]

MOST_IDLE = 8


class Workers(Executor):
    """An executor whose threads are daemons, since a request may wait for something that never happens.

    A worker that takes a job and leaves none idle starts the next one. So all descend from the thread that made this
    object and have its priority, not that of the one that submits; the processes that they start inherit it.

    Args:
        name: of the threads, with a number.
        prepare: called by each of them first.
    """

    def __init__(self, name: str, prepare: Callable[[], None] | None = None) -> None:
        self._name = name
        self._prepare = prepare
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads: dict[int, threading.Thread] = {}
        self._made = 0
        self._idle = 0
        self._closed = False
        self._grow()

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        """Have a function called by a worker.

        Raises:
            RuntimeError: this is closed.
        """
        if self._closed:
            raise RuntimeError(f"{self._name}: closed")
        future: Future[_T] = Future()
        self._jobs.put((future, fn, args, kwargs))
        return future

    def close(self, timeout: float) -> bool:
        """End the workers; False if some still work on something after *timeout* seconds. They end when it is done."""
        with self._lock:
            self._closed = True
            threads = list(self._threads.values())
        self._jobs.put(None)
        deadline = monotonic() + timeout
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As executors end: without a bound if it is to wait."""
        self.close(threading.TIMEOUT_MAX / 2 if wait else 0.0)

    def _grow(self) -> None:
        with self._lock:
            if self._closed:
                return
            number = self._made = self._made + 1
            thread = threading.Thread(target=self._work, args=(number,), name=f"{self._name}-{number}", daemon=True)
            try:
                thread.start()  # before close can find it, which could not wait for it
            except RuntimeError:  # no more threads to be had, or the interpreter ends: those that there are go on
                return
            self._threads[number] = thread
            self._idle += 1

    def _work(self, number: int) -> None:
        if self._prepare is not None:
            self._prepare()
        while (job := self._jobs.get()) is not None:
            with self._lock:
                self._idle -= 1
                last = self._idle == 0
            if last:
                self._grow()
            _carry_out(job)
            del job
            with self._lock:
                if self._idle >= MOST_IDLE and not self._closed:
                    del self._threads[number]
                    return
                self._idle += 1
        self._jobs.put(None)  # for the next worker
        with self._lock:
            self._threads.pop(number, None)


def _carry_out(job: _Job) -> None:
    future, function, arguments, named = job
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = function(*arguments, **named)
    except Exception as error:
        future.set_exception(error)
    except BaseException as error:  # SystemExit is the request's, not this thread's, nor the event loop's that waits
        failure = RuntimeError(f"the request raised {type(error).__name__}")
        failure.__cause__ = error
        future.set_exception(failure)
    else:
        future.set_result(result)
