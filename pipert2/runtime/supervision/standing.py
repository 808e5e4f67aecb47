"""What routines were told for good: levels and previews, which each later process of theirs is told as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipert2.events.bus import EventCall
from pipert2.runtime import commands
from pipert2.runtime.routine.preview import PreviewFrame
from pipert2.runtime.supervision.flow_record import FlowRecord

if TYPE_CHECKING:
    from pipert2.runtime.supervision.supervisor import Supervisor


class StandingOrders:
    """Keeps what holds until it is taken back.

    Attributes:
        previews: the newest pictures, by routine and side.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._standing: dict[tuple[int, str, str], dict[str, Any]] = {}
        self.previews: dict[tuple[str, str], PreviewFrame] = {}

    def tell(self, name: str, routine: int, key: str, params: dict[str, Any]) -> None:
        """Send a command of our own to a routine now, all of its replicas, and to each later process of theirs."""
        supervisor = self._supervisor
        members = supervisor.spec.members(routine)
        with supervisor.lock:
            self._standing.update({(member, name, key): params for member in members})
            if name == commands.PREVIEW and not params["on"]:
                self.previews.pop((supervisor.spec.routines[routine].name, key), None)
        supervisor.bus.send(name, [supervisor.spec.routines[member] for member in members], params)

    def tell_again(self, flow: FlowRecord) -> None:
        """Tell a flow's new process what its earlier one knew."""
        assert flow.handle is not None
        for (routine, name, _), params in self._standing.items():
            if (flow.restarts or flow.revived) and routine in flow.routines:
                flow.handle.send(EventCall(0, name, (routine,), params))

    def keep_preview(self, frame: PreviewFrame) -> None:
        """Keep a picture for those who ask for it."""
        supervisor = self._supervisor
        spec = supervisor.spec.routine(frame.routine)
        key = (spec.index if spec is not None else -1, commands.PREVIEW, frame.side)
        with supervisor.lock:
            if self._standing.get(key, {}).get("on"):
                self.previews[(frame.routine, frame.side)] = frame
