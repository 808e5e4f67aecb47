"""What the supervisor knows about one flow."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipert2.events.bus import EventCall
from pipert2.runtime import messages as m
from pipert2.runtime.supervision.flow_handle import InlineFlow, ProcessFlow
from pipert2.runtime.supervision.unheard import Unheard


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
    waiting: list[EventCall] = field(default_factory=list)  # for its next process, in the order in which they came
    unheard: Unheard = field(default_factory=Unheard)

    @property
    def leaving(self) -> bool:
        """Whether its process is asked to make room for another one, and begins nothing that it is sent now."""
        return self.again and not self.exiting

    @property
    def takes_events(self) -> bool:
        """Whether it has a process that does what it is sent now."""
        return self.handle is not None and self.ready and not self.leaving
