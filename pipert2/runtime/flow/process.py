"""What runs in a flow's process."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from pipert2.runtime.flow.handover import Parcel, install_in_main
from pipert2.runtime.flow.host import FlowHost
from pipert2.runtime.flow.logs import ForwardingHandler, Origin, add_pipe_log_level
from pipert2.runtime.flow.outbox import Outbox
from pipert2.runtime.flow.punctual import wake_on_time
from pipert2.runtime.messages import Died, Exit, Launch, Ready
from pipert2.transport.codec import loads
from pipert2.transport.memory import SharedArena

ORPHAN_GRACE = 1.0
"""Seconds for cleanup when the main process is gone."""


def flow_main(parcel: Parcel, connection: Connection, orphanage: Connection | None = None) -> None:
    """Run a flow until the main process says to end, or is gone.

    Args:
        parcel: a :class:`Launch`.
        connection: to the main process.
        orphanage: the main process's end of the connection, where a forked process has inherited it.
    """
    if orphanage is not None:
        orphanage.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all processes; the main one decides what it means
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    faulthandler.enable()
    wake_on_time()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # What a routine prints is not lost when its process is killed, and lines of several flows stay whole.
            stream.reconfigure(line_buffering=True, write_through=False)
    outbox = Outbox(connection, "pipert2-outbox")
    try:
        launch: Launch = parcel.open()
        install_in_main(launch.main_classes, launch.routines)
        _forward_logs(launch, outbox)
        host = FlowHost(launch, SharedArena(launch.prefix), outbox.put)
    except BaseException as error:
        outbox.put(Died(f"{type(error).__name__}: {error}", traceback.format_exc()))
        outbox.close(5.0)
        return
    outbox.put(Ready())
    told: SimpleQueue[float] = SimpleQueue()
    threading.Thread(target=_listen, args=(host, connection, told), name="pipert2-listener", daemon=True).start()
    done = host.ended(told.get())
    host.close()
    if host.store is not None:
        host.store.close()
    if not done:
        _flush()
        outbox.close(0.5)
        os._exit(1)
    outbox.close(5.0)
    _flush()


def _listen(host: FlowHost, connection: Connection, told: SimpleQueue[float]) -> None:
    """Hand messages to the host, also while it ends; *told* gets the seconds that it may take for that."""
    while True:
        try:
            message: Any = loads(connection.recv_bytes())
        except (EOFError, OSError):
            host.handle(Exit(ORPHAN_GRACE))
            told.put(ORPHAN_GRACE)
            return
        except Exception:
            logging.getLogger(__name__).exception("a message from the main process cannot be read here")
            continue
        try:
            host.handle(message)
        except Exception:
            logging.getLogger(__name__).exception("a message from the main process cannot be dealt with")
        if isinstance(message, Exit):
            told.put(message.grace)


def _forward_logs(launch: Launch, outbox: Outbox) -> None:
    add_pipe_log_level()
    handler = ForwardingHandler(outbox.wake)
    handler.addFilter(Origin(launch.flow))
    outbox.logs = handler
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(launch.logger).setLevel(launch.level)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass
