"""The pipe that ``pipert2 run TARGET`` means: in a module, a script or a YAML file."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from pipert2.cli.exit_codes import CommandError
from pipert2.errors import PipertError, nearest
from pipert2.graph.routine import Routine
from pipert2.pipe import Pipe

SCRIPT_NAME = "__pipert2_main__"
"""What a script's ``__name__`` is while it is loaded: not ``"__main__"``, so that it does not run its pipe itself."""

_YAML = (".yaml", ".yml")
_FORMS = "MODULE:PIPE, FILE.py, FILE.py:PIPE or FILE.yaml"


class _PipeReached(BaseException):
    """A script is about to start a pipe."""

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe


def load_target(target: str) -> Pipe:
    """The pipe that is meant, put together and not started.

    Args:
        target: ``module:pipe``, ``file.py``, ``file.py:pipe`` or ``file.yaml``; what is behind the colon may also be a
            function that returns a pipe.

    Raises:
        CommandError: there is no such pipe, or loading it failed.
    """
    place, colon, name = target.rpartition(":")
    if not colon:
        place, name = target, ""
    elif not place or not name:
        raise CommandError(f"{target!r} is not MODULE:PIPE or FILE.py:PIPE: one side of the colon is empty")
    if place.endswith(_YAML):
        if name:
            raise CommandError(f"{place} describes one pipe: leave {':' + name!r} out")
        return _from_document(place)
    if place.endswith(".py") or os.sep in place:
        return _from_script(place, name)
    return _from_module(place, name)


def _from_document(place: str) -> Pipe:
    _must_be_file(place)
    from pipert2.document import DocumentError, load_pipe

    sys.path.insert(0, str(Path.cwd()))  # for the classes it names, as `python -m` does it
    try:
        return load_pipe(place)
    except DocumentError as error:
        raise CommandError(str(error)) from error


def _from_module(place: str, name: str) -> Pipe:
    if not all(part.isidentifier() for part in place.split(".")):
        hint = f"do you mean {place}.py?" if Path(f"{place}.py").is_file() else f"write {_FORMS}"
        raise CommandError(f"{place!r} is not a target: {hint}")
    sys.path.insert(0, str(Path.cwd()))
    try:
        with _user_code(place), _no_pipe_starts():
            module = importlib.import_module(place)
    except _PipeReached:
        raise CommandError(
            f"module {place} starts its pipe when it is imported, which each flow's process does as well: put that "
            'under `if __name__ == "__main__":`'
        ) from None
    except ModuleNotFoundError as error:
        raise CommandError(_no_module(place, error.name)) from None
    return _pick(vars(module), name, place)


def _no_module(place: str, missing: str | None) -> str:
    if missing is not None and place != missing and not place.startswith(f"{missing}."):
        return f"{place} cannot be loaded: it needs the module {missing}, which is not installed"
    files = [file.name for pattern in ("*.py", "*.yaml", "*.yml") for file in Path.cwd().glob(pattern)]
    near = nearest(place, files)
    hint = f", did you mean {near}?" if near else f": write {_FORMS}"
    return f"there is no module {place} here or among the installed ones{hint}"


def _from_script(place: str, name: str) -> Pipe:
    _must_be_file(place)
    path = Path(place).resolve()
    module = ModuleType(SCRIPT_NAME)
    module.__file__ = str(path)
    sys.modules[SCRIPT_NAME] = module
    sys.path.insert(0, str(path.parent))
    sys.argv = [place]
    reached: Pipe | None = None
    try:
        with _user_code(place), _no_pipe_starts():
            exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
    except _PipeReached as stop:
        # A script without a guard has come to where it starts its pipe: that one it is, and here it starts.
        reached = stop.pipe
    _become_main(module)
    if not name and reached is not None:
        return reached
    return _pick(vars(module), name, place)


def _become_main(module: ModuleType) -> None:
    """Make the script what it would be if Python ran it: ``__main__``, whose definitions are sent to flows by value."""
    for value in list(vars(module).values()):
        _say_main(value)
        own = isinstance(value, Routine) or (isinstance(value, type) and value.__module__ == "__main__")
        for member in list(vars(value).values()) if own else ():
            _say_main(member)
    module.__name__ = "__main__"
    # What was __main__ (the command's own script) must live on: its functions are still on the stack.
    vars(module).setdefault("__pipert2_before__", sys.modules.get("__main__"))
    sys.modules["__main__"] = module
    del sys.modules[SCRIPT_NAME]


def _say_main(value: Any) -> None:
    if isinstance(value, type | FunctionType) and value.__module__ == SCRIPT_NAME:
        value.__module__ = "__main__"


def _must_be_file(place: str) -> None:
    path = Path(place)
    if path.is_file():
        return
    if path.is_dir():
        raise CommandError(f"{place} is a folder, not a pipe")
    folder = path.parent
    names = [file.name for file in folder.iterdir() if file.suffix in (".py", *_YAML)] if folder.is_dir() else []
    near = nearest(path.name, names)
    raise CommandError(f"there is no file {place}" + (f", did you mean {folder / near}?" if near is not None else ""))


@contextmanager
def _no_pipe_starts() -> Iterator[None]:
    """While a file is loaded, stop it where it would start a pipe."""
    build = Pipe.build

    def stop(self: Pipe) -> None:
        raise _PipeReached(self)

    Pipe.build = stop  # type: ignore[method-assign]
    try:
        yield
    finally:
        Pipe.build = build  # type: ignore[method-assign]


@contextmanager
def _user_code(place: str) -> Iterator[None]:
    """What the user's file raises becomes one line that says where."""
    try:
        yield
    except ModuleNotFoundError as error:
        if not place.endswith((".py", *_YAML)):
            raise
        raise CommandError(
            f"{place} cannot be loaded: it needs the module {error.name}, which is not installed"
        ) from error
    except SyntaxError as error:
        raise CommandError(f"{error.filename}, line {error.lineno}: {error.msg}") from error
    except PipertError as error:
        raise CommandError(f"{place}: {error}") from error
    except SystemExit as error:
        raise CommandError(
            f"{place} exits while it is loaded (with {error.code!r}): it should only put a pipe together"
        ) from error
    except Exception as error:
        raise CommandError(f"{_where(error, place)}: {type(error).__name__}: {error}") from error


def _where(error: Exception, place: str) -> str:
    """The deepest line that is in the user's file, else the deepest of all."""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if one.filename != __file__]
    frames = [one for one in frames if "importlib" not in one.filename]
    own = [one for one in frames if Path(one.filename).name == Path(place).name]
    if not frames:
        return place
    frame = (own or frames)[-1]
    return f"{frame.filename}, line {frame.lineno}"


def _pick(names: Mapping[str, Any], name: str, place: str) -> Pipe:
    """The pipe called *name*; without a name the only one, or the one called ``pipe``."""
    if name:
        return _named(names, name, place)
    pipes = {key: value for key, value in names.items() if isinstance(value, Pipe)}
    if "pipe" in pipes:
        return pipes["pipe"]
    different = {id(value): key for key, value in reversed(pipes.items())}
    if len(different) == 1:
        return next(iter(pipes.values()))
    if pipes:
        raise CommandError(f"{place} has several pipes, name one: " + ", ".join(f"{place}:{key}" for key in pipes))
    made = [key for key, value in names.items() if isinstance(value, FunctionType) and "pipe" in key.lower()]
    hint = f"; name a function that returns one, such as {place}:{made[0]}" if made else ""
    raise CommandError(f"{place} has no Pipe in it{hint}")


def _named(names: Mapping[str, Any], name: str, place: str) -> Pipe:
    first, _, rest = name.partition(".")
    if first not in names:
        known = [key for key, value in names.items() if isinstance(value, Pipe | FunctionType)]
        near = nearest(first, known)
        hint = f"did you mean {place}:{near}?" if near is not None else f"it has {', '.join(known[:10]) or 'no pipe'}"
        raise CommandError(f"{place} has no {first!r}: {hint}")
    found = names[first]
    with _user_code(place):
        for part in rest.split(".") if rest else ():
            found = getattr(found, part)
    return found if isinstance(found, Pipe) else _called(found, name, place)


def _called(maker: Any, name: str, place: str) -> Pipe:
    if not callable(maker):
        raise CommandError(
            f"{place}:{name} is neither a Pipe nor a function that returns one, but {type(maker).__name__}"
        )
    function: Callable[[], Any] = maker
    try:
        with _user_code(place), _no_pipe_starts():
            made = function()
    except _PipeReached as reached:
        return reached.pipe
    if not isinstance(made, Pipe):
        raise CommandError(f"{place}:{name}() returned {type(made).__name__}, not a Pipe")
    return made
