"""What users write, as the routines around it call it: classes with ``process_event`` or ``process_result``, or plain
functions; arguments are bound by name.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipert2.errors import PipertError, nearest
from pipert2.patterns.map_reduce.bind import Bound
from pipert2.patterns.map_reduce.parameters import ParameterSet
from pipert2.patterns.streams.stream_data import EventData

_MADE = ("parameters", "context", "state")
_CALLED = ("parameters", "tick", "context", "state")


@dataclass(frozen=True, slots=True)
class WorkerState:
    """Who an analysis is, for those that ask for ``state``."""

    name: str
    scan_id: str = ""


@dataclass(frozen=True, slots=True)
class ResultData:
    """What a reducer gets: what a worker made of an event.

    Attributes:
        event_number: the event's; of several workers that got it, each has a result.
        worker: who made it.
        parameters_hash: tells the parameters that were in force.
        payload: what the worker returned.
    """

    event_number: int
    worker: str
    parameters_hash: str
    payload: Any


def check_user_code(target: Any, method: str) -> None:
    """Make sure that it is a class with this method, or a function.

    Raises:
        PipertError: it is neither.
    """
    if inspect.isclass(target):
        if not callable(getattr(target, method, None)):
            near = nearest(method, [name for name in vars(target) if not name.startswith("__")])
            hint = f", did you mean {near!r}?" if near else ""
            raise PipertError(f"class {target.__name__} has no method {method!r}{hint}")
    elif not callable(target):
        raise PipertError(f"{target!r:.80} is neither a class with a method {method!r} nor a function")


def show_logs_of(target: Any, level: int) -> None:
    """Let the log records of the user's package through from this level on, as the pipe's own: it knows of no pipe."""
    package = str(getattr(target, "__module__", "")).partition(".")[0]
    if package and package not in ("__main__", "builtins", "pipert2"):
        own = logging.getLogger(package)
        if own.level == logging.NOTSET:
            own.setLevel(level)


class UserCode:
    """One object of the user's, made for one scan.

    Args:
        target: its class, or a function.
        method: the method that is called for each event or result.
        parameters: those at the start of the scan.
        context: a dict that lives as long as the process, so from scan to scan.
        state: who it is.
    """

    def __init__(
        self, target: Any, method: str, parameters: ParameterSet, context: dict[str, Any], state: WorkerState
    ) -> None:
        self._around: dict[str, Any] = {"parameters": parameters, "context": context, "state": state, "tick": False}
        self.instance: Any = None
        if inspect.isclass(target):
            self.instance = Bound(target, 0, _MADE)([], self._around)
            function: Callable[..., Any] = getattr(self.instance, method)
        else:
            function = target
        self._process = Bound(function, 1, _CALLED[:2], list(parameters))

    def process(self, subject: EventData | ResultData, parameters: ParameterSet, tick: bool = False) -> Any:
        """Give it an event or a result."""
        around = self._around
        around["parameters"], around["tick"] = parameters, tick
        return self._process((subject,), around, parameters)

    def call(self, method: str) -> Any:
        """Call an optional method, such as ``finish``; None if there is none."""
        function = getattr(self.instance, method, None)
        return Bound(function, 0, _MADE)([], self._around) if callable(function) else None

    def has(self, method: str) -> bool:
        """Whether it has this optional method."""
        return callable(getattr(self.instance, method, None))
