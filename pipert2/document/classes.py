"""What a document's ``class:`` names: a class or function routine of a module, of a file, or of a plugin."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
import traceback
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from pipert2.errors import nearest

ENTRY_POINTS = "pipert2.routines"

_files: dict[str, Path] = {}
"""The files that modules named by documents came from, by the module's name."""


class ReferenceProblem(Exception):
    """A reference leads nowhere; the message says why, and what to do.

    Attributes:
        of_module: whether all references into the module fail alike.
    """

    def __init__(self, message: str, *, of_module: bool = False) -> None:
        super().__init__(message)
        self.of_module = of_module


def look_up(reference: str, folder: Path) -> Any:
    """What *reference* names: ``module:Class``, ``./file.py:Class`` from *folder* on, or a plugin's entry point.

    Raises:
        ReferenceProblem: there is no such thing, or importing it failed.
    """
    left, colon, right = reference.rpartition(":")
    if not colon:
        return _entry_point(reference)
    if not left or not all(part.isidentifier() for part in right.split(".")):
        raise ReferenceProblem(f"{reference!r} names no class: write module:Class or ./file.py:Class")
    module = _module_of_file(left, folder) if left.endswith(".py") else _module(left, right, folder)
    found: Any = module
    for part in right.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            known = [name for name in dir(found) if not name.startswith("_")]
            owner = left if found is module else found.__qualname__
            raise ReferenceProblem(f"{owner} has no {part!r}{_hint(part, known)}") from None
    return found


def reference_of(thing: Any, folder: Path | None = None) -> str:
    """How a document whose folder is *folder* names a class or function.

    Raises:
        ReferenceProblem: it cannot.
    """
    module_name, path = thing.__module__, thing.__qualname__
    if module_name == "__main__":
        raise ReferenceProblem(f"{path} is defined in the script itself: move it into a module that can be imported")
    if "<" in path:
        raise ReferenceProblem(
            f"{path} is defined inside a function or is a lambda: define it at the module's top level"
        )
    found: Any = sys.modules.get(module_name)
    for part in path.split("."):
        found = getattr(found, part, None)
    same = found is thing or getattr(found, "function", None) is thing
    if not same:
        raise ReferenceProblem(
            f"{module_name}:{path} is something else now: keep it under the name that it was defined with"
        )
    file = _files.get(module_name)
    if file is None:
        return f"{module_name}:{path}"
    start = (folder or Path.cwd()).resolve()
    try:
        return f"./{file.relative_to(start).as_posix()}:{path}"
    except ValueError:
        return f"{file.as_posix()}:{path}"


def _entry_point(name: str) -> Any:
    known = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name not in known:
        hint = _hint(name, list(known)) if known else ""
        raise ReferenceProblem(
            f"{name!r} is neither module:Class nor ./file.py:Class, and no installed plugin offers it in the entry "
            f"points {ENTRY_POINTS!r}{hint}"
        )
    point = known[name]
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        raise ReferenceProblem(
            f"plugin {name!r} ({point.value}) cannot be imported: {_reason(error)}", of_module=True
        ) from error


def _module(name: str, attribute: str, folder: Path) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise ReferenceProblem(f"{name!r} is no module's name: write module:Class or ./file.py:Class")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ReferenceProblem(f"module {name!r} cannot be imported: {_reason(error)}", of_module=True) from error
        file = folder.joinpath(*name.split(".")).with_suffix(".py")
        if file.is_file():
            hint = f": did you mean ./{file.relative_to(folder).as_posix()}:{attribute}?"
        else:
            hint = _hint(*_module_names(error.name))
        raise ReferenceProblem(f"there is no module {error.name!r}{hint}") from None
    except (Exception, SystemExit) as error:
        raise ReferenceProblem(f"module {name!r} cannot be imported: {_reason(error)}", of_module=True) from error


def _module_names(missing: str) -> tuple[str, list[str]]:
    """The part of a module's name that leads nowhere, and what there is in its place."""
    package, _, last = missing.rpartition(".")
    paths = getattr(sys.modules.get(package), "__path__", None) if package else None
    if package and paths is None:
        return last, []
    return last, [module.name for module in pkgutil.iter_modules(paths) if not module.name.startswith("_")]


def _module_of_file(text: str, folder: Path) -> ModuleType:
    """The module in a file, imported by the file's name so that other processes can import it as well."""
    file = (folder / text).resolve()
    if not file.is_file():
        near = nearest(file.name, [other.name for other in file.parent.glob("*.py")]) if file.parent.is_dir() else None
        raise ReferenceProblem(f"there is no file {text!r} in {folder}" + (f": did you mean {near!r}?" if near else ""))
    name = file.stem
    if not name.isidentifier():
        raise ReferenceProblem(f"{text!r} cannot be imported: rename it to letters, digits and _ only")
    if str(file.parent) not in sys.path:
        # At the end: a file of the user's must not hide a module of Python's from everybody else.
        sys.path.append(str(file.parent))
        importlib.invalidate_caches()
    try:
        spec = sys.modules[name].__spec__ if name in sys.modules else importlib.util.find_spec(name)
    except (ValueError, ImportError):
        spec = None
    origin = spec.origin if spec is not None else None
    if origin is None or Path(origin).resolve() != file:
        raise ReferenceProblem(f"{text!r} cannot be imported: {name!r} is also the name of {origin}; rename the file")
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise ReferenceProblem(f"{text!r} cannot be imported: {_reason(error)}", of_module=True) from error
    _files[name] = file
    return module


def _reason(error: BaseException) -> str:
    """An error with the line of the user's code that it came from."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    frames = [frame for frame in frames if Path(frame.filename) != Path(__file__)]
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"


def _hint(name: str, known: list[str]) -> str:
    close = nearest(name, known)
    return f": did you mean {close!r}?" if close else ""
