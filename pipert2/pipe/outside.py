"""What a routine's object finds in the process where the pipe was put together."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipert2.graph.routine import Routine
from pipert2.store import Store

if TYPE_CHECKING:
    from pipert2.pipe.pipe import Pipe


class Outside:
    """The context of a routine object in the process where the pipe was put together."""

    def __init__(self, pipe: Pipe, routine: Routine) -> None:
        self._pipe = pipe
        self._routine = routine

    @property
    def logger(self) -> logging.Logger:
        return self._pipe.logger

    def notify_event(
        self, name: str, targets: Mapping[str, Sequence[str]] | None, wait: float | None, params: dict[str, Any]
    ) -> Any:
        return self._pipe.notify_event(name, targets, wait=wait, **params)

    def loan(self, shape: tuple[int, ...], dtype: np.dtype[Any], *, wait: bool = True) -> np.ndarray[Any, Any]:
        return np.empty(shape, dtype)

    def call(self, routine: str, data: Any, timeout: float) -> Any:
        return self._pipe.call(routine, data, timeout=timeout)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {}

    @property
    def config(self) -> Mapping[str, Any]:
        return self._pipe.configuration(self._routine.name)

    @property
    def message(self) -> None:
        return None

    def wait(self, seconds: float) -> bool:
        return threading.Event().wait(seconds)

    def set_rate(self, rate: float) -> None:
        pass

    def show(self, name: str, value: Any) -> None:
        pass

    def parameter_set(self, name: str, value: Any) -> bool:
        return self._pipe._parameter_set(self._routine, name, value)

    @property
    def store(self) -> Store | None:
        return self._pipe.store

    def __reduce__(self) -> tuple[Any, ...]:
        return _nothing, ()  # the pipe stays where it is when its routines travel


def _nothing() -> None:
    return None
