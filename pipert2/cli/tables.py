"""A pipe's status as tables."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipert2.cli.printing import printable
from pipert2.errors import readable_size

if TYPE_CHECKING:
    from pipert2.observe.snapshot import FlowStatus, Latency, PipeStatus, RoutineStatus, SiteStatus, WireStatus

_STATE_STYLES = {
    "running": "green",
    "finished": "cyan",
    "failed": "bold red",
    "restarting": "yellow",
    "starting": "yellow",
    "stopping": "yellow",
}


def plain_table(*headings: str, right: Sequence[str] = ()) -> Table:
    """A table without lines, whose columns *right* are set to the right."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left", no_wrap=True)
    return table


def state_text(state: str) -> Text:
    """A state in its colour."""
    return Text(state, _STATE_STYLES.get(state, ""))


def duration(seconds: float) -> str:
    """A time as people say it.

    >>> duration(3), duration(75), duration(7325), duration(200000)
    ('3 s', '1 min 15 s', '2 h 2 min', '2 d 7 h')
    """
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def clock(moment: float) -> str:
    """A moment as it is here: the time of day, with the date unless it is today's."""
    then = time.localtime(moment)
    today = then[:3] == time.localtime()[:3]
    return time.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S", then)


def milliseconds(latency: Latency) -> str:
    """p50 and p99 in milliseconds, ``"2.3/46"``."""
    if latency.p50 is None or latency.p99 is None:
        return "-"
    return "/".join(f"{1e3 * value:.{0 if value >= 0.01 else 1}f}" for value in (latency.p50, latency.p99))


def count(number: int, style: str = "") -> Text:
    """A number of messages, ``-`` for none."""
    return Text(str(number) if number else "-", style if number else "dim")


_ROUTINE_COLUMNS = ("routine", "flow", "state", "in", "out", "rate/s", "work ms", "age ms", "dropped", "errors")


def routine_table(routines: Sequence[RoutineStatus], wires: Sequence[WireStatus], chosen: int | None = None) -> Table:
    """A row for each routine; times as p50/p99. *chosen* is marked. Dead letters, duplicates and several messages
    in hand have columns if there are any."""
    dead = any(routine.dead_letters for routine in routines)
    twice = any(routine.duplicates for routine in routines)
    many = any(routine.in_hand > 1 for routine in routines)
    columns = (
        *_ROUTINE_COLUMNS,
        *(["dead"] if dead else []),
        *(["done before"] if twice else []),
        *(["in hand"] if many else []),
    )
    table = plain_table(*columns, right=columns[3:])
    for number, routine in enumerate(routines):
        table.add_row(
            printable(routine.name),
            printable(routine.flow),
            state_text("finished" if routine.finished else routine.state),
            count(routine.received),
            count(routine.sent),
            f"{routine.rate:.1f}",
            milliseconds(routine.logic_time),
            milliseconds(routine.age),
            count(sum(wire.dropped for wire in wires if wire.destination == routine.name), "yellow"),
            count(routine.errors, "red"),
            *([count(routine.dead_letters, "red")] if dead else []),
            *([count(routine.duplicates)] if twice else []),
            *([count(routine.in_hand)] if many else []),
            style="reverse" if number == chosen else "",
        )
    return table


_WIRE_COLUMNS = ("wire", "rule", "waiting", "rate/s", "sent", "received", "dropped", "blocked")


def wire_table(wires: Sequence[WireStatus]) -> Table:
    """A row for each wire."""
    table = plain_table(*_WIRE_COLUMNS, right=_WIRE_COLUMNS[2:])
    for wire in wires:
        rule = "unlinked" if wire.unlinked else ("lossless" if wire.lossless else "newest")
        blocked = f"{wire.blocked_seconds:.1f} s" if wire.blocked_seconds >= 0.05 else "-"
        table.add_row(
            printable(f"{wire.source} -> {wire.destination}"),
            Text(rule, "dim" if wire.unlinked else ""),
            f"{wire.queued}/{wire.capacity}",
            f"{wire.rate:.1f}",
            count(wire.sent),
            count(wire.received),
            count(wire.dropped, "yellow"),
            Text(blocked, "yellow" if wire.blocked else ""),
        )
    return table


_FLOW_COLUMNS = ("flow", "state", "process", "cpu %", "memory", "up", "restarts")


def flow_table(flows: Sequence[FlowStatus]) -> Table:
    """A row for each flow."""
    hosts = any(flow.host is not None for flow in flows)
    columns = (*_FLOW_COLUMNS, "host") if hosts else _FLOW_COLUMNS
    table = plain_table(*columns, right=_FLOW_COLUMNS[2:])
    for flow in flows:
        table.add_row(
            printable(flow.name),
            state_text(flow.state),
            str(flow.pid) if flow.pid is not None else "-",
            f"{flow.cpu_percent:.0f}",
            readable_size(flow.rss_bytes) if flow.rss_bytes else "-",
            duration(flow.uptime),
            count(flow.restarts, "yellow"),
            *([printable(flow.host or "-")] if hosts else []),
        )
    return table


_SITE_COLUMNS = ("site", "host", "state", "process", "restarts", "clock ms")


def site_table(sites: Sequence[SiteStatus]) -> Table:
    """A row for each host of a cluster; how far its clock is ahead of the driver's, and to how many milliseconds."""
    table = plain_table(*_SITE_COLUMNS, right=_SITE_COLUMNS[3:])
    for site in sites:
        table.add_row(
            printable(site.name),
            printable(site.host or "-"),
            state_text(site.state),
            str(site.pid) if site.pid is not None else "-",
            count(site.restarts, "yellow"),
            clock_offset(site),
        )
    return table


def clock_offset(site: SiteStatus) -> str:
    """The offset of a site's clock in milliseconds, ``"+0.2 ± 0.1"``; ``-``: not known, or the driver's own."""
    if site.clock_offset is None or site.clock_uncertainty is None:
        return "-"
    return f"{1e3 * site.clock_offset:+.1f} ± {1e3 * site.clock_uncertainty:.1f}"


def site_lines(status: PipeStatus) -> list[str]:
    """A line for each host of a cluster that is not as it should be, and for each link that is cut."""
    found = [
        f"site {site.name} is {site.state}" + (f": {site.reason}" if site.reason else "")
        for site in status.sites
        if site.state not in ("running", "ended")
    ]
    return found + [f"site {site.name}: link {link}" for site in status.sites for link in site.links]


def headline(status: PipeStatus) -> Text:
    """The pipe in one line."""
    memory = f"  shared memory {readable_size(status.shared_memory_bytes)}"
    letters = "dead letter" if status.dead_letters == 1 else "dead letters"
    dead = f"  {status.dead_letters} {letters}" if status.dead_letters else ""
    dead += f", {status.dead_letters_dropped} older ones were dropped" if status.dead_letters_dropped else ""
    name = (printable(status.name), "bold")
    return Text.assemble(name, "  ", state_text(status.state.value), memory, (dead, "red"))


def reason_of(status: PipeStatus) -> list[RenderableType]:
    """Why it failed, if it did, and what flows wait for before they start."""
    found: list[RenderableType] = [Text(printable(status.reason), "red")] if status.reason else []
    lines = [*waiting_lines(status), *site_lines(status)]
    return found + [Text(printable(line), "yellow") for line in lines]


def waiting_lines(status: PipeStatus) -> list[str]:
    """A line for each flow that waits for something before it starts, and what to do if somebody has to."""
    found = []
    for flow in status.flows:
        if flow.waits_for and flow.replica_of is None:
            missing = [text.split("'")[1] for text in flow.waits_for if text.startswith("parameter '")]
            advice = f" (pipert2 params {' '.join(f'{name}=VALUE' for name in missing)})" if missing else ""
            found.append(f"flow {flow.name} waits for {' and '.join(flow.waits_for)}{advice}")
    return found


def status_view(status: PipeStatus, chosen: int | None = None) -> RenderableType:
    """Everything: the headline, routines, wires, flows, and what went wrong last."""
    parts: list[RenderableType] = [headline(status), *reason_of(status)]
    if status.routines:
        parts += ["", routine_table(status.routines, status.wires, chosen)]
    if status.wires:
        parts += ["", wire_table(status.wires)]
    if status.flows:
        parts += ["", flow_table(status.flows)]
    if status.sites:
        parts += ["", site_table(status.sites)]
    errors = [one for one in status.routines if one.last_error]
    if errors:
        parts.append("")
    parts += [
        Text(printable(f"{one.name}: {one.last_error}"), "red", no_wrap=True, overflow="ellipsis") for one in errors
    ]
    return Group(*parts)
