"""What is around a routine's loop: what it needs of its flow, what is asked of it, and how its sessions end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pipert2.graph.spec import EdgeSpec, PipeSpec
from pipert2.runtime.clock import Clock
from pipert2.runtime.flow.event_loop import EventLoop
from pipert2.runtime.messages import DeadLetter
from pipert2.runtime.routine.preview import Side, Tap
from pipert2.store import Store
from pipert2.transport.board import RoutineState
from pipert2.transport.local import LocalEdge
from pipert2.transport.ring import RingReceiver, RingSender
from pipert2.transport.work_ends import Delivery, WorkReceiver, WorkSender
from pipert2.transport.work_queue import WorkQueue

if TYPE_CHECKING:
    from pipert2.runtime.routine.loop import RoutineLoop

Receiver = RingReceiver | LocalEdge | WorkReceiver


class Command(NamedTuple):
    """An event for this routine.

    Attributes:
        number: 0 when nobody waits for the answer.
        place: among those that the process is sent, 0: nobody asks whether it was begun.
    """

    number: int
    name: str
    params: dict[str, Any]
    place: int = 0


class Host(Protocol):
    """What a routine's loop needs of the flow around it."""

    store: Store | None
    parameters: Mapping[str, Any]
    clock: Clock
    run: str

    def configured(self, routine: int, values: Mapping[str, Any]) -> None: ...

    def answer(self, number: int, routine: int, value: Any, error: tuple[str, str] | None) -> None: ...

    def state_changed(self, routine: int, state: RoutineState, finished: bool, reason: str) -> None: ...

    def parameter_set(self, routine: int, name: str, value: Any) -> None: ...

    def announce(self, name: str, values: Mapping[str, Any]) -> None: ...

    def tap(self, routine: str, side: Side, rate: float, size: int) -> Tap: ...

    def event_loop(self) -> EventLoop: ...

    def give_back(self, routine: int) -> None: ...

    def return_message(self, delivery: Delivery, *, again: bool) -> None: ...

    def open_account(self, ledger: WorkQueue, routine: int) -> Delivery: ...

    def return_result(self, source: int, origin: int, value: Any) -> None: ...

    def keep_dead_letter(self, letter: DeadLetter) -> bool: ...

    def learn(self, spec: PipeSpec) -> None: ...

    def receiver(self, edge: EdgeSpec, routine: int) -> Receiver: ...

    def sender(self, edge: EdgeSpec, loop: RoutineLoop) -> RingSender | LocalEdge | WorkSender: ...

    def call(self, caller: int | None, routine: str, data: Any, timeout: float) -> Any: ...

    def notify_event(
        self,
        sender: int | None,
        name: str,
        targets: Mapping[str, Sequence[str]] | None,
        wait: float | None,
        params: dict[str, Any],
    ) -> Any: ...


class End(Enum):
    """How a session ended: by stop, by kill, with the end of the stream, or because another process takes over."""

    STOPPED = "stopped"
    KILLED = "killed"
    FINISHED = "finished"
    LEFT = "left"
