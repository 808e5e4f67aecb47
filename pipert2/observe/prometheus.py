"""Metrics for Prometheus: what a pipe's status and histograms say at the moment they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from pipert2.observe.snapshot import FlowStatus, PipeState, PipeStatus, RoutineStatus, WireStatus
from pipert2.runtime.routine.histogram import Histogram
from pipert2.transport.board import RoutineState

_ROUTINE = ("pipe", "flow", "routine")
_WIRE = ("pipe", "source", "destination")
_FLOW = ("pipe", "flow")

_ROUTINE_STATES = tuple(state.name.lower() for state in RoutineState)
_FLOW_STATES = ("starting", "running", "restarting", "failed", "ended")

_BUCKETS_A_DOUBLING = 8
_FIRST_BITS, _LAST_BITS = 14, 34
"""Of the histograms' buckets, those that end at 2**14 ns (16 us) to 2**34 ns (17 s) are shown: they are exact."""


class Measured(Protocol):
    """What is measured: a :class:`pipert2.Pipe`."""

    def status(self) -> PipeStatus: ...
    def histograms(self) -> Mapping[str, tuple[Histogram, Histogram]]: ...


class PipeCollector(Collector):
    """Makes the metrics of one pipe when somebody asks for them; nothing is counted twice, nothing is kept.

    Args:
        pipe: the pipe, built or not.
    """

    def __init__(self, pipe: Measured) -> None:
        self._pipe = pipe

    def describe(self) -> Iterator[Metric]:
        """Nothing: the metrics' names are known only when they are collected, and the registry is this pipe's own."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        status = self._pipe.status()
        yield from _pipe(status)
        yield from _routines(status.name, status.routines)
        yield from _wires(status.name, status.wires)
        yield from _flows(status.name, status.flows)
        yield from _histograms(status, self._pipe.histograms())


class Metrics:
    """The page that Prometheus reads, in the format that it asks for.

    Args:
        pipe: the pipe, built or not.
    """

    def __init__(self, pipe: Measured) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(PipeCollector(pipe))

    def page(self, accept: str = "") -> tuple[bytes, str]:
        """The page and its content type.

        Args:
            accept: the request's ``Accept`` header.
        """
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


def _pipe(status: PipeStatus) -> Iterator[Metric]:
    info = InfoMetricFamily("pipert2", "The pipe and the version of pipert2 that runs it.", labels=("pipe",))
    info.add_metric((status.name,), {"version": version("pipert2")})
    yield info
    family = _Family("pipert2_", ("pipe",))
    at = (status.name,)
    family.gauge("shared_memory_bytes", "Shared memory that the pipe holds.", at, status.shared_memory_bytes)
    text = "Dead letters that were dropped because there were too many to keep in memory."
    family.counter("dead_letters_dropped", text, at, status.dead_letters_dropped)
    yield from family
    yield from _states("pipert2_pipe_state", ("pipe",), [(at, status.state.value)], [one.value for one in PipeState])


class _Family:
    """Metrics with the same labels, filled record by record."""

    def __init__(self, prefix: str, labels: tuple[str, ...]) -> None:
        self._prefix = prefix
        self._labels = labels
        self._metrics: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}

    def counter(self, name: str, text: str, labels: tuple[str, ...], value: float) -> None:
        """A value that only grows; ``_total`` comes behind its name."""
        metric = self._metrics.get(name)
        if metric is None:
            metric = self._metrics[name] = CounterMetricFamily(self._prefix + name, text, labels=self._labels)
        metric.add_metric(labels, value)

    def gauge(self, name: str, text: str, labels: tuple[str, ...], value: float) -> None:
        """A value that goes up and down."""
        metric = self._metrics.get(name)
        if metric is None:
            metric = self._metrics[name] = GaugeMetricFamily(self._prefix + name, text, labels=self._labels)
        metric.add_metric(labels, value)

    def __iter__(self) -> Iterator[Metric]:
        return iter(self._metrics.values())


def _routines(pipe: str, routines: tuple[RoutineStatus, ...]) -> Iterator[Metric]:
    family = _Family("pipert2_routine_", _ROUTINE)
    states: list[tuple[tuple[str, ...], str]] = []
    for one in routines:
        at = (pipe, one.flow, one.name)
        states.append((at, one.state))
        family.counter("received", "Messages that the routine was given.", at, one.received)
        family.counter("sent", "Results that the routine sent.", at, one.sent)
        family.counter("errors", "Exceptions in the routine's code.", at, one.errors)
        family.counter("skipped", "Ticks of a fixed rate that were missed.", at, one.skipped)
        text = "Messages that were done before, by their idempotency key."
        family.counter("duplicates", text, at, one.duplicates)
        family.counter("interrupted", "Messages in hand when the routine's process died.", at, one.interrupted)
        family.counter("retried", "Attempts at messages that had failed before.", at, one.retried)
        family.gauge("in_hand", "Messages that the routine works on now.", at, one.in_hand)
        family.gauge("messages_per_second", "Messages a second of late: sent by sources, else received.", at, one.rate)
        family.gauge("busy_seconds", "For how long the routine's code works on the message in hand.", at, one.busy_for)
        family.gauge("finished", "1 if the routine's stream has ended.", at, one.finished)
    yield from family
    yield from _dead_letters(pipe, routines)
    yield from _states("pipert2_routine_state", _ROUTINE, states, _ROUTINE_STATES)


def _dead_letters(pipe: str, routines: tuple[RoutineStatus, ...]) -> Iterator[Metric]:
    family = _Family("pipert2_", _ROUTINE)
    for one in routines:
        text = "Messages that the routine has given up and that are kept."
        family.gauge("dead_letters", text, (pipe, one.flow, one.name), one.dead_letters)
    yield from family


def _wires(pipe: str, wires: tuple[WireStatus, ...]) -> Iterator[Metric]:
    family = _Family("pipert2_wire_", _WIRE)
    for one in wires:
        at = (pipe, one.source, one.destination)
        family.counter("sent", "Messages that the source gave to the wire.", at, one.sent)
        family.counter("received", "Messages handed to the destination.", at, one.received)
        family.counter("dropped", "Messages that will never arrive.", at, one.dropped)
        family.counter("filtered", "Messages that the wire's condition kept from it.", at, one.filtered)
        family.counter("copied", "Arrays that arrived as copies: too many views are held.", at, one.copied)
        family.counter("blocked_seconds", "Time that the source waited for room.", at, one.blocked_seconds)
        family.gauge("queued_messages", "Messages that wait now.", at, one.queued)
        family.gauge("capacity_messages", "Messages that may wait.", at, one.capacity)
        family.gauge("messages_per_second", "Messages received a second, of late.", at, one.rate)
        family.gauge("blocked", "1 if the source waits for room now.", at, one.blocked)
        family.gauge("unlinked", "1 if the wire was taken away.", at, one.unlinked)
    yield from family


def _flows(pipe: str, flows: tuple[FlowStatus, ...]) -> Iterator[Metric]:
    family = _Family("pipert2_flow_", _FLOW)
    states: list[tuple[tuple[str, ...], str]] = []
    for one in flows:
        at = (pipe, one.name)
        states.append((at, one.state))
        family.counter("restarts", "How often the flow's process was started again.", at, one.restarts)
        family.gauge("up", "1 if the flow's process runs.", at, one.state == "running")
        family.gauge("cpu_ratio", "Share of one core that the process uses, 1 is all of it.", at, one.cpu_percent / 100)
        family.gauge("resident_memory_bytes", "Memory of the process, shared memory included.", at, one.rss_bytes)
        family.gauge("uptime_seconds", "Time since the process started.", at, one.uptime)
        family.gauge("waits", "What the flow waits for before it starts, 0 if it may.", at, len(one.waits_for))
        if one.replica_of is None:
            count = sum((other.replica_of or other.name) == one.name for other in flows)
            family.gauge("replicas", "Processes of the flow.", at, count)
    yield from family
    yield from _states("pipert2_flow_state", _FLOW, states, _FLOW_STATES)


def _states(
    name: str, labels: tuple[str, ...], found: Sequence[tuple[tuple[str, ...], str]], known: Sequence[str]
) -> Iterator[Metric]:
    """A gauge for each state that something can be in, 1 for the one it is in."""
    family = GaugeMetricFamily(name, "1 for the state that it is in, 0 for the others.", labels=(*labels, "state"))
    for at, now in found:
        for state in known:
            family.add_metric((*at, state), state == now)
    if found:
        yield family


def _histograms(status: PipeStatus, histograms: Mapping[str, tuple[Histogram, Histogram]]) -> Iterator[Metric]:
    sampled = "Of fast routines every so-maniest message is measured."
    logic = HistogramMetricFamily(
        "pipert2_routine_logic_seconds", f"Time in main_logic for one message. {sampled}", labels=_ROUTINE
    )
    age = HistogramMetricFamily(
        "pipert2_routine_age_seconds", f"How old a message is when the routine gets it. {sampled}", labels=_ROUTINE
    )
    for one in status.routines:
        for family, histogram in zip((logic, age), histograms.get(one.name, ()), strict=False):
            buckets, total = _buckets(histogram)
            family.add_metric((status.name, one.flow, one.name), buckets, total)
    yield from (family for family in (logic, age) if family.samples)


def _buckets(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    """Prometheus' cumulative buckets, one to a doubling, and the sum in seconds."""
    found: list[tuple[str, float]] = []
    for bits in range(_FIRST_BITS, _LAST_BITS + 1):
        end = (bits - _HISTOGRAM_BITS + 1) * _BUCKETS_A_DOUBLING
        found.append((repr((1 << bits) / 1e9), float(sum(histogram.counts[:end]))))
    found.append(("+Inf", float(sum(histogram.counts))))
    return found, histogram.total / 1e9


_HISTOGRAM_BITS = 10
"""The first eight buckets of a routine's histogram end at 2**10 ns."""
