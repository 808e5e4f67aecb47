"""What ``pipert2 top`` looks like."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from pipert2.cli.params import takes
from pipert2.cli.printing import printable
from pipert2.cli.tables import (
    flow_table,
    headline,
    milliseconds,
    plain_table,
    reason_of,
    routine_table,
    site_table,
    wire_table,
)
from pipert2.cli.top_model import WHOLE_PIPE, View
from pipert2.observe.snapshot import PipeStatus, RoutineStatus

_KEYS = "s start   x stop   up/down or k/j choose   enter details   q quit"


def picture(view: View, rows: int, *, keys: bool) -> RenderableType:
    """The whole screen.

    Args:
        rows: as many lines as there is room for; wires, then flows are left out where there is none.
        keys: whether to say which keys do what.
    """
    head: list[RenderableType] = [_top_line(view)]
    status = view.status
    foot = [_bottom_line(view), Text(_KEYS, "dim")] if keys else []
    if status is None:
        return Group(*head, "", *foot)
    head += reason_of(status)
    blocks: list[tuple[int, RenderableType]] = []
    if status.routines:
        blocks.append((len(status.routines) + 1, _routines(status, view, max(3, rows - 8))))
    routine = view.routine
    if view.details and routine is not None:
        blocks.append((9, _details(routine)))
    if status.wires:
        blocks.append((len(status.wires) + 1, wire_table(status.wires)))
    if status.flows:
        blocks.append((len(status.flows) + 1, flow_table(status.flows)))
    if status.sites:
        blocks.append((len(status.sites) + 1, site_table(status.sites)))
    parts = head
    left = rows - len(head) - 1 - len(foot)
    for number, (height, block) in enumerate(blocks):
        if number and height + 1 > left:
            parts.append(Text("  ... more in a larger window", "dim"))
            break
        parts += ["", block]
        left -= height + 1
    return Group(*parts, "", *foot)


def _top_line(view: View) -> Text:
    text = headline(view.status) if view.status is not None else Text("waiting for the pipe", "bold")
    text.append(f"  {printable(view.where)}", "dim")
    if view.disconnected_since is not None:
        clock = time.strftime("%H:%M:%S", time.localtime(view.disconnected_since))
        text.append(f"  disconnected since {clock}", "bold red")
    return text


def _bottom_line(view: View) -> Text:
    if view.note:
        return Text(printable(view.note), "yellow", no_wrap=True, overflow="ellipsis")
    routine = view.routine
    return Text(f"chosen: {printable(routine.name)}" if routine is not None else "chosen: the whole pipe")


def _routines(status: PipeStatus, view: View, most: int) -> RenderableType:
    """The routines, as many as there is room for, around the one that is chosen."""
    first = max(0, min(view.chosen - most // 2, len(status.routines) - most))
    shown = status.routines[first : first + most]
    chosen = view.chosen - first if view.chosen != WHOLE_PIPE else None
    return routine_table(shown, status.wires, chosen)


def _details(routine: RoutineStatus) -> RenderableType:
    table = plain_table("", "")
    table.show_header = False
    rows: list[tuple[str, Any]] = [
        (f"{routine.name}", routine.kind),
        ("work p50/p99", f"{milliseconds(routine.logic_time)} ms"),
        ("age p50/p99", f"{milliseconds(routine.age)} ms"),
        ("busy for", f"{routine.busy_for:.1f} s" if routine.busy_for else "-"),
        ("skipped, interrupted", f"{routine.skipped}, {routine.interrupted}"),
        ("dead letters", f"{routine.dead_letters}, see pipert2 dead-letters" if routine.dead_letters else "-"),
        ("last error", routine.last_error or "-"),
    ]
    rows += [(one.name, f"{one.value} {one.unit} ({takes(one)})") for one in routine.parameters]
    for name, value in rows:
        table.add_row(printable(name), printable(str(value)))
    return table
