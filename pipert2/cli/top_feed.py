"""The connection of ``pipert2 top``: asks the pipe how it is, tells it what to do, and finds it again."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType

from pipert2.cli.connect import Address
from pipert2.cli.top_model import Action, View, with_status, without_answer
from pipert2.control.client.client import PipeClient
from pipert2.control.client.discovery import running_pipes
from pipert2.errors import ControlError

logger = logging.getLogger(__name__)

PATIENCE = 3.0
"""Seconds after which a pipe that does not answer counts as gone."""

Change = Callable[[View], View]


class Feed:
    """A thread that speaks to the pipe, so that a slow one does not hold up the keys.

    Closes twice without complaint.

    Args:
        address: of the pipe.
        interval: seconds between two questions.
        changed: called in the thread with each change to be made to the view.
    """

    def __init__(self, address: Address, interval: float, changed: Callable[[Change], None]) -> None:
        self._address = address
        self._interval = interval
        self._changed = changed
        self._orders: queue.SimpleQueue[tuple[Action, str | None] | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pipert2-top", daemon=True)

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._orders.put(None)
        self._thread.join(1.0)  # one that waits for a dead pipe goes down with the process

    def order(self, action: Action, routine: str | None) -> None:
        """Have a routine, or the whole pipe, started or stopped."""
        self._orders.put((action, routine))

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                with self._address.client(PATIENCE) as client:
                    self._speak(client)
            except ControlError as error:
                self._gone(str(error))

    def _gone(self, reason: str) -> None:
        self._changed(lambda view: without_answer(view, reason, time.time()))
        self._closed.wait(self._interval)
        try:
            self._look_around()
        except OSError as error:
            logger.debug("the pipes of this machine cannot be listed: %s", error)

    def _speak(self, client: PipeClient) -> None:
        while not self._closed.is_set():
            status = client.status()
            self._changed(lambda view: with_status(view, status, self._address.url))  # noqa: B023 - called at once
            try:
                order = self._orders.get(timeout=self._interval)
            except queue.Empty:
                continue
            if order is not None:
                note = _obey(client, *order)
                self._changed(lambda view: view.noting(note))  # noqa: B023 - called at once

    def _look_around(self) -> None:
        """A pipe that was found on this machine may have come back at another port."""
        if self._address.name is None:
            return
        for found in running_pipes():
            if found.pipe == self._address.name:
                self._address = replace(self._address, url=found.url, name=found.pipe)
                return


def _obey(client: PipeClient, action: Action, routine: str | None) -> str:
    what = routine if routine is not None else "the pipe"
    try:
        (client.start if action is Action.START else client.stop)(routine=routine)
    except ControlError as error:
        if error.code == "unreachable":
            raise
        return f"{action.value} {what}: {error}"
    return f"{what}: told to {action.value}"
