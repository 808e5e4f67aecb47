"""Reads the board and makes snapshots of it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipert2.graph.spec import EdgeSpec, PipeSpec
from pipert2.observe.snapshot import (
    FlowStatus,
    Latency,
    PipeState,
    PipeStatus,
    RoutineStatus,
    TriggerStatus,
    WireStatus,
)
from pipert2.observe.usage import Usage
from pipert2.runtime.routine.histogram import Histogram, quantile
from pipert2.runtime.supervision.flow_record import FlowRecord
from pipert2.runtime.supervision.supervisor import Supervisor
from pipert2.transport import board as b
from pipert2.transport import work_table as w
from pipert2.transport.board import RoutineState

WINDOW = 5.0
"""Rates and latencies "of late" are those of about the last so many seconds."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """The counters at one moment."""

    time: float
    sent: tuple[int, ...]
    received: tuple[int, ...]
    logic: tuple[tuple[int, ...], ...]
    age: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class _Counts:
    """What became of the messages of one wire, but for those discarded before they came into it."""

    sent: int
    received: int
    dropped: int
    queued: int


class Monitor:
    """Makes the snapshots of one pipe; remembers a few seconds of counters to tell rates from."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._board = supervisor.board
        self._lock = threading.Lock()
        self._samples: deque[_Sample] = deque()
        self._usage = Usage()
        self.tick()

    def tick(self) -> None:
        """Remember the counters; to be called about once a second."""
        with self._lock:
            sample = self._sample()
            self._samples.append(sample)
            while len(self._samples) > 2 and sample.time - self._samples[1].time >= WINDOW:
                self._samples.popleft()

    def _sample(self) -> _Sample:
        words, board, spec = self._board.words, self._board, self._supervisor.spec
        rows = [board.routine(routine.index) for routine in spec.routines]
        span = b.HISTOGRAM_BUCKETS
        return _Sample(
            time.monotonic(),
            tuple(words[row + b.SENT] for row in rows),
            tuple(self._received(edge) for edge in spec.edges),
            tuple(tuple(words[row + b.LOGIC + 2 : row + b.LOGIC + 2 + span]) for row in rows),
            tuple(tuple(words[row + b.AGE + 2 : row + b.AGE + 2 + span]) for row in rows),
        )

    def _received(self, edge: EdgeSpec) -> int:
        if edge.shared:
            words = self._supervisor.memory.queues.get(edge.index).table.words
            return int(words[w.TAKEN] - words[w.AGAIN])
        return int(self._board.words[self._board.edge(edge.index) + b.RECEIVED])

    def histograms(self) -> dict[str, tuple[Histogram, Histogram]]:
        """By routine, the time in its logic and the age of its data, since the pipe was built."""
        spec = self._supervisor.spec
        return {
            routine.name: (
                self._histogram(spec.members(routine.index), b.LOGIC),
                self._histogram(spec.members(routine.index), b.AGE),
            )
            for routine in spec.routines
            if not routine.replica
        }

    def _histogram(self, members: Sequence[int], start: int) -> Histogram:
        words, board = self._board.words, self._board
        rows = [board.routine(member) + start for member in members]
        counts = [tuple(words[row + 2 : row + 2 + b.HISTOGRAM_BUCKETS]) for row in rows]
        return Histogram(_sums(counts, range(len(counts))), sum(words[row + 1] for row in rows))

    def snapshot(self, state: PipeState, reason: str | None) -> PipeStatus:
        """The pipe as it is now."""
        with self._lock:
            now, at = self._sample(), time.time()
            before = self._samples[0]
            before = _padded(before, now)
            spec = self._supervisor.spec
            letters = self._supervisor.dead_letters.counts()
            routines = tuple(
                self._routine(spec, routine.index, before, now, letters.get(routine.name, 0))
                for routine in spec.routines
                if not routine.replica
            )
            wires = _one_each(
                [
                    self._wire(spec, index, before, now)
                    for index in range(len(now.received))
                    if not spec.edges[index].ledger
                ]
            )
            flows = tuple(self._flow(flow) for flow in self._supervisor.flows.values() if not flow.dormant)
        size = self._supervisor.memory.size
        dead, dropped = sum(letters.values()), self._supervisor.dead_letters.dropped
        return PipeStatus(spec.name, state, reason, at, size, routines, wires, flows, dead, dropped)

    def _routine(self, pipe: PipeSpec, index: int, before: _Sample, now: _Sample, dead_letters: int) -> RoutineStatus:
        """A routine, all its replicas taken together: counts are summed, and the most remarkable state is shown."""
        spec = pipe.routines[index]
        members = [member for member in pipe.members(index) if self._supervisor.replicas.is_present(member)]
        words, rows = self._board.words, [self._board.routine(member) for member in members]
        inputs = {edge.index for member in members for edge in pipe.inputs(member) if edge.index < len(now.received)}
        received = sum(now.received[edge] for edge in inputs)
        sent = sum(now.sent[member] for member in members)
        if inputs:
            fresh = received - sum(before.received[edge] for edge in inputs)
        else:
            fresh = sent - sum(before.sent[member] for member in members)
        busy = [since for row in rows if (since := words[row + b.BUSY_SINCE])]
        fed = [row for row in rows if inputs and words[row + b.STATE] == RoutineState.RUNNING]
        states = {RoutineState(words[row + b.STATE]) for row in rows}
        errors = [error for member in members if (error := self._board.read_error(member)) is not None]
        return RoutineStatus(
            name=spec.name,
            flow=spec.flow,
            kind=spec.kind.value,
            state=next(state for state in _REMARKABLE if state in states).name.lower(),
            finished=all(words[row + b.FINISHED] for row in rows),
            received=received,
            sent=sent,
            rate=_per_second(fresh, before, now),
            logic_time=_latency(_sums(before.logic, members), _sums(now.logic, members)),
            age=_latency(_sums(before.age, members), _sums(now.age, members)),
            errors=sum(words[row + b.ERRORS] for row in rows),
            last_error=errors[-1] if errors else None,
            skipped=sum(words[row + b.SKIPPED] for row in rows),
            retried=sum(words[row + b.RETRIED] for row in rows),
            duplicates=sum(words[row + b.DUPLICATES] for row in rows),
            interrupted=sum(words[row + b.INTERRUPTED] for row in rows),
            busy_for=max(0.0, (time.monotonic_ns() - min(busy)) / 1e9) if busy else 0.0,
            in_hand=sum(max(words[row + b.IN_HAND], 1 if words[row + b.BUSY_SINCE] else 0) for row in fed),
            parameters=self._supervisor.live_parameters(index).status(),
            dead_letters=dead_letters,
            trigger=self._trigger(spec.name, rows),
        )

    def _trigger(self, name: str, rows: Sequence[int]) -> TriggerStatus | None:
        trigger, words = self._supervisor.configurations.trigger(name), self._board.words
        if trigger is None:
            return None
        last = max(words[row + b.LAST_FIRE] for row in rows)
        following = [at for row in rows if (at := words[row + b.NEXT_FIRE])]
        return TriggerStatus(
            str(trigger),
            sum(words[row + b.FIRES] for row in rows),
            last / 1e9 if last else None,
            min(following) / 1e9 if following else None,
            sum(words[row + b.TIMED_OUT] for row in rows),
        )

    def _wire(self, pipe: PipeSpec, index: int, before: _Sample, now: _Sample) -> WireStatus:
        edge = pipe.edges[index]
        words, row = self._board.words, self._board.edge(index)
        counts = self._queue(edge, now) if edge.shared else self._ring(edge)
        discarded = words[row + b.DISCARDED]
        since = words[row + b.BLOCKED_SINCE]
        blocked_ns = words[row + b.BLOCKED_NS] + (time.monotonic_ns() - since if since else 0)
        return WireStatus(
            source=pipe.routines[edge.source].name,
            destination=pipe.routines[edge.destination].name,
            lossless=edge.lossless,
            capacity=edge.capacity,
            transmitter=repr(edge.transmitter),
            sent=counts.sent + discarded,
            received=counts.received,
            dropped=counts.dropped + discarded,
            queued=counts.queued,
            rate=_per_second(now.received[index] - before.received[index], before, now),
            copied=words[row + b.COPIED],
            blocked_seconds=max(0, blocked_ns) / 1e9,
            blocked=bool(since),
            unlinked=bool(words[row + b.CLOSED]),
            filtered=words[row + b.FILTERED],
        )

    def _ring(self, edge: EdgeSpec) -> _Counts:
        """A wire whose messages lie in a ring."""
        words, row = self._board.words, self._board.edge(edge.index)
        for _ in range(10):  # these words belong together; look again if the receiver took a message meanwhile
            taken = words[row + b.R]
            received, dropped, lost = words[row + b.RECEIVED], words[row + b.DROPPED], words[row + b.LOST]
            sent = max(taken, words[row + b.W])  # within a flow it is counted after it can be taken
            if taken == words[row + b.R] == received + dropped + lost:
                break
        uncounted = taken - received - dropped - lost
        if uncounted > 0:  # its receiver was interrupted in the midst of taking one
            received, dropped = received + 1, dropped + uncounted - 1
        passed = 0 if edge.lossless else max(0, sent - taken - edge.capacity)
        return _Counts(sent, received, dropped + passed + lost, sent - taken - passed)

    def _queue(self, edge: EdgeSpec, now: _Sample) -> _Counts:
        """A wire whose messages lie in a queue."""
        table = self._supervisor.memory.queues.get(edge.index).table
        return _Counts(table.words[w.PUT], now.received[edge.index], table.words[w.DROPPED], table.waiting)

    def _flow(self, flow: FlowRecord) -> FlowStatus:
        handle = flow.handle
        first = self._supervisor.spec.routines[flow.routines[0]]
        pid = handle.pid if handle is not None else None
        cpu, rss = self._usage.of(pid) if pid is not None else (0.0, 0)
        if flow.given_up:
            state = "failed"
        elif flow.ended:
            state = "ended"
        elif flow.ready:
            state = "running"
        else:
            state = "restarting" if flow.deaths or flow.restarts or flow.again else "starting"
        return FlowStatus(
            name=flow.name,
            state=state,
            pid=pid,
            cpu_percent=cpu,
            rss_bytes=rss,
            restarts=flow.restarts,
            uptime=time.monotonic() - handle.started if handle is not None and handle.started else 0.0,
            last_exit=flow.last_exit,
            waits_for=self._supervisor.waits_for(first.flow),
            replica_of=first.flow if first.replica else None,
        )


def _padded(before: _Sample, now: _Sample) -> _Sample:
    """A sample with what came since, of which nothing was counted then."""
    wires, routines = len(now.received) - len(before.received), len(now.sent) - len(before.sent)
    nothing = ((0,) * b.HISTOGRAM_BUCKETS,) * routines
    return replace(
        before,
        received=before.received + (0,) * wires,
        sent=before.sent + (0,) * routines,
        logic=before.logic + nothing,
        age=before.age + nothing,
    )


def _one_each(wires: Sequence[WireStatus]) -> tuple[WireStatus, ...]:
    """One status for each source and destination: a wire that came back with another rule goes on counting."""
    lives: dict[tuple[str, str], list[WireStatus]] = {}
    for wire in wires:
        lives.setdefault((wire.source, wire.destination), []).append(wire)
    return tuple(_one(found) if len(found) > 1 else found[0] for found in lives.values())


def _one(lives: Sequence[WireStatus]) -> WireStatus:
    now = next((wire for wire in lives if not wire.unlinked), lives[-1])
    return replace(
        now,
        sent=sum(wire.sent for wire in lives),
        received=sum(wire.received for wire in lives),
        dropped=sum(wire.dropped for wire in lives),
        queued=sum(wire.queued for wire in lives),
        rate=sum(wire.rate for wire in lives),
        copied=sum(wire.copied for wire in lives),
        filtered=sum(wire.filtered for wire in lives),
        blocked_seconds=sum(wire.blocked_seconds for wire in lives),
    )


_REMARKABLE = (
    RoutineState.FAILED,
    RoutineState.RUNNING,
    RoutineState.STARTING,
    RoutineState.STOPPING,
    RoutineState.IDLE,
    RoutineState.KILLED,
)


def _sums(histograms: Sequence[tuple[int, ...]], members: Sequence[int]) -> tuple[int, ...]:
    if len(members) == 1:
        return histograms[members[0]]
    return tuple(map(sum, zip(*(histograms[member] for member in members), strict=True)))


def _per_second(count: int, before: _Sample, now: _Sample) -> float:
    elapsed = now.time - before.time
    return max(0, count) / elapsed if elapsed > 0 else 0.0


def _latency(before: tuple[int, ...], now: tuple[int, ...]) -> Latency:
    """Of what was counted in between; of all there ever was if that is nothing."""
    recent = [new - old for new, old in zip(now, before, strict=True)]
    counts = recent if any(recent) else now
    p50, p99 = quantile(counts, 0.50), quantile(counts, 0.99)
    return Latency(None if p50 is None else p50 / 1e9, None if p99 is None else p99 / 1e9)
