"""From a pipe to a document, and from a document to YAML."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from pipert2.document.arguments import Constructor, plain
from pipert2.document.classes import ReferenceProblem, reference_of
from pipert2.document.findings import UnwritablePipeError
from pipert2.document.model import PipeDocument
from pipert2.document.nodes import SCALARS
from pipert2.document.routines import ROUTINE_OPTIONS, TRANSMITTERS
from pipert2.errors import ConfigError
from pipert2.graph.functions import _FunctionRoutine
from pipert2.graph.routine import Routine
from pipert2.graph.transmitter import DataTransmitter
from pipert2.graph.wire import Wire
from pipert2.pipe import Pipe
from pipert2.runtime.triggers.phrases import trigger


def document_of(pipe: Pipe, folder: str | os.PathLike[str] | None = None) -> PipeDocument:
    """The document that describes *pipe* as it is now: its wires, and the values of its parameters.

    How it is run (inline, start method, logger) is no part of it.

    Args:
        pipe: built or not.
        folder: where paths of files in the document begin, if routines come from files; the current one if left out.

    Raises:
        UnwritablePipeError: everything that a document cannot have: lambdas, classes of the script itself, options that
            are no plain values, each with the routine's name.
    """
    return _Writer(Path(folder) if folder is not None else None).document(pipe)


class _Writer:
    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._problems: list[str] = []

    def document(self, pipe: Pipe) -> PipeDocument:
        plan, settings, network = pipe.blueprint, pipe.settings, pipe.blueprint.network
        whole = f"pipe {pipe.name!r}"
        wires = [(wire, self._transmitter(wire.data_transmitter, _wire_name(wire))) for wire in plan.wires]
        flows = {name: self._flow(pipe, members, wires) for name, members in plan.flows.items()}
        data = {
            "name": pipe.name,
            "lossless": plan.lossless,
            "auto_pacing": pipe.auto_pacing,
            "restart": {
                "times": settings.restart.times,
                "window": settings.restart.window,
                "backoff": settings.restart.backoff,
            },
            "hang_timeout": settings.hang_timeout,
            "kill_timeout": settings.kill_timeout,
            "drain_timeout": settings.drain_timeout,
            "store": self._path(pipe.store.path if pipe.store is not None else None),
            "config": self._path(pipe.config_folder),
            "requires": list(pipe.requires),
            "parameters": self._shared(pipe),
            "network": {
                "max_queue_sizes": network.max_queue_sizes,
                "put_block": network.put_block,
                "get_block": network.get_block,
                "timeout": network.timeout,
            },
            "data_transmitter": self._transmitter(plan.data_transmitter, whole),
            "flows": flows,
            "wires": [self._wire(wire, transmitter) for wire, transmitter in wires],
        }
        if not flows:
            self._problems.append(f"{whole} has no flows")
        if self._problems:
            raise UnwritablePipeError(list(dict.fromkeys(self._problems)))
        return PipeDocument.model_validate(data)

    def _flow(self, pipe: Pipe, members: list[Routine], wires: list[tuple[Wire, Any]]) -> dict[str, Any]:
        """A flow; the wires that ``auto_wire`` makes are taken out of *wires*."""
        name = str(members[0].flow_name)
        wish = pipe.blueprint.wishes.get(name)
        found: dict[str, Any] = {
            "resources": {} if wish is None else dict(wish.resources),
            "host": None if wish is None else wish.host,
            "replicas": pipe.replicas.get(name),
            "depends_on": list(pipe.depends_on.get(name, ())),
            "routines": [self._routine(pipe, routine) for routine in members],
        }
        if len(members) > 1:
            automatic = _automatic(members, wires)
            found["auto_wire"] = automatic is not None
            if automatic is not None:
                found["data_transmitter"] = automatic[0][1]
                wires[:] = [item for item in wires if not any(item is taken for taken in automatic)]
        return found

    def _routine(self, pipe: Pipe, routine: Routine) -> dict[str, Any]:
        who = f"routine {routine.name!r}"
        return {
            "class": self._class(routine, who),
            "name": routine.name,
            "options": self._options(routine, who) if not isinstance(routine, _FunctionRoutine) else {},
            "parameters": {one.name: one.value for one in pipe.parameters(routine.name) if one.value != one.default},
            **self._routine_options(routine, who),
        }

    def _routine_options(self, routine: Routine, who: str) -> dict[str, Any]:
        """What this object says otherwise than its class."""
        found = {
            name: getattr(routine, name)
            for name in ROUTINE_OPTIONS
            if getattr(routine, name) != getattr(type(routine), name)
        }
        if routine.trigger is None:
            found.pop("timeout", None)  # then it is the user's own, and means something else
        if found.get("trigger") is not None:
            wanted = found["trigger"]
            try:
                phrase = str(trigger(wanted))
                kept = trigger(phrase) == trigger(wanted)
            except ConfigError:
                kept = False
            if kept:
                found["trigger"] = phrase
            else:
                self._problems.append(f"{who}: its trigger {wanted!r} is one for which documents have no phrase")
        return found

    def _path(self, found: str | Path | None) -> str | None:
        """A file's or folder's path, from the document's folder on if it is in there."""
        if found is None:
            return None
        start = (self._folder or Path.cwd()).resolve()
        path = Path(found).resolve()
        return path.relative_to(start).as_posix() if path.is_relative_to(start) else path.as_posix()

    def _shared(self, pipe: Pipe) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pipe.shared_parameters.items():
            try:
                found[name] = plain(value)
            except TypeError as error:
                self._problems.append(f"pipe {pipe.name!r}: its parameter {name!r} {error}")
        return found

    def _wire(self, wire: Wire, transmitter: dict[str, Any] | None) -> dict[str, Any]:
        if wire.capture is not None:
            self._problems.append(f"{_wire_name(wire)}: its capture, which no document has: use `pipert2 record`")
        return {
            "source": wire.source.name,
            "destinations": [end.name for end in wire.destinations],
            "lossless": wire.lossless,
            "capacity": wire.capacity,
            "data_transmitter": transmitter,
            "where": self._where(wire),
            "feedback": wire.feedback,
        }

    def _where(self, wire: Wire) -> str | None:
        if wire.where is None:
            return None
        try:
            if not hasattr(wire.where, "__qualname__") or not getattr(wire.where, "__module__", None):
                raise ReferenceProblem(f"{wire.where!r} is no function, which a document could name")
            return reference_of(wire.where, self._folder)
        except ReferenceProblem as problem:
            self._problems.append(f"{_wire_name(wire)}, where: {problem}")
            return None

    def _class(self, routine: Routine, who: str) -> str:
        try:
            if isinstance(routine, _FunctionRoutine):
                return self._function(routine)
            return reference_of(type(routine), self._folder)
        except ReferenceProblem as problem:
            self._problems.append(f"{who}: {problem}")
            return "?"

    def _function(self, routine: _FunctionRoutine) -> str:
        function: Any = routine.function
        if not hasattr(function, "__qualname__") or not getattr(function, "__module__", None):
            raise ReferenceProblem(f"it is made from {function!r}, which no module has a name for")
        reference = reference_of(function, self._folder)
        owner: Any = _attribute(function.__module__, function.__qualname__)
        if owner is function:
            raise ReferenceProblem(
                f"it is made from {reference}, which is a plain function: decorate it with @source, @middle or "
                "@destination where it is defined"
            )
        return reference

    def _options(self, made: Routine | DataTransmitter, who: str, own: tuple[str, ...] = ("name",)) -> dict[str, Any]:
        arguments = getattr(made, "_made_with", None)
        if arguments is None:
            self._problems.append(f"{who}: it is not known which options its {type(made).__name__} was made with")
            return {}
        try:
            options, problems = Constructor(type(made), own).write(arguments.args, arguments.kwargs)
        except TypeError as error:  # a constructor that does not take what it was called with
            options, problems = {}, [f"its options do not fit its constructor: {error}"]
        self._problems += [f"{who}: {problem}" for problem in problems]
        return options

    def _transmitter(self, transmitter: DataTransmitter | None, who: str) -> dict[str, Any] | None:
        if transmitter is None:
            return None
        short = next((name for name, cls in TRANSMITTERS.items() if type(transmitter) is cls), None)
        try:
            reference = short or reference_of(type(transmitter), self._folder)
        except ReferenceProblem as problem:
            self._problems.append(f"{who}, data transmitter: {problem}")
            return None
        return {"class": reference, "options": self._options(transmitter, f"{who}, data transmitter", ())}


def _attribute(module: str, path: str) -> Any:
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found


def _automatic(members: list[Routine], wires: list[tuple[Wire, Any]]) -> list[tuple[Wire, Any]] | None:
    """The wires that ``auto_wire`` makes of a flow, with one data transmitter for all; None if some are missing."""
    found: list[tuple[Wire, Any]] = []
    for source, end in pairwise(members):
        fitting = (
            item
            for item in wires
            if item[0].source is source
            and len(item[0].destinations) == 1
            and item[0].destinations[0] is end
            and item[0].lossless is None
            and item[0].capacity is None
            and item[0].where is None
            and item[0].capture is None
            and not item[0].feedback
            and (not found or item[1] == found[0][1])
        )
        item = next(fitting, None)
        if item is None:
            return None
        found.append(item)
    return found


def _wire_name(wire: Wire) -> str:
    return f"wire from {wire.source.name!r} to " + ", ".join(repr(end.name) for end in wire.destinations)


def dump_document(document: PipeDocument) -> str:
    """A document as YAML, without what is as it would be anyhow. Equal documents give equal text."""
    data: Mapping[str, Any] = document.model_dump(by_alias=True, exclude_defaults=True)
    text: str = yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=1_000_000
    )
    return text


class _Dumper(yaml.SafeDumper):
    """Writes short lists in one line, repeats what is there twice, and quotes what any YAML version misreads."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def represent_str(self, data: str) -> yaml.ScalarNode:
        # In the other styles PyYAML lets line ends of all kinds become plain ones.
        style = None if data.isprintable() else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)

    def represent_list(self, data: Any) -> yaml.SequenceNode:
        in_line = all(item is None or isinstance(item, bool | int | float | str) for item in data)
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=in_line)


_Dumper.add_representer(list, _Dumper.represent_list)
_Dumper.add_representer(str, _Dumper.represent_str)
for _tag, _pattern, _first in SCALARS:
    _Dumper.add_implicit_resolver("tag:yaml.org,2002:" + _tag, re.compile(f"^(?:{_pattern})$"), _first)
