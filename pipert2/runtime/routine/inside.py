"""What a routine's object finds in the process where it runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from time import monotonic_ns, time
from typing import TYPE_CHECKING, Any

import numpy as np

from pipert2.graph.parameter import plain_value
from pipert2.graph.routine import MessageInfo
from pipert2.graph.spec import RoutineSpec
from pipert2.runtime import commands
from pipert2.runtime.routine.around import Command
from pipert2.runtime.routine.crew import crew_message
from pipert2.runtime.routine.failures import LONGEST_PAUSE
from pipert2.store import Store
from pipert2.store.elsewhere import StoreElsewhere
from pipert2.store.own import RoutineStore
from pipert2.transport import board as b
from pipert2.transport.board import RoutineState
from pipert2.transport.envelope import source_and_sequence

if TYPE_CHECKING:
    from pipert2.runtime.routine.loop import RoutineLoop


class Inside:
    """The context of a routine that runs: what its user's code calls, from the loop's thread or any other.

    Args:
        loop: the routine's.
    """

    def __init__(self, loop: RoutineLoop) -> None:
        self._loop = loop
        self._own_store: RoutineStore | None = None

    @property
    def spec(self) -> RoutineSpec:
        """What the pipe knows of the routine."""
        return self._loop.spec

    @property
    def logger(self) -> logging.Logger:
        return self._loop.logger

    @property
    def _caller(self) -> int | None:
        """The routine's index if its own thread calls; None for another one, which may call while the routine works."""
        return self._loop.spec.index if self._loop.is_own_thread() else None

    def notify_event(
        self, name: str, targets: Mapping[str, Sequence[str]] | None, wait: float | None, params: dict[str, Any]
    ) -> Any:
        with self._loop.not_busy():
            return self._loop.host.notify_event(self._caller, name, targets, wait, params)

    def call(self, routine: str, data: Any, timeout: float) -> Any:
        with self._loop.not_busy():
            return self._loop.host.call(self._caller, routine, data, timeout)

    def loan(self, shape: tuple[int, ...], dtype: np.dtype[Any], *, wait: bool = True) -> np.ndarray[Any, Any]:
        if self._loop.outlet is None or not self._loop.is_own_thread():
            return np.empty(shape, dtype)
        return self._loop.outlet.loan(shape, dtype, wait=wait)

    def wait(self, seconds: float) -> bool:
        return self._loop.wait_in_users_code(seconds)

    @property
    def message(self) -> MessageInfo | None:
        found = crew_message.get(self._loop.about)
        if found is None:
            return None
        origin, born, attempt = found
        source, sequence = source_and_sequence(origin)
        made = time() - (monotonic_ns() - born) / 1e9
        return MessageInfo(self._loop.pipe.routines[source].label, sequence, made, max(1, attempt))

    @property
    def store(self) -> Store | None:
        store = self._loop.host.store
        if store is None or isinstance(store, StoreElsewhere) or self._loop.trigger is None:
            return store
        if self._own_store is None:
            self._own_store = RoutineStore(store, self._loop.spec.label)
        return self._own_store

    def run_ended(self, *, completed: bool) -> None:
        """A run of a routine with a trigger has ended: whether it has seen what the store handed out to it."""
        if self._own_store is not None:
            self._own_store.run_ended(completed=completed)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self._loop.host.parameters

    @property
    def config(self) -> Mapping[str, Any]:
        return self._loop.configuration

    def parameter_set(self, name: str, value: Any) -> bool:
        loop = self._loop
        if loop.words[loop.row + b.STATE] == RoutineState.RUNNING and not loop.is_own_thread():
            # Between two messages, as from anywhere else; but the routine may be waiting for this very thread.
            done = threading.Event()
            loop.post(Command(0, commands.PARAMETERS, {"values": {name: plain_value(value)}, "done": done}))
            done.wait(LONGEST_PAUSE)
            return False
        loop.host.parameter_set(loop.spec.index, name, plain_value(value))
        return True

    def show(self, name: str, value: Any) -> None:
        self._loop.shown.show(name, value)

    def set_rate(self, rate: float) -> None:
        self._loop.set_rate(rate)
