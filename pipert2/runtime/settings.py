"""How a pipe is to be run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipert2.runtime.clock import Clock, SystemClock
from pipert2.runtime.supervision.dead_letter_shelves import Shelf
from pipert2.runtime.supervision.restart import Restart
from pipert2.store import Store


@dataclass(frozen=True, slots=True)
class Settings:
    """How a pipe is to be run; the meaning of each is told at :class:`pipert2.Pipe`.

    Attributes:
        outward: of a part of a pipe: told of what its routines want of other parts, and whom to tell what came of it.
        letters: of a part of a pipe: where dead letters lie that the pipe's store keeps.
    """

    inline: bool
    restart: Restart
    hang_timeout: float | None
    kill_timeout: float
    start_method: str | None
    store: Store | None = None
    requires: tuple[str, ...] = ()
    drain_timeout: float = 5.0
    replicas: Mapping[str, int] = field(default_factory=dict)
    clock: Clock = field(default_factory=SystemClock)
    outward: Callable[[Any, Callable[[Any], None]], None] | None = None
    letters: Shelf | None = None
