"""What ends a pipe from outside: signals, and the end of the interpreter."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from pipert2.runtime.supervision.supervisor import Supervisor

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_living: dict[int, Supervisor] = {}


@contextmanager
def signals_noted(changed: Callable[[], None]) -> Iterator[list[int]]:
    """While the main thread waits in here, SIGINT and SIGTERM are noted in the list instead of ending the program.

    Args:
        changed: called after each; must be safe in a signal handler.
    """
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return

    def note(number: int, _frame: FrameType | None) -> None:
        noted.append(number)
        changed()

    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        with _heard_in_any_thread(changed):
            yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


@contextmanager
def _heard_in_any_thread(wake: Callable[[], None]) -> Iterator[None]:
    """Wake the main thread for these signals: handlers run there, but the system may give a signal to any thread.

    It does when the process was stopped as the signal came, by Ctrl-Z for one, and the main thread would sleep on.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    ending = threading.Event()
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def pass_on() -> None:
        while True:
            numbers = os.read(reader, 4096)
            if ending.is_set():
                return
            if before >= 0:  # somebody else's, asyncio's for one
                with contextlib.suppress(OSError):
                    os.write(before, numbers)
            if any(number in _SIGNALS for number in numbers):
                wake()

    thread = threading.Thread(target=pass_on, name="pipert2-signals", daemon=True)
    try:
        with contextlib.suppress(RuntimeError):  # the interpreter ends: no thread can be started any more
            thread.start()
        yield
    finally:
        signal.set_wakeup_fd(before)
        ending.set()
        with contextlib.suppress(BlockingIOError):  # it is awake already
            os.write(writer, b"\0")
        if thread.ident is not None:
            thread.join(5.0)
        os.close(reader)
        os.close(writer)


def end_at_exit(supervisor: Supervisor) -> None:
    """Make sure that a pipe ends when the program does, also by SIGTERM outside of ``join`` and ``run``."""
    atexit.unregister(_end_all)
    atexit.register(_end_all, os.getpid())  # last, and so before multiprocessing waits for the processes
    _living[id(supervisor)] = supervisor
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _exit_on_signal)


def ended(supervisor: Supervisor) -> None:
    """The pipe has ended; nothing is left to do for it."""
    _living.pop(id(supervisor), None)
    in_main = threading.current_thread() is threading.main_thread()
    if not _living and in_main and signal.getsignal(signal.SIGTERM) is _exit_on_signal:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit_on_signal(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def end(supervisor: Supervisor, signals: list[int], by_force_after: int) -> None:
    """Kill all flows and wait until they have ended; by force when so many signals have come."""
    supervisor.kill()
    supervisor.wait(lambda: supervisor.ended or len(signals) >= by_force_after, None)
    if not supervisor.ended:
        supervisor.force()


def _end_all(pid: int) -> None:
    if os.getpid() != pid:  # a child that was forked
        return
    for supervisor in list(_living.values()):
        with signals_noted(supervisor.nudge) as signals:
            end(supervisor, signals, by_force_after=1)
            supervisor.close()
    _living.clear()
