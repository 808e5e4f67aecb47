"""Who runs a pipe's flows, as the pipe sees it: the supervisor of this machine, or the sites of a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Course(Protocol):
    """How far what runs is."""

    @property
    def settled(self) -> str | None:
        """Why nothing more will happen: ``"finished"``, ``"killed"``, or a failure; None while something may."""
        ...

    @property
    def drained(self) -> bool:
        """Whether all streams have ended and everything has arrived."""
        ...

    @property
    def resting(self) -> bool:
        """Whether nothing runs, nor was asked to."""
        ...

    @property
    def given_up(self) -> int:
        """Messages that were given up in this run."""
        ...


class Runner(Protocol):
    """Runs flows until they have ended."""

    @property
    def progress(self) -> Course:
        """How far they are."""
        ...

    @property
    def ended(self) -> bool:
        """Whether all flows have ended for good."""
        ...

    def wait(self, done: Callable[[], Any], timeout: float | None) -> bool:
        """Wait until *done*; False when *timeout* seconds were not enough."""
        ...

    def nudge(self) -> None:
        """Let all waits look again soon. Safe in a signal handler."""
        ...

    def waits_for(self, flow: str) -> tuple[str, ...]:
        """What keeps a flow that was asked to start from starting, in words."""
        ...
