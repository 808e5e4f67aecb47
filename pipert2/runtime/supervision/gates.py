"""Gates: flows that start only when others are done, or when the pipe has been given its parameters.

What is decided here is plain: who was asked to start and may not yet, what each of them waits for, and whether that can
still come. The supervisor asks when something has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import Enum


class Progress(Enum):
    """How far a flow is that others wait for. ``SPOILT``: all of it has ended, but some was given up."""

    UNDER_WAY = "under way"
    DONE = "done"
    SPOILT = "spoilt"


class Gates:
    """Keeps routines that were asked to start until they may.

    Args:
        depends_on: by flow, those that must be done before it starts.
        requires: names of parameters that the pipe must have been given before anything starts.
    """

    def __init__(self, depends_on: Mapping[str, Sequence[str]], requires: Collection[str] = ()) -> None:
        self._depends_on = {flow: tuple(others) for flow, others in depends_on.items() if others}
        self._requires = tuple(requires)
        self._held: dict[str, list[int]] = {}

    @property
    def awaited(self) -> frozenset[str]:
        """The flows that somebody who was asked to start waits for."""
        return frozenset(other for flow in self._held for other in self._depends_on.get(flow, ()))

    @property
    def held(self) -> Mapping[str, Sequence[int]]:
        """Who was asked to start and waits, by flow."""
        return self._held

    def hold(self, flow: str, routines: Iterable[int]) -> None:
        """These were asked to start."""
        held = self._held.setdefault(flow, [])
        held.extend(index for index in routines if index not in held)

    def let_go(self, routines: Collection[int]) -> None:
        """These are not to start any more."""
        for flow in tuple(self._held):
            left = [index for index in self._held[flow] if index not in routines]
            if left:
                self._held[flow] = left
            else:
                del self._held[flow]

    def waits_for(self, flow: str, progress: Callable[[str], Progress], given: Collection[str]) -> tuple[str, ...]:
        """What keeps a flow from starting, in words; empty if nothing does."""
        found = [f"parameter {name!r}" for name in self._requires if name not in given]
        found += [f"flow {other!r}" for other in self._depends_on.get(flow, ()) if progress(other) is not Progress.DONE]
        return tuple(found)

    def open(self, progress: Callable[[str], Progress], given: Collection[str]) -> dict[str, tuple[int, ...]]:
        """Who may start now, by flow; they are not held any more."""
        found = {}
        for flow in tuple(self._held):
            if not self.waits_for(flow, progress, given):
                found[flow] = tuple(self._held.pop(flow))
        return found

    def hopeless(self, progress: Callable[[str], Progress]) -> tuple[tuple[str, str], ...]:
        """Flows that wait for one that is spoilt, and that one."""
        return tuple(
            (flow, other)
            for flow in self._held
            for other in self._depends_on.get(flow, ())
            if progress(other) is Progress.SPOILT
        )
