"""The objects that a document's parts stand for: routines and data transmitters."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipert2.document.arguments import Constructor
from pipert2.document.classes import ReferenceProblem, look_up
from pipert2.document.findings import Findings, Place
from pipert2.document.model import RoutineDocument, TransmitterDocument
from pipert2.errors import ConfigError, ParameterError, nearest
from pipert2.graph.functions import _FunctionRoutine
from pipert2.graph.parameter import parameters_of
from pipert2.graph.routine import Routine
from pipert2.graph.transmitter import BasicTransmitter, DataTransmitter, SharedMemoryTransmitter
from pipert2.runtime.triggers.phrases import trigger

ROUTINE_OPTIONS = ("concurrency", "retries", "max_in_flight", "trigger", "timeout", "service")
"""Attributes of any routine that a document may set."""

TRANSMITTERS: dict[str, type[DataTransmitter]] = {"basic": BasicTransmitter, "shared_memory": SharedMemoryTransmitter}


class StandIn(Routine):
    """Takes the place of a routine that could not be made, so that the rest of the pipe can still be judged."""

    def main_logic(self, *data: Any) -> None:
        pass


def stand_in(name: str, reference: str = "") -> Routine:
    """A stand-in that goes by the name of the class that it stands for."""
    title = reference.rpartition(":")[2].rpartition(".")[2]
    routine: Routine = type(title if title.isidentifier() else "Routine", (StandIn,), {})(name)
    return routine


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes the objects of one document, and notes what stands in the way.

    Args:
        folder: where paths of files begin.
    """

    folder: Path
    findings: Findings
    _broken: set[str] = field(default_factory=set)

    def routine(self, part: RoutineDocument, place: Place) -> Routine:
        """The routine that *part* describes; a stand-in if it cannot be made."""
        try:
            named = look_up(part.class_, self.folder)
        except ReferenceProblem as problem:
            self._unresolved(problem, place.at("class"))
            return stand_in(part.name or _default_name(part.class_), part.class_)
        made: Routine | None = None
        if isinstance(named, _FunctionRoutine):
            made = self._function_routine(named, part, place)
        elif isinstance(named, type) and issubclass(named, Routine):
            made = self._class_routine(named, part, place)
        else:
            self.findings.add(place.at("class"), f"{part.class_} is no routine: {_advice(named)}")
        if made is None:
            return stand_in(part.name or _default_name(part.class_), part.class_)
        self._set_parameters(made, part, place)
        self._set_options(made, part, place)
        return made

    def _set_options(self, routine: Routine, part: RoutineDocument, place: Place) -> None:
        """What a document may say of any routine in place of its class."""
        for name in ROUTINE_OPTIONS:
            value = getattr(part, name)
            if value is None:
                continue
            if name == "trigger":
                try:
                    value = trigger(value, where=routine.name)
                except ConfigError as error:
                    self.findings.add(place.at("trigger"), str(error))
                    continue
            setattr(routine, name, value)

    def where(self, reference: str | None, place: Place) -> Callable[[Any], Any] | None:
        """The function that chooses what travels on a wire; None without one, or if there is no such function."""
        if reference is None:
            return None
        try:
            found = look_up(reference, self.folder)
        except ReferenceProblem as problem:
            self._unresolved(problem, place)
            return None
        if isinstance(found, type | Routine) or not callable(found):
            what = type(found).__name__ if not isinstance(found, type) else "class"
            self.findings.add(place, f"{reference} is no function of the data but a {what}")
            return None
        chosen: Callable[[Any], Any] = found
        return chosen

    def _unresolved(self, problem: ReferenceProblem, where: Place) -> None:
        """Note why a reference leads nowhere; what is wrong with a module only once."""
        if problem.of_module and str(problem) in self._broken:
            return
        self._broken.add(str(problem))
        self.findings.add(where, str(problem))

    def _function_routine(self, named: _FunctionRoutine, part: RoutineDocument, place: Place) -> Routine:
        if part.options:
            self.findings.add(place.key("options"), f"{part.class_} is a function routine, it takes no options")
        routine = copy.copy(named)
        routine.flow_name, routine._context = None, None
        _name(routine, part.name or named.name)
        return routine

    def _class_routine(self, cls: type[Routine], part: RoutineDocument, place: Place) -> Routine | None:
        constructor = Constructor(cls, own=("name",))
        options, mistakes = constructor.read(copy.deepcopy(part.options))
        for mistake in mistakes:
            path = ("options", *mistake.path)
            where = place.key(*path) if mistake.is_key else place.at(*path) if mistake.path else place.at("class")
            self.findings.add(where, mistake.message)
        if mistakes:
            return _stand_in_of(cls, part)
        name = part.name or cls.__name__
        try:
            routine = cls(**({"name": name} if constructor.takes("name") else {}), **options)
        except (Exception, SystemExit) as error:
            where = place.at("options") if part.options else place.at("class")
            self.findings.add(where, f"{cls.__name__} cannot be made with these options: {_said(error)}")
            return _stand_in_of(cls, part)
        if not isinstance(routine, Routine):
            self.findings.add(place.at("class"), f"{part.class_} makes {type(routine).__name__}, which is no routine")
            return None
        _name(routine, name)
        return routine

    def _set_parameters(self, routine: Routine, part: RoutineDocument, place: Place) -> None:
        cls = routine.declared if isinstance(routine, _Declared) else type(routine)
        known = parameters_of(cls)
        for name, value in part.parameters.items():
            if name not in known:
                close = nearest(name, list(known))
                hint = f"did you mean {close!r}?" if close else "it has " + (", ".join(known) or "none")
                self.findings.add(place.key("parameters", name), f"{cls.__name__} has no parameter {name!r}: {hint}")
                continue
            try:
                checked = known[name].check(routine.name, value)
            except ParameterError as error:
                self.findings.add(place.at("parameters", name), str(error))
            else:
                if cls is type(routine):
                    setattr(routine, name, checked)

    def transmitter(self, part: TransmitterDocument | None, place: Place) -> DataTransmitter | None:
        """The data transmitter that *part* describes; None without one, or if it cannot be made."""
        if part is None:
            return None
        where = place.at("class")
        cls: Any = TRANSMITTERS.get(part.class_)
        if cls is None:
            close = nearest(part.class_, list(TRANSMITTERS))
            if ":" not in part.class_:
                hint = f"did you mean {close!r}?" if close else "it is basic, shared_memory or module:Class"
                self.findings.add(where, f"there is no data transmitter {part.class_!r}: {hint}")
                return None
            try:
                cls = look_up(part.class_, self.folder)
            except ReferenceProblem as problem:
                self._unresolved(problem, where)
                return None
        if not isinstance(cls, type) or not issubclass(cls, DataTransmitter):
            self.findings.add(where, f"{part.class_} is no data transmitter: name a subclass of DataTransmitter")
            return None
        options, mistakes = Constructor(cls).read(copy.deepcopy(part.options))
        for mistake in mistakes:
            path = ("options", *mistake.path)
            at = place.key(*path) if mistake.is_key else place.at(*path) if mistake.path else where
            self.findings.add(at, mistake.message)
        if mistakes:
            return None
        try:
            made = cls(**options)
        except (Exception, SystemExit) as error:
            self.findings.add(place.at("options"), f"{cls.__name__} cannot be made with these options: {_said(error)}")
            return None
        return made if isinstance(made, DataTransmitter) else None


class _Declared(StandIn):
    declared: type


def _stand_in_of(cls: type[Routine], part: RoutineDocument) -> Routine:
    """A stand-in for a routine whose class is known: it has the class's place in a pipe and its parameters."""
    members = {"kind": cls.kind, "declared": cls}
    routine: Routine = type(cls.__name__, (_Declared,), members)(part.name or cls.__name__)
    return routine


def _default_name(reference: str) -> str:
    return reference.rpartition(":")[2].rpartition(".")[2] or reference


def _name(routine: Routine, name: str) -> None:
    routine.name, routine._named = name, True


def _advice(named: Any) -> str:
    if isinstance(named, Routine):
        return f"it is an instance, name its class {type(named).__name__}"
    if isinstance(named, type):
        return "the class is not derived from Routine"
    if callable(named):
        return "make the function one with @source, @middle or @destination"
    return f"it is a {type(named).__name__}"


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")
