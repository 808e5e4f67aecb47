"""The supervisor's own thread: it waits until a flow says something, ends, or something is due."""

from __future__ import annotations

import contextlib
import multiprocessing.connection
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from pipert2.runtime.supervision.flow_handle import ProcessFlow
from pipert2.runtime.supervision.flow_record import FlowRecord

if TYPE_CHECKING:
    from pipert2.runtime.supervision.supervisor import Supervisor

ACKNOWLEDGEMENT_LOOK = 0.02
"""Seconds between two looks at what a flow that has ended still waits for, while others wait for it."""


@dataclass(slots=True)
class _Tick:
    function: Callable[[], None]
    interval: float
    due: float


class Watch:
    """Watches the processes of a supervisor's flows, and its deadlines. Closes twice without complaint.

    Args:
        supervisor: whose flows.

    Attributes:
        stopped: whether it watches no more, and is not woken any more.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self.stopped = False
        self._closed = False
        self._ticks: list[_Tick] = []
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_writer, False)
        self._thread = threading.Thread(target=self._watch, name="pipert2-supervisor", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def goes_on_elsewhere(self) -> bool:
        """Whether it is at work, in another thread than the one that asks."""
        return self._thread.is_alive() and threading.current_thread() is not self._thread

    def on_tick(self, function: Callable[[], None], interval: float) -> None:
        """Call *function* every *interval* seconds, in the thread that watches."""
        self._ticks.append(_Tick(function, interval, monotonic() + interval))
        self.wake()

    def wake(self) -> None:
        """Let all waits look again. Safe in a signal handler: another thread takes the lock of ``changed``."""
        with self._supervisor.lock:
            if not self.stopped:
                with contextlib.suppress(BlockingIOError):  # it is awake already
                    os.write(self._wake_writer, b"x")

    def stop(self) -> None:
        """End the thread, and wait until it has ended."""
        with self._supervisor.lock:
            self.wake()
            self.stopped = True
        if self.goes_on_elsewhere:
            self._thread.join(5.0)

    def close(self) -> None:
        """Give back what it waited with; it has been stopped."""
        with self._supervisor.lock:
            first, self._closed = not self._closed, True
            if first:
                os.close(self._wake_reader)
                os.close(self._wake_writer)

    def _watch(self) -> None:
        supervisor = self._supervisor
        while True:
            with supervisor.lock:
                if self.stopped:
                    return
                living = [
                    (flow, flow.handle)
                    for flow in supervisor.flows.values()
                    if isinstance(flow.handle, ProcessFlow) and flow.handle.started and not flow.ended
                ]
            connections: dict[Any, FlowRecord] = {
                handle.connection: flow for flow, handle in living if not handle.hung_up
            }
            processes: dict[Any, FlowRecord] = {handle.sentinel: flow for flow, handle in living}
            try:
                waitable = [self._wake_reader, *connections, *processes]
                ready = multiprocessing.connection.wait(waitable, self._patience())
                if self._wake_reader in ready:
                    os.read(self._wake_reader, 4096)
                    supervisor.notify()
                for item in ready:  # what a process said before what became of it
                    if item in connections:
                        supervisor.reception.read(connections[item])
                for item in ready:
                    if item in processes:
                        supervisor.lives.on_exit(processes[item])
                self._keep_time()
            except Exception:
                supervisor.logger.exception("the supervisor of pipe %r failed; it goes on", supervisor.spec.name)

    def _patience(self) -> float | None:
        supervisor, now = self._supervisor, monotonic()
        times = [tick.due for tick in self._ticks]
        deadline = supervisor.bus.next_deadline()
        if deadline is not None:
            times.append(deadline)
        for flow in supervisor.flows.values():
            times += [at for at in (flow.restart_at, flow.terminate_at, flow.kill_at) if at is not None]
        if supervisor.settings.hang_timeout is not None:
            times.append(now + supervisor.settings.hang_timeout / 4)
        awaited = supervisor.gates.awaited
        if any(supervisor.progress.streams_ended(flow) for flow in awaited):  # nobody tells of acknowledgements
            times.append(now + ACKNOWLEDGEMENT_LOOK)
        return max(0.0, min(times) - now) if times else None

    def _keep_time(self) -> None:
        supervisor, now = self._supervisor, monotonic()
        supervisor.bus.expire_overdue(now)
        supervisor.look_at_gates()
        with supervisor.lock:
            supervisor.lives.keep_time(now)
        for tick in self._ticks:
            if now >= tick.due:
                tick.due = now + tick.interval
                tick.function()
