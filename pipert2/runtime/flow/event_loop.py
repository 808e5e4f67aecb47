"""The event loop of a flow, in a thread of its own: what is ``async`` in any of the flow's routines runs here."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any

logger = logging.getLogger(__name__)

BLOCKED_AFTER = 1.0
"""Seconds for which a routine may keep the loop from doing anything else before that is said."""
_PROBE_EVERY = 0.05
"""Seconds between two looks whether the loop still answers: a block of so much more than a second is never missed."""
_LOOK_EVERY = 0.25
_JOIN_TIMEOUT = 2.0


class EventLoop:
    """An asyncio loop in a thread, and one that watches it while there is something to do.

    Args:
        flow: names the threads.
        log: who is told of a routine that blocks the loop.
    """

    def __init__(self, flow: str, log: logging.Logger = logger) -> None:
        self._log = log
        self._loop = asyncio.new_event_loop()
        self._busy = threading.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"pipert2-loop-{flow}", daemon=True)
        self._watch = threading.Thread(target=self._watch_over, name=f"pipert2-loop-watch-{flow}", daemon=True)
        self._thread.start()
        self._watch.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def start(self, work: Coroutine[Any, Any, None], name: str, lost: Callable[[], None]) -> None:
        """Run *work*, which deals with its own exceptions; from any thread.

        Args:
            lost: called if it was cancelled before it could even begin, or the loop has ended.
        """
        try:
            self._loop.call_soon_threadsafe(self._start, work, name, lost)
        except RuntimeError:
            work.close()
            lost()

    def _start(self, work: Coroutine[Any, Any, None], name: str, lost: Callable[[], None]) -> None:
        task = self._loop.create_task(work, name=name)
        self._tasks.add(task)
        self._busy.set()

        def ended(task: asyncio.Task[Any]) -> None:
            self._tasks.discard(task)
            if not self._tasks:
                self._busy.clear()
            if task.cancelled():
                lost()

        task.add_done_callback(ended)

    def cancel(self, name: str) -> None:
        """Cancel all that was started under *name*."""

        def cancel() -> None:
            for task in tuple(self._tasks):
                if task.get_name() == name:
                    task.cancel()

        with contextlib.suppress(RuntimeError):  # closed, and all is cancelled
            self._loop.call_soon_threadsafe(cancel)

    def run(self, work: Coroutine[Any, Any, Any], name: str, given_up: Callable[[], bool] = lambda: False) -> Any:
        """Run *work* and wait for what it returns or raises; from any other thread.

        Args:
            given_up: asked now and then; the work is cancelled when it is true, which *work* raises here.
        """
        done = threading.Event()
        box: list[tuple[Any, BaseException | None]] = []

        async def watched() -> None:
            try:
                box.append((await work, None))
            except BaseException as error:
                box.append((None, error))
            finally:
                done.set()

        def lost() -> None:
            work.close()
            box.append((None, asyncio.CancelledError()))
            done.set()

        self.start(watched(), name, lost)
        while not done.wait(_LOOK_EVERY):
            if given_up():
                self.cancel(name)
        value, error = box[0]
        if error is not None:
            raise error
        return value

    def _watch_over(self) -> None:
        while True:
            self._busy.wait()
            if self._closing.wait(_PROBE_EVERY):
                return
            asked, answered = monotonic(), threading.Event()
            with contextlib.suppress(RuntimeError):  # closed just now
                self._loop.call_soon_threadsafe(answered.set)
            if answered.wait(BLOCKED_AFTER) or self._closing.is_set():
                continue
            self._complain()
            while not answered.wait(_LOOK_EVERY) and not self._closing.is_set():
                pass
            self._log.info("the event loop goes on after %.1f s", monotonic() - asked)

    def _complain(self) -> None:
        task = asyncio.current_task(self._loop)
        name = task.get_name() if task is not None else "something"
        frame = sys._current_frames().get(self._thread.ident or 0)
        where = "".join(traceback.format_stack(frame)[-1:]).strip() if frame is not None else "unknown"
        self._log.warning(
            "%s has blocked the event loop of its flow for more than %g s, and with it all async routines there: await "
            "something, make it a plain function, or use asyncio.to_thread; it is at %s",
            name, BLOCKED_AFTER, " ".join(where.split()),
        )  # fmt: skip

    def close(self) -> None:
        """End the loop and what still runs in it."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_JOIN_TIMEOUT)
        self._busy.set()  # now that no task's end can take it back
        self._watch.join(_JOIN_TIMEOUT)
