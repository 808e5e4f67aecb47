"""A flow as the supervisor sees it: something that is started, takes messages and ends."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any, Protocol

import psutil

from pipert2.events.bus import EventCall
from pipert2.runtime.flow.handover import Parcel, start_process
from pipert2.runtime.flow.host import FlowHost
from pipert2.runtime.flow.outbox import Outbox
from pipert2.runtime.flow.process import flow_main
from pipert2.runtime.messages import Exit, Launch, Packed, Ready
from pipert2.transport.memory import Arena


class FlowHandle(Protocol):
    """One life of a flow, from its start to its end."""

    started: float

    def start(self) -> None: ...

    def send(self, message: Any) -> None: ...

    @property
    def pid(self) -> int | None: ...

    @property
    def alive(self) -> bool: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...

    @property
    def exit_cause(self) -> str: ...

    def close(self) -> None: ...


class ProcessFlow:
    """A flow in a process of its own. The supervisor waits on :attr:`connection` and :attr:`sentinel`."""

    def __init__(self, launch: Launch, context: Any) -> None:
        self.connection, child = context.Pipe()
        self._child: Connection | None = child
        orphanage = self.connection if context.get_start_method() == "fork" else None
        self._process = context.Process(
            target=flow_main, args=(Parcel(launch), child, orphanage), name=f"pipert2-{launch.flow}"
        )
        self._outbox: Outbox | None = None
        self._identity: psutil.Process | None = None
        self._orphaned = False
        self._pid: int | None = None
        self.hung_up = False
        self.started = 0.0
        self._name = launch.flow

    def start(self) -> None:
        """Start the process; raises what pickling the launch raises."""
        try:
            start_process(self._process)
        finally:  # also when Ctrl-C came meanwhile: then the process is there, and has to be ended
            assert self._child is not None
            self._child.close()
            self._child = None
            if self._process.pid is not None:
                self.started = time.monotonic()
                self._pid = self._process.pid
                with contextlib.suppress(psutil.Error):
                    self._identity = psutil.Process(self._process.pid)
        self._outbox = Outbox(self.connection, f"pipert2-to-{self._name}")

    def send(self, message: Any) -> None:
        assert self._outbox is not None
        if isinstance(message, EventCall) and not isinstance(message.params, Packed):
            message = replace(message, params=Packed.parameters(message.name, message.params))
        self._outbox.put(message)

    @property
    def sentinel(self) -> int:
        return int(self._process.sentinel)

    @property
    def pid(self) -> int | None:
        return self._pid

    @property
    def alive(self) -> bool:
        """Asks the fork server. Only for the supervisor's thread: two who ask at once spoil each other's answer."""
        return bool(self.started) and self._process.is_alive()

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def make_sure_it_is_gone(self) -> None:
        """The end of a process is told by the fork server; when that is killed, the process is still there."""
        process = self._identity
        with contextlib.suppress(psutil.Error):
            if process is not None and process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                self._orphaned = True
                process.kill()
                process.wait(5.0)

    @property
    def exit_cause(self) -> str:
        code = self._process.exitcode
        if self._orphaned:
            return "killed after the fork server had died"
        if code is None:
            return "still running"
        if code < 0:
            try:
                return f"killed by signal {signal.Signals(-code).name}"
            except ValueError:
                return f"killed by signal {-code}"
        return f"exit code {code}"

    def hang_up(self) -> None:
        """The other side is gone: whoever still writes is told so at once.

        The descriptor stays open until nobody can be writing to it: its number would be given to something else.
        """
        self.hung_up = True
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self.connection.fileno())) as twin:
            twin.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the process, which has ended."""
        self._pid = None
        if self.started:
            self._process.join()
        self.hang_up()
        if self._outbox is None or self._outbox.close(5.0):
            self.connection.close()
        self._process.close()


class InlineFlow:
    """A flow whose routines are threads of this process."""

    def __init__(self, launch: Launch, arena: Arena, receive: Callable[[Any], None]) -> None:
        self._launch = launch
        self._arena = arena
        self._receive = receive
        self._host: FlowHost | None = None
        self.started = 0.0

    def start(self) -> None:
        self._host = FlowHost(self._launch, self._arena, self._receive)
        self.started = time.monotonic()
        self._receive(Ready())

    def send(self, message: Any) -> None:
        if self._host is not None:
            self._host.handle(message)

    @property
    def pid(self) -> int | None:
        return None

    @property
    def alive(self) -> bool:
        return self._host is not None and not self._host.ended(0.0)

    def terminate(self) -> None:
        """A thread cannot be ended from outside."""

    kill = terminate

    @property
    def exit_cause(self) -> str:
        return "ended"

    def close(self) -> None:
        if self._host is not None:
            self._host.handle(Exit(0.0))
            self._host.close()
        self._host = None
