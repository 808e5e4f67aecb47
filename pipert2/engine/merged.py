"""One status for a pipe of several sites: what each tells, put together under the names that the user gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipert2.engine.placement import DRIVER
from pipert2.engine.site_links import LATE
from pipert2.engine.site_pipe import LINK_FLOW
from pipert2.engine.site_words import SiteReport
from pipert2.graph.spec import process_name
from pipert2.graph.wire import Wire
from pipert2.observe.snapshot import (
    FlowStatus,
    Latency,
    PipeState,
    PipeStatus,
    RoutineStatus,
    SiteStatus,
    WireStatus,
)
from pipert2.runtime.routine.histogram import Histogram
from pipert2.runtime.supervision.dead_letter_results import DeadLetterStatus

if TYPE_CHECKING:
    from pipert2.engine.cluster import Cluster
    from pipert2.pipe import Pipe

_REMARKABLE = ("failed", "running", "starting", "stopping", "idle", "killed")


def merged_status(cluster: Cluster, pipe: Pipe, found: Mapping[str, Any]) -> PipeStatus:
    """The whole pipe, of what each site told; sites that did not tell are named, their routines shown as idle."""
    reports: dict[str, SiteReport] = {site: one for site, one in found.items() if isinstance(one, SiteReport)}
    told = {site: one.status for site, one in reports.items()}
    routines = tuple(_routine(cluster, pipe, name, told) for name in pipe.flow_names)
    wires = tuple(_wire(cluster, wire, reports) for wire in pipe.wires)
    flows = [flow for site in cluster.sites.records for flow in _flows(cluster, site, told.get(site))]
    order = {flow: number for number, flow in enumerate(pipe.blueprint.flows)}
    flows.sort(key=lambda flow: order.get(flow.replica_of or flow.name, len(order)))
    return PipeStatus(
        pipe.name,
        PipeState.BUILT,
        None,
        0.0,
        sum(one.shared_memory_bytes for one in told.values()),
        routines,
        wires,
        tuple(flows),
        sum(one.dead_letters for one in told.values()),
        dead_letters_dropped=sum(one.dead_letters_dropped for one in told.values()),
        sites=tuple(_site(cluster, site, reports) for site in cluster.sites.records),
    )


def _routine(cluster: Cluster, pipe: Pipe, name: str, told: Mapping[str, PipeStatus]) -> RoutineStatus:
    there = [told[site].routine(name) for site in cluster.sites_of(name) if site in told]
    if not there:
        kind = next(spec.kind.value for spec in pipe.blueprint.spec(lambda count: count).routines if spec.name == name)
        nothing = Latency(None, None)
        where = ", ".join(cluster.sites_of(name))
        error = f"its host is not there ({where})"
        return RoutineStatus(
            name, pipe.flow_names[name], kind, "idle", False, 0, 0, 0.0, nothing, nothing, 0, error, 0, 0, 0.0
        )
    if len(cluster.sites_of(name)) == 1:
        return there[0]
    first = there[0]
    handed_on = [wire for site in told for wire in _handed_on(cluster, site, name, told[site])]
    knowing = [told[site].routine(name) for site in cluster.sites_with(name) if site in told]
    return replace(
        first,
        state=min((one.state for one in there), key=_REMARKABLE.index),
        finished=all(one.finished for one in there),
        received=sum(one.received for one in knowing) - sum(wire.received for wire in handed_on),
        sent=sum(one.sent for one in there),
        rate=max(0.0, sum(one.rate for one in knowing) - sum(wire.rate for wire in handed_on)),
        logic_time=_slowest([one.logic_time for one in there]),
        age=_slowest([one.age for one in there]),
        errors=sum(one.errors for one in there),
        last_error=next((one.last_error for one in there if one.last_error is not None), None),
        skipped=sum(one.skipped for one in there),
        interrupted=sum(one.interrupted for one in there),
        duplicates=sum(one.duplicates for one in there),
        dead_letters=sum(one.dead_letters for one in there),
        retried=sum(one.retried for one in there),
        busy_for=max(one.busy_for for one in there),
    )


def _handed_on(cluster: Cluster, site: str, routine: str, told: PipeStatus) -> list[WireStatus]:
    """On what a routine gets at a site what another one has handed out, and counted."""
    ends = {link.ingress for link in cluster.fragments[site].ingresses if link.credit is not None}
    return [wire for wire in told.wires if wire.destination == routine and wire.source in ends]


def _slowest(latencies: Sequence[Latency]) -> Latency:
    return Latency(
        max((one.p50 for one in latencies if one.p50 is not None), default=None),
        max((one.p99 for one in latencies if one.p99 is not None), default=None),
    )


def _wire(cluster: Cluster, wire: Wire, reports: Mapping[str, SiteReport]) -> WireStatus:
    """A wire of the user's: what went in where it begins, what came out where it ends, what was lost on the way."""
    source, destination = wire.source.name, wire.destinations[0].name
    gaps = 0
    parts: list[WireStatus] = []
    begins: list[WireStatus] = []
    ends: list[WireStatus] = []
    for site, fragment in cluster.fragments.items():
        for trace in fragment.traces:
            if (trace.source, trace.destination) == (source, destination) and site in reports:
                found = reports[site].status.wires
                part = next((one for one in found if (one.source, one.destination) == trace.here), None)
                gaps += int(reports[site].links.get(trace.here[0], {}).get("gap", 0))
                if part is not None:
                    parts.append(part)
                if part is not None and trace.begins:
                    begins.append(part)
                if part is not None and trace.ends:
                    ends.append(part)
    return WireStatus(
        source=source,
        destination=destination,
        lossless=bool(wire.lossless),
        capacity=wire.capacity or 0,
        transmitter=repr(wire.data_transmitter),
        sent=sum(part.sent for part in begins),
        received=sum(part.received for part in ends),
        dropped=sum(part.dropped for part in parts) + gaps,
        queued=sum(part.queued for part in parts),
        rate=sum(part.rate for part in ends),
        copied=sum(part.copied for part in ends),
        blocked_seconds=max((part.blocked_seconds for part in begins), default=0.0),
        blocked=any(part.blocked for part in begins),
        unlinked=bool(parts) and all(part.unlinked for part in parts),
        filtered=sum(part.filtered for part in parts),
    )


def _flows(cluster: Cluster, site: str, told: PipeStatus | None) -> list[FlowStatus]:
    """The user's flows at a site, with their host."""
    record = cluster.sites.records[site]
    if told is None:
        state = "failed" if record.lost else "ended" if record.killed else "restarting"
        waits_for = () if record.waits_for is None else (record.waits_for,)
        return [
            FlowStatus(
                process_name(plan.name, plan.first + number), state, None, 0.0, 0, record.restarts, 0.0, record.reason,
                waits_for, replica_of=plan.name if plan.first + number else None, host=record.host,
            )
            for plan in cluster.fragments[site].flows
            for number in range(plan.own)
        ]  # fmt: skip
    found = []
    for flow in told.flows:
        label = cluster.label_of(site, flow.name)
        if label is not None:
            base = flow.replica_of or flow.name
            found.append(replace(flow, name=label, replica_of=base if label != base else None, host=record.host))
    return found


def _site(cluster: Cluster, site: str, reports: Mapping[str, SiteReport]) -> SiteStatus:
    record = cluster.sites.records[site]
    report = reports.get(site)
    told = None if report is None else report.status
    if record.lost:
        state = "lost"
    elif record.killed:
        state = "ended"
    elif record.progress is None:
        state = "restarting" if record.reason is not None or record.restarts else "starting"
    elif report is None:
        state = "silent"
    else:
        state = "ended" if record.progress.ended else "running"
    links = [
        f"{flow.name.removeprefix(LINK_FLOW)}: {flow.state} ({flow.last_exit})"
        for flow in (told.flows if told is not None else ())
        if flow.name.startswith(LINK_FLOW) and flow.state not in ("running", "ended")
    ]
    return SiteStatus(
        name=site,
        host=record.host,
        state=state,
        reason=record.why,
        pid=record.pid,
        restarts=record.restarts,
        links=(*links, *_cut(report)),
        **_clock(cluster, site, reports),
    )


def _cut(report: SiteReport | None) -> list[str]:
    """The ends of links that hear nothing from the other side, or have not found it for long."""
    counts = {} if report is None else report.links
    return [f"{name}: {one['state']}" for name, one in counts.items() if one.get("state") == "cut" or one.get(LATE)]


def _clock(cluster: Cluster, site: str, reports: Mapping[str, SiteReport]) -> dict[str, float]:
    """How far a site's clock is ahead of the driver's, as the links between them found."""
    for end, other, sign in ((site, DRIVER, 1.0), (DRIVER, site, -1.0)):
        for link in cluster.fragments[end].ingresses if end in reports else ():
            counts = reports[end].links.get(link.ingress, {})
            if link.origin == other and "offset ms" in counts:
                offset, uncertainty = float(counts["offset ms"]), float(counts["uncertainty ms"])
                return {"clock_offset": sign * offset / 1e3, "clock_uncertainty": uncertainty / 1e3}
    return {}


def merged_histograms(
    found: Sequence[Mapping[str, tuple[Histogram, Histogram]]], names: Mapping[str, str]
) -> dict[str, tuple[Histogram, Histogram]]:
    """By routine, what all sites have counted."""
    merged: dict[str, tuple[Histogram, Histogram]] = {}
    for one in found:
        for name, pair in one.items():
            if name in names:
                before = merged.get(name)
                merged[name] = pair if before is None else (_sum(before[0], pair[0]), _sum(before[1], pair[1]))
    return merged


def _sum(a: Histogram, b: Histogram) -> Histogram:
    return Histogram(tuple(x + y for x, y in zip(a.counts, b.counts, strict=True)), a.total + b.total)


def site_letters(cluster: Cluster, routine: str | None, after: int, limit: int | None) -> tuple[DeadLetterStatus, ...]:
    """The dead letters of all sites, under numbers of the whole pipe, oldest first."""
    found = cluster.sites.ask_all(cluster.progress.present, "dead_letters", routine, patience=10.0)
    letters = [
        replace(letter, number=cluster.letter_number(site, letter.number))
        for site, several in found.items()
        if not isinstance(several, BaseException)
        for letter in several
    ]
    letters = [letter for letter in letters if letter.number > after]
    return tuple(sorted(letters, key=lambda letter: letter.number)[:limit])


def with_letters(status: PipeStatus, counts: Mapping[str, int]) -> PipeStatus:
    """A status with the dead letters that the pipe's store keeps, by routine, beside those that sites keep."""
    routines = tuple(replace(one, dead_letters=one.dead_letters + counts.get(one.name, 0)) for one in status.routines)
    return replace(status, routines=routines, dead_letters=status.dead_letters + sum(counts.values()))
