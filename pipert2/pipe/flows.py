"""What can be done to the flows of a running pipe."""

from __future__ import annotations

from pipert2.errors import UnknownFlowError
from pipert2.pipe.base import PipeBase


class FlowVerbs(PipeBase):
    """Replicas and restarts."""

    def set_replicas(self, flow_name: str, replicas: int) -> None:
        """Change how many processes of a flow compete for its input, while the pipe runs.

        Processes that go end the message in hand; what they had not begun goes to the others. A flow may come to have
        16 replicas, or twice as many as it was made with.

        Args:
            flow_name: a flow that was made with ``create_flow(..., replicas=...)``.
            replicas: 1 or more.

        Raises:
            UnknownFlowError: there is no such flow.
            ValueError: *replicas* is not 1 or more.
            PipeStateError: the pipe is inline, not built or has ended, or the flow cannot have so many.
        """
        if flow_name not in self.blueprint.flows:
            raise UnknownFlowError(flow_name, tuple(self.blueprint.flows), f"pipe {self.name!r}")
        if isinstance(replicas, bool) or not isinstance(replicas, int) or replicas < 1:
            raise ValueError(f"set_replicas({flow_name!r}, ...) takes a number, 1 or more, not {replicas!r}")
        self._running("set_replicas").replicas.set(flow_name, replicas)

    def restart_flow(self, flow_name: str) -> int:
        """End a flow's process and start a new one, with its routines in the state they were asked to be in.

        Its routines clean up before; a flow that died too often and was given up is brought back as well. What waits on
        wires from other flows is kept, what waits on wires within the flow is not, and counted.

        Returns:
            How often it was restarted before.

        Raises:
            UnknownFlowError: there is no such flow.
            PipeStateError: the pipe is inline, not built or has ended, or the flow was killed.
        """
        if flow_name not in self.blueprint.flows:
            raise UnknownFlowError(flow_name, tuple(self.blueprint.flows), f"pipe {self.name!r}")
        return self._running("restart_flow").lives.replace(flow_name)
