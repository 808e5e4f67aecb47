"""Whom an event is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipert2.errors import UnknownEventError, UnknownFlowError, UnknownRoutineError
from pipert2.graph.handlers import BUILT_IN_EVENTS
from pipert2.graph.spec import PipeSpec, RoutineSpec

Targets = Mapping[str, Sequence[str]]


def resolve(spec: PipeSpec, event: str, targets: Targets | None) -> tuple[RoutineSpec, ...]:
    """The routines that get an event.

    Args:
        spec: the pipe.
        event: the event's name.
        targets: flow names, each with the names of routines in it; an empty list means all of the flow's. None or an
            empty mapping means all of the pipe's.

    Returns:
        Those of the routines meant that handle the event.

    Raises:
        UnknownFlowError, UnknownRoutineError: a name that the pipe does not have.
        UnknownEventError: a routine named, or all of those meant, do not handle the event.
        TypeError: *targets* is not a mapping of lists.
    """
    if not isinstance(event, str):
        raise TypeError(f"an event's name is a text, not {event!r}")
    if not targets:
        return _handling(spec, event, spec.routines, f"pipe {spec.name!r}")
    if not isinstance(targets, Mapping):
        raise TypeError(f'an event\'s targets are given as {{"flow": ["routine", ...]}}, not as {targets!r}')
    found: list[RoutineSpec] = []
    for flow, names in targets.items():
        members = [routine for routine in spec.routines if routine.flow == flow]
        if not members:
            known = tuple(dict.fromkeys(routine.flow for routine in spec.routines))
            raise UnknownFlowError(str(flow), known, f"pipe {spec.name!r}")
        if names is not None and (isinstance(names, str) or not isinstance(names, Sequence)):
            raise TypeError(f"the routines of flow {flow!r} are given as a list, [{names!r}], not as {names!r}")
        if not names:
            found += _handling(spec, event, members, f"flow {flow!r}")
            continue
        by_name: dict[str, list[RoutineSpec]] = {}
        for member in members:
            by_name.setdefault(member.name, []).append(member)
        for name in names:
            if name not in by_name:
                raise UnknownRoutineError(str(name), tuple(by_name), f"flow {flow!r}")
            found += _handling(spec, event, by_name[name], f"routine {name!r}")
    return tuple(dict.fromkeys(found))


def _handling(spec: PipeSpec, event: str, routines: Sequence[RoutineSpec], where: str) -> tuple[RoutineSpec, ...]:
    if event in BUILT_IN_EVENTS:
        return tuple(routines)
    handling = tuple(routine for routine in routines if event in routine.events)
    if not handling:
        known = sorted({name for routine in routines for name in routine.events} | set(BUILT_IN_EVENTS))
        raise UnknownEventError(event, known, where)
    return handling
