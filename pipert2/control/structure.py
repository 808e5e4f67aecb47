"""A pipe's structure, read from its routines' classes and its wires."""

from __future__ import annotations

import inspect
import logging
from typing import Any

from pipert2.control.records import (
    ArgumentStructure,
    EventStructure,
    RoutineStructure,
    Structure,
    WireStructure,
)
from pipert2.graph.handlers import BUILT_IN_EVENTS, KILL_EVENT_NAME, START_EVENT_NAME, STOP_EVENT_NAME, event_handlers
from pipert2.graph.routine import Routine
from pipert2.graph.validation import logic
from pipert2.pipe import Pipe


def structure_of(pipe: Pipe) -> Structure:
    """The structure of a pipe, built or not."""
    wires = tuple(
        WireStructure(
            wire.source.name,
            end.name,
            bool(wire.lossless),
            wire.capacity,
            repr(wire.data_transmitter),
            _name_of(wire.where),
            wire.feedback,
        )
        for wire in pipe.wires
        for end in wire.destinations
    )
    return Structure(
        name=pipe.name,
        version=pipe.structure_version,
        flows=tuple(dict.fromkeys(pipe.flow_names.values())),
        routines=tuple(_routine(pipe, name) for name in pipe.flow_names),
        wires=wires,
        events=(START_EVENT_NAME, STOP_EVENT_NAME, KILL_EVENT_NAME),
        replicas=pipe.replicas,
        depends_on=pipe.depends_on,
        requires=pipe.requires,
    )


def event_structures(pipe: Pipe) -> dict[str, tuple[EventStructure, ...]]:
    """The user's events that each routine handles."""
    return {name: _events(pipe.routine(name)) for name in pipe.flow_names}


def _routine(pipe: Pipe, name: str) -> RoutineStructure:
    routine = pipe.routine(name)
    return RoutineStructure(
        name=name,
        flow=pipe.flow_names[name],
        kind=routine.kind.value,
        type=type(routine).__name__,
        help=_help(routine),
        events=_events(routine),
        parameters=pipe.parameters(name),
        log_level=logging.getLevelName(pipe.log_level(name)),
        service=bool(routine.service),
    )


def _name_of(function: Any) -> str | None:
    if function is None:
        return None
    return str(getattr(function, "__qualname__", None) or type(function).__name__)


def _help(routine: Routine) -> str:
    """The first line of the documentation that the routine's user wrote, not of what pipert2 says about routines."""
    function = logic(routine)
    written = type(routine).__doc__ if type(routine).__module__.partition(".")[0] != "pipert2" else None
    text = written or getattr(function, "__doc__", None) or ""
    owner = getattr(function, "__module__", "") or ""
    if not written and owner.partition(".")[0] == "pipert2":
        return ""
    return inspect.cleandoc(text).split("\n", 1)[0]


def _events(routine: Routine) -> tuple[EventStructure, ...]:
    found = []
    for event, methods in sorted(event_handlers(type(routine)).items()):
        if event in BUILT_IN_EVENTS:
            continue
        handlers = [getattr(routine, method) for method in methods]
        arguments: dict[str, ArgumentStructure] = {}
        for handler in handlers:
            for argument in _arguments(handler):
                arguments.setdefault(argument.name, argument)
        text = next((inspect.cleandoc(handler.__doc__) for handler in handlers if handler.__doc__), "")
        found.append(EventStructure(event, text.split("\n", 1)[0], tuple(arguments.values())))
    return tuple(found)


def _arguments(handler: Any) -> list[ArgumentStructure]:
    found = []
    for parameter in inspect.signature(handler).parameters.values():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        hint = parameter.annotation
        text = None if hint is parameter.empty else (hint if isinstance(hint, str) else inspect.formatannotation(hint))
        required = parameter.default is parameter.empty
        found.append(ArgumentStructure(parameter.name, text, required, None if required else parameter.default))
    return found
