"""The snapshot that :meth:`pipert2.Pipe.status` returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, TypeVar

from pipert2.errors import UnknownFlowError, UnknownNameError, UnknownRoutineError, UnknownWireError
from pipert2.runtime.supervision.live_parameters import ParameterChange as ParameterChange
from pipert2.runtime.supervision.live_parameters import ParameterStatus as ParameterStatus


class PipeState(str, Enum):
    """The states of a pipe as a whole."""

    NEW = "new"
    BUILT = "built"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Latency:
    """Half of the recent durations are at most *p50*, 99 % at most *p99*; seconds, to 6 %. None: none were seen."""

    p50: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class TriggerStatus:
    """The trigger of a source.

    Attributes:
        text: what it says, as ``"every 1 h & at least 1000 elf"``.
        fires: runs that have begun since the pipe was built.
        last_fire: when the last one did. next_fire: when the next one may, None if that is not known. Seconds since
            the epoch.
        timed_out: runs that took longer than their ``timeout``.
    """

    text: str
    fires: int
    last_fire: float | None
    next_fire: float | None
    timed_out: int


@dataclass(frozen=True, slots=True)
class RoutineStatus:
    """One routine.

    Attributes:
        name, flow: which.
        kind: ``"source"``, ``"middle"`` or ``"destination"``.
        state: ``"idle"``, ``"starting"``, ``"running"``, ``"stopping"``, ``"failed"`` or ``"killed"``.
        finished: whether its stream has ended.
        received, sent: messages since the pipe was built.
        rate: messages per second of late: sent for sources, else received.
        logic_time: time in ``main_logic``, of late.
        age: how old data is when it arrives, counted from when its source made it; of late.
        errors: exceptions so far. last_error: what the last one said.
        skipped: ticks of a fixed rate or a trigger that were missed, or at which the trigger's conditions did not hold.
        retried: attempts at messages that had failed before.
        duplicates: messages that were done before, by their ``idempotency_key``.
        interrupted: messages in hand when the routine's process died.
        in_hand: messages that it works on now, all its replicas.
        busy_for: seconds that the user's code has been running on the message in hand; 0 when it does not run.
        parameters: its declared parameters.
        dead_letters: messages that it has given up and that are kept; see :meth:`Pipe.dead_letters`.
        trigger: when it runs, if it has a trigger.
    """

    name: str
    flow: str
    kind: str
    state: str
    finished: bool
    received: int
    sent: int
    rate: float
    logic_time: Latency
    age: Latency
    errors: int
    last_error: str | None
    skipped: int
    interrupted: int
    busy_for: float
    parameters: tuple[ParameterStatus, ...] = ()
    duplicates: int = 0
    dead_letters: int = 0
    retried: int = 0
    trigger: TriggerStatus | None = None
    in_hand: int = 0


@dataclass(frozen=True, slots=True)
class WireStatus:
    """One source to one destination.

    Attributes:
        source, destination: names of routines.
        lossless, capacity, transmitter: its rule.
        sent: messages that the source gave to the wire. received: messages handed to the destination. queued: messages
            that wait now.
        dropped: messages that will never arrive: passed by newer ones, not sendable, or gone with a process that died.
        rate: messages received per second, of late.
        filtered: messages that the wire's condition kept from it.
        copied: arrays that arrived as copies because the destination holds too many views.
        blocked_seconds: time the source has spent waiting for room. blocked: whether it waits now.
        unlinked: whether the wire was taken away.
    """

    source: str
    destination: str
    lossless: bool
    capacity: int
    transmitter: str
    sent: int
    received: int
    dropped: int
    queued: int
    rate: float
    copied: int
    blocked_seconds: float
    blocked: bool
    unlinked: bool
    filtered: int = 0


@dataclass(frozen=True, slots=True)
class FlowStatus:
    """One flow's process.

    Attributes:
        name: which.
        state: ``"starting"``, ``"running"``, ``"restarting"``, ``"failed"`` or ``"ended"``.
        pid: its process, None while it has none (or runs inline).
        cpu_percent: of one core, since the last snapshot. rss_bytes: its memory, shared memory it touched included.
        restarts: so far. uptime: seconds since its process started. last_exit: how its last process ended.
        waits_for: what keeps it from starting, such as ``"flow 'first'"`` or ``"parameter 'workload'"``; on a cluster
            also what a flow whose host was lost waits for, ``"a host with 1 GPU"``.
        replica_of: of a further replica of a flow, the flow's name; None: it is the flow, or the first of its replicas.
        host: of a pipe on a cluster, where it is, or was when its host was lost.
    """

    name: str
    state: str
    pid: int | None
    cpu_percent: float
    rss_bytes: int
    restarts: int
    uptime: float
    last_exit: str | None
    waits_for: tuple[str, ...] = ()
    replica_of: str | None = None
    host: str | None = None


@dataclass(frozen=True, slots=True)
class SiteStatus:
    """The part of a pipe that runs on one host of a cluster.

    Attributes:
        name: which. host: where it is, None while it has no host.
        state: ``"starting"``, ``"running"``, ``"silent"`` (it does not answer), ``"restarting"``, ``"lost"`` or
            ``"ended"``. reason: why it does not run.
        pid: its process there, None while it has none.
        restarts: how often it was begun anew, after its process or its host was lost.
        links: its ends of links that do not work just now, each with the reason.
        clock_offset: seconds that its clock is ahead of the driver's. clock_uncertainty: to how many; None: not known.
    """

    name: str
    host: str | None
    state: str
    reason: str | None = None
    pid: int | None = None
    restarts: int = 0
    links: tuple[str, ...] = ()
    clock_offset: float | None = None
    clock_uncertainty: float | None = None


_Named = TypeVar("_Named", RoutineStatus, FlowStatus)


@dataclass(frozen=True, slots=True)
class PipeStatus:
    """A pipe at one moment.

    Attributes:
        name, state: which, and how it is. reason: why it failed.
        time: when (seconds since the epoch).
        shared_memory_bytes: what it holds.
        routines, wires, flows: its parts.
        dead_letters: messages that were given up and are kept, also those of routines that only an earlier run had.
        dead_letters_dropped: more of them that are gone, because there were too many to keep in memory.
        sites: of a pipe on a cluster, its parts on the hosts.
    """

    name: str
    state: PipeState
    reason: str | None
    time: float
    shared_memory_bytes: int
    routines: tuple[RoutineStatus, ...]
    wires: tuple[WireStatus, ...]
    flows: tuple[FlowStatus, ...]
    dead_letters: int = 0
    dead_letters_dropped: int = 0
    sites: tuple[SiteStatus, ...] = ()

    def routine(self, name: str) -> RoutineStatus:
        """The routine of this name.

        Raises:
            UnknownRoutineError: there is none.
        """
        return _find(self.routines, name, UnknownRoutineError)

    def flow(self, name: str) -> FlowStatus:
        """The flow of this name.

        Raises:
            UnknownFlowError: there is none.
        """
        return _find(self.flows, name, UnknownFlowError)

    def wire(self, source: str, destination: str) -> WireStatus:
        """The wire between two routines.

        Raises:
            UnknownWireError: there is none.
        """
        for wire in self.wires:
            if (wire.source, wire.destination) == (source, destination):
                return wire
        raise UnknownWireError(f"{source} -> {destination}", [f"{w.source} -> {w.destination}" for w in self.wires])

    def replicas(self, flow: str) -> int:
        """How many processes a flow has that were not ended; 0 before the pipe is built."""
        return sum((one.replica_of or one.name) == flow for one in self.flows)

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and texts, fit for JSON."""
        plain = asdict(self)
        lists = {name: list(plain[name]) for name in ("routines", "wires", "flows", "sites")}
        for flow in lists["flows"]:
            flow["waits_for"] = list(flow["waits_for"])
        for site in lists["sites"]:
            site["links"] = list(site["links"])
        return {**plain, **lists, "state": self.state.value}


def _find(records: Sequence[_Named], name: str, error: type[UnknownNameError]) -> _Named:
    for record in records:
        if record.name == name:
            return record
    raise error(name, [record.name for record in records])


def _deeds(routine: RoutineStatus) -> str:
    """What a routine did, in a line; what did not happen is left out."""
    parts = [f"received {routine.received}, sent {routine.sent}, errors {routine.errors}"]
    rare = {"retried": routine.retried, "interrupted": routine.interrupted, "duplicates": routine.duplicates}
    parts += [f"{name} {count}" for name, count in rare.items() if count]
    if routine.dead_letters:
        parts.append(f"given up {routine.dead_letters}")
    if routine.logic_time.p50 is not None and routine.logic_time.p99 is not None:
        parts.append(f"{1e3 * routine.logic_time.p50:.3g} ms each, 99 % within {1e3 * routine.logic_time.p99:.3g} ms")
    return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """How a run went.

    Attributes:
        ok: all streams ended, nothing failed for good, and there are no dead letters.
        reason: ``"finished"``, ``"timeout"``, ``"interrupted by SIGINT"``, or a sentence about the failure.
        elapsed: seconds from start to end.
        errors: exceptions in routines; they are in the log, and do not make a run not ok.
        routines, wires, flows: as they were at the end; see :class:`PipeStatus`.
        dead_letters: messages that this run gave up; see :meth:`Pipe.dead_letters`.
        dead_letters_dropped: those of them that were not kept, because there were too many to keep in memory.
    """

    ok: bool
    reason: str
    elapsed: float
    errors: int
    routines: tuple[RoutineStatus, ...]
    wires: tuple[WireStatus, ...]
    flows: tuple[FlowStatus, ...]
    dead_letters: int = 0
    dead_letters_dropped: int = 0

    def __str__(self) -> str:
        lines = [f"{'ok' if self.ok else 'FAILED'} ({self.reason}) after {self.elapsed:.1f} s, {self.errors} errors"]
        lines += [f"  {r.name}: {_deeds(r)}" for r in self.routines]
        lines += [f"  {w.source} -> {w.destination}: dropped {w.dropped}" for w in self.wires if w.dropped]
        if self.dead_letters:
            lost = f", but for the oldest {self.dead_letters_dropped}" if self.dead_letters_dropped else ""
            lines.append(f"  {self.dead_letters} messages were given up, see Pipe.dead_letters(){lost}")
        return "\n".join(lines)
