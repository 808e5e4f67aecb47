"""The threads in which calls run, beside the one in which gevent serves."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import gevent
import gevent.event
import gevent.lock
import gevent.queue

from pipert2.control.problems import control_error
from pipert2.errors import ControlError

logger = logging.getLogger(__name__)

MOST_LONG_CALLS = 100
CALLS_AT_ONCE = 8
_Result = TypeVar("_Result")


class CallThreads:
    """Runs calls in threads of their own. Made, used and closed in the server's thread.

    gevent's own pool waits at its end for the calls that are still in progress; these threads are left behind.
    """

    def __init__(self, hub: Any) -> None:
        self._lock = threading.Lock()
        self._done: deque[tuple[Any, tuple[Any, ControlError | None], bool] | None] = deque()
        self._bell: Any = hub.loop.async_()
        self._bell.start(self._hand_over)
        self._turn = gevent.lock.Semaphore(CALLS_AT_ONCE)
        self._long = 0
        self._threads: set[threading.Thread] = set()
        self.stopping = gevent.event.Event()

    def run(self, job: Callable[[], _Result], *, long: bool) -> _Result:
        """What *job* returns or raises; other greenlets go on while it runs."""
        if not long:
            self._turn.acquire()
        elif self._long >= MOST_LONG_CALLS:
            raise ControlError("no_room", f"{self._long} calls that wait are in progress: try again when some are done")
        self._long += long
        result = gevent.event.AsyncResult()
        thread = threading.Thread(target=self._work, args=(job, result, long), name="pipert2-rpc-call", daemon=True)
        with self._lock:
            self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError as problem:
            with self._lock:
                self._threads.discard(thread)
            self._leave(long)
            raise ControlError("no_room", f"the call was not made: {problem}") from None
        value, error = result.get()  # the client may be given up here; the thread keeps its place until it is done
        if error is not None:
            raise error
        return value  # type: ignore[no-any-return]

    def pause(self, seconds: float) -> bool:
        """Let others go on for so long; False: the server is about to end."""
        return not self.stopping.wait(seconds)

    def _work(self, job: Callable[[], Any], result: Any, long: bool) -> None:
        """Runs in the call's thread. Nothing gets out of here: a handler may call ``sys.exit``."""
        value: Any = None
        error: ControlError | None = None
        try:
            value = job()
        except Exception as problem:
            error = control_error(problem)
        except BaseException as problem:
            logger.error("rpc: a call tried to end the program: %r", problem)
            error = ControlError("internal", "something went wrong here; the pipe's log tells what")
        with self._lock:
            self._threads.discard(threading.current_thread())
            self._done.append((result, (value, error), long))
            self._ring()

    def stop(self) -> None:
        """Let the server's thread see that it is to end. May be called from any thread, also after the end."""
        with self._lock:
            self._done.append(None)
            self._ring()

    def _ring(self) -> None:
        if self._bell is not None:
            self._bell.send()

    def _hand_over(self) -> None:
        while self._done:
            done = self._done.popleft()
            if done is None:
                self.stopping.set()
                continue
            result, outcome, long = done
            self._leave(long)
            result.set(outcome)

    def _leave(self, long: bool) -> None:
        if long:
            self._long -= 1
        else:
            self._turn.release()

    def close(self) -> None:
        """Hear no more of the threads. One that is still at work is left alone: nothing can end it."""
        with self._lock:
            if self._bell is not None:
                self._bell.stop()
                self._bell.close()
                self._bell = None
            left = list(self._threads)
        for thread in left:
            thread.join(0.1)
