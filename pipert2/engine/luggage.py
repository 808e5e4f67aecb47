"""What travels to other hosts with a fragment: the modules of the user's that are not installed there."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

from pipert2.graph.routine import Routine
from pipert2.transport.leftovers import Run


def sources_of(routines: Iterable[Routine]) -> dict[str, bytes]:
    """The modules that define *routines*, and those beside them that are loaded, by their paths from where they are
    imported."""
    found = {}
    for module in local_modules(routines):
        file = _file_of(module)
        assert file is not None
        place = module.__name__.replace(".", "/")
        found[f"{place}/__init__.py" if file.name == "__init__.py" else f"{place}.py"] = file.read_bytes()
    return found


class Unpacked:
    """Modules made importable here, behind those that are installed, for this process and those that it starts. Closes
    twice without complaint."""

    def __init__(self, sources: Mapping[str, bytes]) -> None:
        self._run = Run() if sources else None  # so that the next run clears them should this process be killed
        if self._run is None:
            return
        self._folder = str(self._run.folder / "code")
        for place, source in sources.items():
            file = Path(self._folder, place)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(source)
        sys.path.append(self._folder)

    def close(self) -> None:
        """Take them away."""
        run, self._run = self._run, None
        if run is not None:
            sys.path.remove(self._folder)
            run.close()


def local_modules(routines: Iterable[Routine]) -> list[ModuleType]:
    """The loaded modules that stand in the folders of the routines' modules, and are not installed."""
    installed = [Path(path).resolve() for name, path in sysconfig.get_paths().items() if "lib" in name]
    own = Path(__file__).resolve().parents[1]
    folders = set()
    for routine in routines:
        for cls in type(routine).__mro__:
            module = sys.modules.get(cls.__module__)
            file = _file_of(module)
            if file is not None and own not in file.parents and not any(place in file.parents for place in installed):
                depth = cls.__module__.count(".") + (file.name == "__init__.py")
                folders.add(file.parents[depth])
    return [
        module
        for name, module in list(sys.modules.items())
        if name != "__main__"
        and (file := _file_of(module)) is not None
        and own not in file.parents
        and any(folder in file.parents for folder in folders)
        and not any(place in file.parents for place in installed)
    ]


def _file_of(module: ModuleType | None) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if isinstance(file, str) and file.endswith(".py") else None
