"""Flows that wait for others: what can be found wrong with that before a process starts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pipert2.errors import nearest


def dependency_problems(flows: Collection[str], depends_on: Mapping[str, Sequence[str]]) -> list[str]:
    """What is wrong with dependencies: names that there are not, and circles."""
    found = []
    for flow, others in depends_on.items():
        for other in others:
            if other not in flows:
                near = nearest(other, tuple(flows))
                known = f"it has {', '.join(repr(name) for name in flows)}"
                hint = known if near is None else f"did you mean {near!r}?"
                found.append(f"flow {flow!r} depends on {other!r}, which is no flow of this pipe: {hint}")
    seen: set[frozenset[str]] = set()
    for start in depends_on:
        trail = _circle(start, depends_on)
        if trail and frozenset(trail) not in seen:
            seen.add(frozenset(trail))
            found.append(f"flows wait for one another in a circle ({' -> '.join(trail)}): take one of depends_on away")
    return found


def _circle(start: str, depends_on: Mapping[str, Sequence[str]]) -> list[str]:
    """The way from a flow back to itself, if there is one."""
    todo = [[start]]
    visited = set()
    while todo:
        trail = todo.pop()
        for other in depends_on.get(trail[-1], ()):
            if other == start:
                return [*trail, start]
            if other not in visited:
                visited.add(other)
                todo.append([*trail, other])
    return []
