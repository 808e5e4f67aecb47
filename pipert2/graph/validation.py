"""Everything about a pipe that can be found wrong before a process starts."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from pipert2.graph.functions import _FunctionRoutine
from pipert2.graph.handlers import event_handlers
from pipert2.graph.hidden import misused_names
from pipert2.graph.hints import contradiction
from pipert2.graph.routine import Routine, RoutineKind
from pipert2.graph.wire import QueueNetwork, Wire


def problems(
    flows: Mapping[str, Sequence[Routine]], wires: Sequence[Wire], *, network: QueueNetwork, lossless: bool
) -> list[str]:
    """What is wrong with a pipe, each with the names it concerns and what to do; an empty list if nothing is."""
    if not flows:
        return ["it has no flows: add one with create_flow(name, auto_wire, *routines)"]
    found: list[str] = []
    routines = [routine for members in flows.values() for routine in members]
    found += _names(flows, routines)
    found += _wiring(routines, wires)
    misplaced = dict(_places(routines, wires))
    found += misplaced.values()
    found += _signatures([routine for routine in routines if id(routine) not in misplaced], wires)
    found += _options(routines, wires, network=network, lossless=lossless)
    found += _lossless_cycles(wires, network=network, lossless=lossless)
    found += [
        text
        for wire in wires
        for end in wire.destinations
        if (text := contradiction(logic(wire.source), wire.source.name, logic(end), end.name))
    ]
    return found


def logic(routine: Routine) -> object:
    """The function that a routine's user wrote: its ``main_logic``, or what it was made from."""
    return routine.function if isinstance(routine, _FunctionRoutine) else routine.main_logic


def has_logic(routine: Routine) -> bool:
    """Whether the routine has a ``main_logic`` of its own; without one it only handles events."""
    return type(routine).main_logic is not Routine.main_logic


def _names(flows: Mapping[str, Sequence[Routine]], routines: Sequence[Routine]) -> Iterator[str]:
    for flow, members in flows.items():
        if not members:
            yield f"flow {flow!r} has no routines: name at least one in create_flow({flow!r}, ...)"
    for routine in routines:
        if not isinstance(routine.name, str) or not routine.name:
            yield f"{type(routine).__name__}: a routine's name is a non-empty text, not {routine.name!r}"
    for name, count in Counter(routine.name for routine in routines).items():
        if count > 1:
            yield f"{count} routines are named {name!r}: names are unique within a pipe, give them different ones"


def _wiring(routines: Sequence[Routine], wires: Sequence[Wire]) -> Iterator[str]:
    present = {id(routine) for routine in routines}
    names = [routine.name for routine in routines]
    for wire in wires:
        for end in (wire.source, *wire.destinations):
            if id(end) not in present:
                same = end.name in names
                yield (
                    f"a wire from {wire.source.name!r} names the routine {end.name!r}, which is in no flow of this "
                    "pipe: "
                    + (
                        "another object of that name is, use that one in the wire"
                        if same
                        else "put it into one with create_flow"
                    )
                )
        if any(end is wire.source for end in wire.destinations):
            yield f"{wire.source.name!r} is linked to itself: a routine cannot be its own destination"
    pairs = Counter(
        (wire.source.name, end.name) for wire in wires for end in wire.destinations if end is not wire.source
    )
    for (start, destination), count in pairs.items():
        if count > 1:
            yield f"{start!r} is linked to {destination!r} {count} times: keep one of these wires"


def _places(routines: Sequence[Routine], wires: Sequence[Wire]) -> Iterator[tuple[int, str]]:
    """For each routine (its ``id``) that does not fit where its wires put it, what is wrong."""
    fed = {id(end) for wire in wires for end in wire.destinations}
    feeding = {id(wire.source) for wire in wires}
    for routine in routines:
        has_in, has_out = id(routine) in fed, id(routine) in feeding
        problem = None
        if not has_in and not has_out:
            if routine.service and has_logic(routine) and routine.kind is not RoutineKind.SOURCE:
                continue
            if routine.kind is RoutineKind.SOURCE and routine.trigger is not None:
                continue  # what it does is done in it
            if has_logic(routine) or not event_handlers(type(routine)):
                problem = "is not linked to anything: wire it with create_flow(..., True, ...) or link(Wire(...))"
                if routine.kind is not RoutineKind.SOURCE:
                    problem += ", or say service=True if it is there to be called"
        elif routine.kind is RoutineKind.SOURCE and has_in:
            problem = "is a source but a wire leads into it: make it a MiddleRoutine or take the wire away"
        elif routine.kind is RoutineKind.DESTINATION and has_out:
            problem = "is a destination but a wire leads out of it: make it a MiddleRoutine or take the wire away"
        elif routine.kind is RoutineKind.MIDDLE and not has_in:
            problem = "has no input: link a routine to it, or make it a SourceRoutine"
        elif routine.kind is RoutineKind.MIDDLE and not has_out:
            problem = "has no output: link it to a routine, or make it a DestinationRoutine"
        elif has_in and not has_logic(routine):
            problem = "has an input but no main_logic(self, data): write one"
        if problem is not None:
            yield id(routine), f"{type(routine).__name__} {routine.name!r} {problem}"


def _signatures(routines: Sequence[Routine], wires: Sequence[Wire]) -> Iterator[str]:
    fed = {id(end) for wire in wires for end in wire.destinations}
    fed.update(id(routine) for routine in routines if routine.service)
    for routine in routines:
        if not has_logic(routine):
            continue
        function = logic(routine)
        count = 1 if id(routine) in fed else 0
        if isinstance(routine, _FunctionRoutine) and routine.takes_itself:
            count += 1
        try:
            inspect.signature(function).bind(*[None] * count)  # type: ignore[arg-type]
        except TypeError:
            what = "one argument, the data" if id(routine) in fed else "no argument, since no wire leads into it"
            yield f"{type(routine).__name__} {routine.name!r}: its main_logic must take {what}"
        except ValueError:
            pass  # a built-in function that does not tell its signature
        if id(routine) in fed and inspect.isasyncgenfunction(function):
            yield (
                f"{type(routine).__name__} {routine.name!r}: its main_logic is an async generator; only a source's may "
                "be, write a plain generator or return a list"
            )


def _options(
    routines: Sequence[Routine], wires: Sequence[Wire], *, network: QueueNetwork, lossless: bool
) -> Iterator[str]:
    fed = {id(end) for wire in wires for end in wire.destinations}
    for routine in routines:
        what = f"{type(routine).__name__} {routine.name!r}"
        if not isinstance(routine.kind, RoutineKind):
            yield f"{what}: its attribute 'kind' says what a routine is to the pipe: name your own one differently"
        yield from misused_names(routine)
        for name, least in (("concurrency", 1), ("retries", 0)):
            value = getattr(routine, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                yield f"{what}: {name} is a whole number, {least} or more, not {value!r}"
        yield from _trigger(routine, what, has_input=id(routine) in fed)
        most = routine.max_in_flight
        if most is None:
            continue
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            yield f"{what}: max_in_flight is a whole number, 1 or more, not {most!r}"
        elif id(routine) in fed:
            yield f"{what}: max_in_flight is for sources, and a wire leads into it; take it away, or the wire"
        else:
            for wire in wires:
                rule = wire.lossless if wire.lossless is not None else (lossless or network.put_block)
                if wire.source is routine and not (lossless and rule):
                    ends = ", ".join(repr(end.name) for end in wire.destinations)
                    yield (
                        f"{what}: max_in_flight needs acknowledgements, and the wire to {ends} has none: make the pipe "
                        "lossless (Pipe(lossless=True)) and the wire no exception"
                    )


def _trigger(routine: Routine, what: str, *, has_input: bool) -> Iterator[str]:
    if routine.trigger is None:
        return
    if has_input or routine.kind in (RoutineKind.MIDDLE, RoutineKind.DESTINATION):
        yield f"{what}: a trigger is for sources, others run when data comes; take it away, or make it a SourceRoutine"
    limit = routine.timeout
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int | float) or not limit > 0):
        yield f"{what}: timeout is a time in seconds above 0, not {limit!r}"


def _lossless_cycles(wires: Sequence[Wire], *, network: QueueNetwork, lossless: bool) -> Iterator[str]:
    """Cycles in which every wire waits for room: once full, none of them can ever go on."""
    following: dict[str, list[str]] = {}
    for wire in wires:
        if wire.feedback:
            continue
        if wire.lossless if wire.lossless is not None else (lossless or network.put_block):
            following.setdefault(wire.source.name, []).extend(end.name for end in wire.destinations)
    done: set[str] = set()
    for start in following:
        trail: list[str] = []
        pending = [(start, 0)]
        while pending:
            name, depth = pending.pop()
            del trail[depth:]
            if name in trail:
                circle = [str(step) for step in (*trail[trail.index(name) :], name)]
                yield (
                    f"lossless wires form a cycle ({' -> '.join(circle)}) that would stop for ever once full: "
                    "make one of them real-time (lossless=False), or say which of them leads back (feedback=True)"
                )
                continue
            if name in done:
                continue
            trail.append(name)
            done.add(name)
            pending += [(after, depth + 1) for after in following.get(name, ())]
