"""What the supervisor knows about one flow."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipert2.events.bus import EventCall
from pipert2.runtime import messages as m
from pipert2.runtime.supervision.flow_handle import InlineFlow, ProcessFlow


@dataclass(slots=True)
class FlowRecord:
    """What the supervisor knows about one flow, over all its lives."""

    name: str
    routines: tuple[int, ...]
    handle: ProcessFlow | InlineFlow | None = None
    ready: bool = False
    exiting: bool = False
    ended: bool = False
    given_up: bool = False
    restart_at: float | None = None
    terminate_at: float | None = None
    kill_at: float | None = None
    deaths: list[float] = field(default_factory=list)
    restarts: int = 0
    last_exit: str | None = None
    boot_failure: m.Died | None = None
    hang: str | None = None
    again: bool = False
    dormant: bool = False  # a replica that there could be
    revived: bool = False
    waiting: list[EventCall] = field(default_factory=list)
