"""What is printed and kept of a benchmark run: the table, the targets, and JSON with the machine's facts."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.environments import OWN, Environment
from benchmarks.runner import Outcome
from benchmarks.systems import SYSTEMS
from benchmarks.targets import TARGETS, UNITS, Figures, Verdict, judge
from benchmarks.works import TRANSPORT, WORKS

Outcomes = dict[tuple[str, str], list[Outcome]]
OURS = tuple(system.name for system in SYSTEMS if system.environment is OWN)
MEASURED = ("rate", "lost", "p50", "p99", "cpu", "missing", "torn", "cpu_percent", "first_message")


def medians(outcomes: Outcomes) -> dict[tuple[str, str], dict[str, float]]:
    """The median of every figure over the runs that have it; of losses and damage the worst."""
    figures: dict[tuple[str, str], dict[str, float]] = {}
    for key, runs in outcomes.items():
        done = [run.figures for run in runs if run.error is None]
        figures[key] = {
            metric: max(values) if metric in ("missing", "torn") else median(values)
            for metric in MEASURED
            if (values := [float(run[metric]) for run in done if metric in run])
        }
    return figures


def print_results(console: Console, outcomes: Outcomes) -> None:
    """Prints the table of what was measured, what went wrong, and the targets."""
    figures = medians(outcomes)
    keys = [work.key for work in TRANSPORT if any(work.key == key for _, key in outcomes)]
    if keys:
        console.print(
            "[bold]medians[/bold]: messages per second (lost), or latency p50 / p99; W5: sender's CPU per frame"
        )
        table = Table(box=box.SIMPLE_HEAD)
        table.add_column("system")
        for key in keys:
            table.add_column(f"{key}\n{WORKS[key].title}", justify="right")
        for system in SYSTEMS:
            if any((system.name, key) in outcomes for key in keys):
                table.add_row(system.name, *(_cell(outcomes, figures, system.name, key) for key in keys))
        console.print(table)
    for line in troubles(outcomes):
        console.print(line, style="red", markup=False)
    verdicts = [verdict for target in TARGETS if (verdict := judge(target, figures)) is not None]
    if verdicts:
        console.print("[bold]targets[/bold]: ratios within this run")
        console.print(_targets_table(verdicts))


def troubles(outcomes: Outcomes) -> list[str]:
    """One line for each system and work that failed or damaged messages, or, for ours, left something behind.

    What peers leave behind is cleared away as well, and in the JSON: some do so by design.
    """
    lines = []
    for (name, key), runs in outcomes.items():
        errors = [run.error for run in runs if run.error]
        if errors:
            lines.append(f"{name} {key}: failed {len(errors)} of {len(runs)} times: {errors[-1]}")
        if torn := sum(run.figures.get("torn", 0) for run in runs):
            lines.append(f"{name} {key}: {torn} messages were damaged")
        if name in OURS and (strays := sum(run.strays for run in runs)):
            lines.append(f"{name} {key}: left {strays} processes behind (killed)")
        if name in OURS and (left := [segment for run in runs for segment in run.leftovers]):
            lines.append(f"{name} {key}: left {len(left)} names in /dev/shm (removed), such as {left[0]}")
    return lines


def document(outcomes: Outcomes, environments: Iterable[Environment], options: dict[str, Any]) -> dict[str, Any]:
    """Everything that was measured, every single run, with what is needed to judge it, for JSON."""
    figures = medians(outcomes)
    return {
        "machine": machine(),
        "packages": {environment.name: environment.versions() for environment in environments},
        "options": options,
        "results": [
            {"system": name, "work": key, "median": figures[name, key], "runs": [asdict(run) for run in runs]}
            for (name, key), runs in outcomes.items()
        ],
        "targets": [asdict(verdict) for target in TARGETS if (verdict := judge(target, figures)) is not None],
        "troubles": troubles(outcomes),
    }


def machine() -> dict[str, Any]:
    """The facts of this machine that the figures depend on."""
    cpu = [line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    caches = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (" ".join(_lines(folder / name)) for name in ("level", "type", "size"))
        caches[f"L{level} {kind}".strip()] = size
    return {
        "cpu": cpu[0] if cpu else platform.processor(),
        "cores": os.cpu_count(),
        "usable cores": len(os.sched_getaffinity(0)),
        "caches": caches,
        "memory GiB": round(psutil.virtual_memory().total / 2**30, 1),
        "load at the end": os.getloadavg(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def duration(microseconds: float) -> str:
    return f"{microseconds:.0f}\u00a0us" if microseconds < 1000 else f"{microseconds / 1000:.2f}\u00a0ms"


def _cell(outcomes: Outcomes, figures: Figures, name: str, key: str) -> str:
    if (name, key) not in outcomes:
        return ""
    found = figures[name, key]
    if "rate" not in found:
        if all(run.error for run in outcomes[name, key]):
            return "[red]failed[/red]"
        received = median(sum(run.figures["received"]) for run in outcomes[name, key] if not run.error)
        return f"starved ({received:.0f} received)"
    work = WORKS[key]
    lost = f" ({found['lost']:.1%})" if found["lost"] > 0.0005 else ""
    if not work.rate:
        return f"{found['rate']:,.0f}{lost}"
    text = f"{duration(found['p50'])} / {duration(found['p99'])}"
    if work.sinks > 1:
        text += f"; {duration(found['cpu'])}"
    return text + lost + (f" ({found['rate']:.0f}/s)" if found["rate"] < 0.95 * work.rate else "")


def _targets_table(verdicts: Sequence[Verdict]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for column, justify in (("work", "left"), ("system", "left"), ("measured", "right"), ("against", "left")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    table.add_column("ratio", justify="right")
    table.add_column("to reach", justify="right")
    table.add_column("reached")
    for verdict in verdicts:
        target = verdict.target
        unit = UNITS[target.metric]
        bound = "at least" if target.metric == "rate" else "at most"
        against = f"{verdict.against} {target.versus_work}".strip() or target.note or WORKS[target.work].title
        value = f"{verdict.value:,.0f}{unit}" if verdict.value >= 100 else f"{verdict.value:.3g}{unit}"
        table.add_row(
            target.work,
            target.subject,
            value,
            against + (f" ({target.note})" if target.note and verdict.against else ""),
            f"{verdict.ratio:.2f}x" if verdict.ratio is not None else "",
            f"{bound} {target.factor:g}{'x' if verdict.ratio is not None else unit}",
            "[green]yes[/green]" if verdict.reached else "[bold red]no[/bold red]",
        )
    return table


def _lines(path: str | Path) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
