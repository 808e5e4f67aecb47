"""Routine: the smallest part of a pipe, and what users subclass."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pipert2.graph.job import Job
from pipert2.graph.made_with import MadeWith
from pipert2.store import Store


class EndOfStream(Exception):
    """Raise it in a source's ``main_logic`` to say that there is no more data.

    What was sent before is still delivered; then the routines behind the source end as well.
    """


class RoutineKind(Enum):
    """The place of a routine in a pipe. ``ANY`` is settled by the wires: a routine without inputs is a source."""

    SOURCE = "source"
    MIDDLE = "middle"
    DESTINATION = "destination"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class MessageInfo:
    """What is known about a message besides its data.

    Attributes:
        source: the name of the routine where it began.
        sequence: the how manieth of that source's it is, from 1; what was made of it keeps both.
        made: when the source made it (seconds since the epoch).
        attempt: the how manieth attempt at it this is, from 1.
    """

    source: str
    sequence: int
    made: float
    attempt: int


class RoutineContext(Protocol):
    """What a running pipe lends its routines; set by whoever runs them."""

    @property
    def logger(self) -> logging.Logger: ...

    def notify_event(
        self, name: str, targets: Mapping[str, Sequence[str]] | None, wait: float | None, params: dict[str, Any]
    ) -> Any: ...

    def loan(self, shape: tuple[int, ...], dtype: np.dtype[Any], *, wait: bool) -> npt.NDArray[Any]: ...

    def wait(self, seconds: float) -> bool: ...

    def set_rate(self, rate: float) -> None: ...

    def show(self, name: str, value: Any) -> None: ...

    def parameter_set(self, name: str, value: Any) -> bool: ...

    def call(self, routine: str, data: Any, timeout: float) -> Any: ...

    @property
    def parameters(self) -> Mapping[str, Any]: ...

    @property
    def message(self) -> MessageInfo | None: ...

    @property
    def config(self) -> Mapping[str, Any]: ...

    @property
    def store(self) -> Store | None: ...


_counters: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)
_counters_lock = threading.Lock()


def _automatic_name(routine_class: type) -> str:
    with _counters_lock:
        return f"{routine_class.__name__}-{next(_counters[routine_class.__name__])}"


class _Lent:
    """An attribute that a running pipe lends; a subclass, or an object of one, may have it for itself."""

    def __init__(self, default: Any) -> None:
        self._default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, routine: Routine | None, owner: type | None = None) -> Any:
        context = routine._context if routine is not None else None
        return self._default if context is None else getattr(context, self._name)


class Routine(ABC):
    """A part of a pipe: :meth:`setup`, then :meth:`main_logic` again and again, then :meth:`cleanup`.

    Subclass :class:`SourceRoutine`, :class:`MiddleRoutine` or :class:`DestinationRoutine` where the place in the pipe
    is known; a subclass of ``Routine`` itself takes the place that its wires give it.

    Args:
        name: unique within the pipe; made from the class's name when it is left out.

    Attributes:
        name: the routine's name.
        parameters: those of the pipe as a whole, by name: ``Pipe(requires=...)``, :meth:`pipert2.Pipe.set_parameters`.
        message: a :class:`MessageInfo` about the message that ``main_logic`` works on, or did last; None in sources.
        flow_name: the flow that the routine belongs to, ``None`` until it is in one.
        retries: how often a message on a lossless way is tried again when ``main_logic`` raises, before it becomes a
            dead letter.
        concurrency: how many messages it works on at once: in so many threads, or, if ``main_logic`` is ``async``, in
            so many coroutines on the one event loop of its flow.
        max_in_flight: of a source: how many of its messages may be unacknowledged; needs lossless wires. With 1, a
            generator gets back from ``yield`` what the destination returned for that message.
        service: it is there to be called, see :meth:`call` and :meth:`pipert2.Pipe.call`, and needs no wires.
        trigger: of a source: when its ``main_logic`` is called, such as ``Every("10 s")`` or ``"hourly"``; None: again
            and again.
        timeout: of a source with a trigger: seconds that a run of its ``main_logic`` may take; one that takes longer is
            named in a warning and counted, and cancelled if it is ``async``. None: as long as it likes.
        config_defaults: the settings it knows, with their defaults; None: it does not say, and any setting will do.
            Those of base classes count too.
        config: its settings by name, from these defaults, the pipe's configuration files, the environment and
            ``configure`` events.
    """

    kind = RoutineKind.ANY

    retries = 0
    concurrency = 1
    max_in_flight: int | None = None
    _returned_to = False  # a source that hands on to others what is returned for its messages
    trigger: Any = None
    timeout: float | None = None
    service = False
    config_defaults: Mapping[str, Any] | None = None
    config: Any = _Lent({})
    parameters: Any = _Lent({})
    message: Any = _Lent(None)

    name: str
    flow_name: str | None
    _named: bool
    _rate: float
    _context: RoutineContext | None
    _made_with: MadeWith | None

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        # Here and not in __init__, so that a subclass that forgets super().__init__() works all the same.
        self = super().__new__(cls)
        self.name = ""
        self.flow_name = None
        self._named = False
        self._rate = 0.0
        self._context = None
        self._made_with = MadeWith(args, kwargs)
        return self

    def __init__(self, name: str | None = None) -> None:
        self._named = name is not None
        self.name = name if name is not None else _automatic_name(type(self))

    def _ensure_name(self, taken: Sequence[str]) -> None:
        """Give the routine a name that is not *taken*, if its user gave it none."""
        if self.name == "" and not self._named:
            self.name = _automatic_name(type(self))
        while not self._named and self.name in taken:
            self.name = _automatic_name(type(self))

    def setup(self) -> Any:  # noqa: B027 - there to be overridden, or not
        """Called before the first message, in the flow's process: open files, cameras, models here.

        It may be ``async``, as :meth:`cleanup` and event handlers may; it runs on the flow's event loop then.
        """

    def setup_thread(self) -> None:  # noqa: B027
        """Called after :meth:`setup` in each thread that runs ``main_logic``, where ``concurrency`` is above 1."""

    def main_logic(self, *data: Any) -> Any:
        """Do the work on one message; what is returned goes to the routines behind, ``None`` sends nothing."""
        raise NotImplementedError(f"{type(self).__name__} has no main_logic")

    def given_up(self, data: Any, error: str, traceback: str) -> Any:
        """Called when a message on a lossless way was given up after its retries, and is kept as a dead letter.

        Args:
            data: what ``main_logic`` got.
            error, traceback: why the last attempt failed.

        Returns:
            What the routines behind get in place of a result; ``None`` sends nothing. A :class:`Job` goes on, marked as
            failed, if this is not overridden.
        """
        if isinstance(data, Job):
            data.fail(error, traceback)
            return data
        return None

    def idempotency_key(self, data: Any) -> str | None:
        """What names a message, so that one that was done already, in an earlier run perhaps, is not done again.

        Override it in a routine of a pipe with a store; ``None`` has the message done in any case. A message whose key
        is known there is counted as a duplicate, and passed on to nobody.
        """
        return None

    def report(self, job: Job, section: str | None = None, /, **findings: Any) -> None:
        """Add findings to a job's report, in a section of the routine's name or of another one."""
        job.add(findings, section if section is not None else self.name)

    def cleanup(self) -> Any:  # noqa: B027
        """Called after the last message: close what :meth:`setup` opened."""

    @property
    def logger(self) -> logging.Logger:
        """The routine's logger. In a running pipe its records reach the pipe's own logger in the main process."""
        if self._context is not None:
            return self._context.logger
        return logging.getLogger(f"pipert2.{self.name}")

    @property
    def store(self) -> Store:
        """The pipe's store, the same for all its routines: ``Pipe(store="run.db")``.

        Raises:
            RuntimeError: the routine is in no pipe, or the pipe has no store.
        """
        store = self._context.store if self._context is not None else None
        if store is None:
            raise RuntimeError(f'routine {self.name!r} has no store: give its pipe one with Pipe(store="run.db")')
        return store

    def notify_event(
        self,
        event_name: str,
        specific_flow_routines: Mapping[str, Sequence[str]] | None = None,
        *,
        wait: float | None = None,
        **params: Any,
    ) -> Any:
        """Send an event through the routine's pipe; see :meth:`pipert2.Pipe.notify_event`.

        Raises:
            RuntimeError: the routine is in no pipe.
        """
        if self._context is None:
            raise RuntimeError(f"routine {self.name!r} is in no pipe yet: put it into one with Pipe.create_flow(...)")
        return self._context.notify_event(event_name, specific_flow_routines, wait, params)

    def call(self, routine: Routine | str, data: Any, *, timeout: float = 30.0) -> Any:
        """Let another routine of the pipe work on *data* and get what its ``main_logic`` returns; ``await`` it in async
        code. One of its replicas does it, one that has time.

        Args:
            routine: whom to call, or its name.
            data: what its ``main_logic`` gets; any picklable object.
            timeout: seconds to wait for the result.

        Raises:
            CallError: it raised an exception, or died.
            EventTimeoutError: there was no result in time.
            UnknownRoutineError: there is no such routine.
            RuntimeError: this routine is in no pipe.
        """
        if self._context is None:
            raise RuntimeError(f"routine {self.name!r} is in no pipe yet: put it into one with Pipe.create_flow(...)")
        return self._context.call(routine.name if isinstance(routine, Routine) else routine, data, timeout)

    def loan(
        self, shape: int | Sequence[int], dtype: npt.DTypeLike = np.uint8, *, wait: bool = True
    ) -> npt.NDArray[Any]:
        """An uninitialised array that lies where readers will find it, so that sending it copies nothing.

        Fill it, put it (as it is, or a contiguous part of it) into what ``main_logic`` returns, and do not write to it
        afterwards. One loaned array per message is sent in place; further ones are copied.

        Args:
            shape: the array's shape.
            dtype: its element type; not ``object``.
            wait: until there is room where readers hold all there is; else the array lies in memory of this process
                then, and sending it copies it.

        Raises:
            SharedMemoryFullError: there is no room for it, though it was waited for.
        """
        dims = (shape,) if isinstance(shape, int) else tuple(int(n) for n in shape)
        kind = np.dtype(dtype)
        if kind.hasobject:
            raise TypeError("loan: Python objects cannot lie in shared memory; choose another dtype")
        if self._context is None:
            return np.empty(dims, kind)
        return self._context.loan(dims, kind, wait=wait)

    def show(self, name: str, value: Any) -> None:
        """Show a result to whoever looks, in the cockpit or with :meth:`pipert2.Pipe.results`, while the pipe runs.

        Only the newest value of a name is kept, and of a number its last minute. It costs a few microseconds, or a
        tenth of a millisecond for a large array that is a part of another one or lies in shared memory. Curves and
        pictures are made when somebody looks, so an array that is changed in place is shown as it is then.

        Args:
            name: what it is called there, up to 200 characters; slashes make groups. Up to 200 names are shown.
            value: a number (a curve over time), a text, a 1-D array (a curve) or a 2-D array (an image) of numbers, or
                lists of these shapes with up to 10,000 entries.

        Raises:
            TypeError: it is something else. ValueError: the name is empty or too long.
        """
        if self._context is not None:
            self._context.show(name, value)

    def wait(self, seconds: float) -> bool:
        """Sleep for *seconds*, but no longer than until the routine should stop or has an event to handle.

        Returns:
            True when the routine is to stop.
        """
        if self._context is not None:
            return self._context.wait(seconds)
        time.sleep(seconds)
        return False

    def set_const_fps(self, fps: float) -> None:
        """Hold the routine to *fps* messages per second, exactly and without drift; 0 lifts the limit.

        Raises:
            ValueError: *fps* is negative or not a number.
        """
        if not fps >= 0 or fps == float("inf"):
            raise ValueError(f"set_const_fps takes a rate in messages per second, 0 or more, not {fps!r}")
        self._rate = float(fps)
        if self._context is not None:
            self._context.set_rate(self._rate)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


def has_keys(routine: Routine) -> bool:
    """Whether a routine has an ``idempotency_key`` of its own."""
    own = routine.idempotency_key
    return getattr(own, "__func__", own) is not Routine.idempotency_key


class FPSRoutine(Routine):
    """The name that PipeRT 2.4 gives a routine with :meth:`~Routine.set_const_fps`; every routine has it here."""


class SourceRoutine(FPSRoutine):
    """Makes data. ``main_logic(self)`` is called as often as it can be, or at :meth:`~Routine.set_const_fps`.

    It ends its stream by raising :class:`EndOfStream`; if it is a generator function, by ending.
    """

    kind = RoutineKind.SOURCE

    @abstractmethod
    def main_logic(self) -> Any:
        """Return the next piece of data, or ``None`` if there is none just now."""


class MiddleRoutine(FPSRoutine):
    """Takes data in and sends data on: ``main_logic(self, data)`` returns what the next routines get."""

    kind = RoutineKind.MIDDLE

    @abstractmethod
    def main_logic(self, data: Any) -> Any:
        """Return what comes of *data*, or ``None`` to send nothing."""


class DestinationRoutine(FPSRoutine):
    """Takes data in and keeps, shows or sends it elsewhere: the end of a pipe."""

    kind = RoutineKind.DESTINATION

    @abstractmethod
    def main_logic(self, data: Any) -> Any:
        """Do what is to be done with *data*; what it returns is not sent anywhere."""
