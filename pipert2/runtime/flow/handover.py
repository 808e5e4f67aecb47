"""Handing a flow over to its process: by value, without importing the user's script there."""

from __future__ import annotations

import copyreg
import io
import multiprocessing
import pickle
import signal
import sys
import threading
from collections import ChainMap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import context as mp_context
from multiprocessing import reduction, spawn, util
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import SemLock
from types import FunctionType
from typing import Any

import cloudpickle

from pipert2.graph.routine import Routine

_LIGHT_BYTES = 64 * 1024
_PRELOAD = "pipert2.runtime.flow.process"


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle that can also send what multiprocessing can: locks, queues, values, connections, sockets."""

    dispatch_table = ChainMap(
        reduction.ForkingPickler._extra_reducers,  # type: ignore[attr-defined]
        getattr(cloudpickle.Pickler, "dispatch_table", copyreg.dispatch_table),
    )

    def reducer_override(self, obj: Any) -> Any:
        # Such a lock has no name by which another process could find it. Before 3.11 Python pickles it all the same.
        if isinstance(obj, SemLock) and obj._semlock.name is None:  # type: ignore[attr-defined]
            raise RuntimeError("it was made in a fork context, which only forks share")
        return super().reducer_override(obj)


def _dumps(value: Any) -> bytes:
    file = io.BytesIO()
    _Pickler(file, pickle.HIGHEST_PROTOCOL).dump(value)
    return file.getvalue()


class Parcel:
    """A value that is pickled by value when a process is started with it, and opened by :meth:`open` in there."""

    def __init__(self, value: Any) -> None:
        self._value = value
        self._packed: bytes | None = None

    def __reduce__(self) -> Any:
        with _interrupts("SIG_UNBLOCK"):  # what users' objects do when they are pickled may take long
            return _parcel, (_dumps(self._value),)

    def open(self) -> Any:
        """The value; raises whatever unpickling it raises."""
        return self._value if self._packed is None else pickle.loads(self._packed)


def _parcel(packed: bytes) -> Parcel:
    parcel = Parcel(None)
    parcel._packed = packed
    return parcel


class _Probe:
    """Stands for a process being started, so that it can be tried whether something can be handed to one."""

    @staticmethod
    def duplicate_for_child(fd: int) -> int:
        return fd

    DupFd = duplicate_for_child


def untransferable(routines: Iterable[Routine]) -> list[str]:
    """For each attribute that cannot go to another process a sentence with routine, attribute and reason."""
    found = []
    for routine in routines:
        bad = []
        for name, value in vars(routine).items():
            reason = _refusal(value)
            if reason is not None:
                bad.append(
                    f"{type(routine).__name__} {routine.name!r}: its attribute {name!r} ({type(value).__name__}) "
                    f"cannot be handed to the flow's process ({reason}): make it in setup(), which runs there"
                    + _multiprocessing_hint(value, reason)
                )
        if not bad:
            reason = _refusal(routine)
            if reason is not None:
                bad.append(
                    f"{type(routine).__name__} {routine.name!r} cannot be handed to the flow's process ({reason}): "
                    "look at the global variables that its code uses" + _multiprocessing_hint(None, reason)
                )
        found += bad
    return found


def _refusal(value: Any) -> str | None:
    before = mp_context.get_spawning_popen()
    mp_context.set_spawning_popen(_Probe())  # type: ignore[arg-type]
    try:
        _dumps(value)
    except Exception as error:
        return f"{type(error).__name__}: {error}".strip().rstrip(":.")
    finally:
        mp_context.set_spawning_popen(before)
    return None


def _multiprocessing_hint(value: Any, reason: str) -> str:
    if not type(value).__module__.startswith("multiprocessing.") and "fork context" not in reason:
        return ""
    return f', or make it with multiprocessing.get_context("{default_start_method()}"), as in .Value("i", 0)'


def classes_of_main() -> dict[str, type]:
    """The classes of the user's script that data may be made of: every flow gets to know them by name.

    Not those of routines, nor what drags a lot along; instances of classes left out travel by value.
    """
    main = sys.modules.get("__main__")
    return {
        name: value
        for name, value in list(vars(main).items() if main is not None else ())
        if isinstance(value, type) and _is_of_main(name, value) and not issubclass(value, Routine) and _is_light(value)
    }


def _is_of_main(name: str, value: Any) -> bool:
    return getattr(value, "__module__", None) == "__main__" and getattr(value, "__qualname__", None) == name


def _is_light(value: Any) -> bool:
    try:
        return len(_dumps(value)) <= _LIGHT_BYTES
    except Exception:
        return False


def install_in_main(classes: dict[str, type], routines: Iterable[Routine]) -> None:
    """Make the script's classes, and the functions that the flow's routines use, known by name in a flow's process.

    Pickle looks for classes there, and the pools of processes that a routine makes look for functions.
    """
    found: dict[str, Any] = dict(classes)
    for routine in routines:
        members = [value for cls in type(routine).__mro__ for value in vars(cls).values()]
        for member in (*members, *vars(routine).values()):
            if getattr(member, "__module__", None) == "__main__":
                used = getattr(member, "__globals__", {})
                found.update((name, value) for name, value in used.items() if isinstance(value, FunctionType))
    main = sys.modules["__main__"]
    for name, value in found.items():
        if _is_of_main(name, value) and not hasattr(main, name):
            setattr(main, name, value)


def default_start_method() -> str:
    """The start method flows use where nothing else is said."""
    return "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def check_start_method(method: str | None) -> None:
    """Raise ValueError if this platform does not know the start method."""
    known = multiprocessing.get_all_start_methods()
    if method is not None and method not in known:
        raise ValueError(f"Pipe(start_method=...): this platform has {', '.join(map(repr, known))}, not {method!r}")


def start_context(method: str | None) -> Any:
    """The multiprocessing context for a start method, None for the default one."""
    method = method or default_start_method()
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload([_PRELOAD])
    return context


def fork_server_folder(context: Any) -> str | None:
    """Where the sockets of this process's fork server are; None: it has none of its own."""
    if context.get_start_method() != "forkserver" or multiprocessing.parent_process() is not None:
        return None
    folder: str = util.get_temp_dir()
    return folder


@contextmanager
def _interrupts(how: str) -> Iterator[None]:
    """Block or unblock SIGINT in this thread, where the platform can."""
    if not hasattr(signal, "pthread_sigmask"):  # pragma: no cover - Windows
        yield
        return
    before = signal.pthread_sigmask(getattr(signal, how), {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_starting = threading.Lock()


@contextmanager
def _without_main() -> Iterator[None]:
    """While a process is started: do not tell it where the user's script is.

    Otherwise it would run the script again to find its functions, and a script without an ``if __name__`` guard would
    build its pipe again in there. What the flow needs of it travels by value.
    """
    original = spawn.get_preparation_data

    def without_main(name: str) -> dict[str, Any]:
        data = original(name)
        data.pop("init_main_from_name", None)
        data.pop("init_main_from_path", None)
        return data

    with _starting:
        spawn.get_preparation_data = without_main
        try:
            yield
        finally:
            spawn.get_preparation_data = original


def start_process(process: BaseProcess) -> None:
    """Start a process that gets everything by value.

    Until it knows what Ctrl-C means to it, the signal waits: neither it nor the fork server is to die of it half-way.
    """
    with _interrupts("SIG_BLOCK"), _without_main():
        process.start()
