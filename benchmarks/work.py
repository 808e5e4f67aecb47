"""Jobs that must not be lost, by pipert2 and its peers: ``python -m benchmarks.work``.

Same run, same tasks, two workers, systems in turn; medians. What each job is stands in ``benchmarks/jobs.py``, how each
system is set up in ``benchmarks/job_systems/``. ``--killed 10000000`` sends ten million messages while a worker is
killed every 5 seconds.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import dataclass
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.environments import OWN, ROOT, Environment
from benchmarks.jobs import JOBS, Job
from benchmarks.runner import Outcome, launch

WORK_PEERS = Environment(
    "jobs", ("pyzmq", "msgpack", "dramatiq", "redis"), ROOT / "benchmarks" / "requirements-jobs.txt"
)
LIMIT = 240.0  # seconds for a run
BROKER = "Redis" if shutil.which("redis-server") else "in-memory"


@dataclass(frozen=True, slots=True)
class System:
    name: str
    module: str
    environment: Environment


OURS = System("pipert2", "pipert2", OWN)
BARE = System("the tasks alone", "bare", OWN)
ZMQ = System("py-zmq-pipeline's pattern", "zmq_pipeline", WORK_PEERS)
SYSTEMS = (
    OURS,
    BARE,
    ZMQ,
    System("MASS's pattern", "mass", WORK_PEERS),
    System("concurrent.futures", "futures", OWN),
    System(f"Dramatiq, {BROKER}", "dramatiq_jobs", WORK_PEERS),
)
Times = dict[tuple[str, str], list[Outcome]]


def measure(system: System, job: Job, tasks: int | None = None) -> Outcome:
    command = [str(system.environment.python), "-m", f"benchmarks.job_systems.{system.module}", job.key]
    limit = LIMIT
    if tasks is not None:
        command += ["--tasks", str(tasks)]
        limit += tasks / 1000
    return launch(command, limit)


def seconds(outcomes: list[Outcome]) -> float | None:
    found = [outcome.figures["elapsed"] for outcome in outcomes if outcome.error is None]
    return median(found) if found else None


def cell(job: Job, outcomes: list[Outcome]) -> str:
    took = seconds(outcomes)
    if took is None:
        return f"[red]{outcomes[-1].error}" if outcomes else ""
    lost = max(outcome.figures["missing"] for outcome in outcomes if outcome.error is None)
    text = f"{job.tasks / took:,.0f}/s" if job.ideal is None else f"{took:.2f} s, ideal x {took / job.ideal:.3f}"
    return f"{text} ({lost} lost)" if lost else text


def table(times: Times, jobs: list[Job], systems: list[System]) -> Table:
    made = Table(box=box.SIMPLE_HEAD)
    made.add_column("system")
    for job in jobs:
        made.add_column(job.title, justify="right")
    for system in systems:
        made.add_row(system.name, *(cell(job, times.get((system.name, job.key), [])) for job in jobs))
    return made


def verdicts(times: Times) -> list[tuple[str, float, float, bool]]:
    """What was to be reached: what, the ratio measured, the limit, whether it is kept."""
    found = []
    own = {key: seconds(times.get((OURS.name, key), [])) for key in JOBS}
    peer = seconds(times.get((ZMQ.name, "empty"), []))
    if own["empty"] and peer:
        ratio = peer / own["empty"]
        found.append(("empty tasks, times the rate of py-zmq-pipeline's pattern", ratio, 3.0, ratio >= 3.0))
    alone = seconds(times.get((BARE.name, "short"), []))  # a sleep takes longer than it is told to, for everybody
    for key, what, ideal, limit in (
        ("short", "the same tasks alone", alone, 1.04),
        ("uneven", "the ideal", JOBS["uneven"].ideal, 1.15),
    ):
        if (took := own[key]) and ideal:
            found.append((f"{JOBS[key].title}, times {what}", took / ideal, limit, took / ideal <= limit))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.work", description="Jobs that must not be lost.")
    chosen = [key for key in JOBS if key != "killed"]
    parser.add_argument("--only", choices=chosen, nargs="+", default=chosen, help="which jobs (default: all)")
    parser.add_argument("--peers", nargs="*", metavar="NAME", help="peers whose name contains one of these")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, of which the median counts (%(default)s)")
    parser.add_argument(
        "--killed",
        type=int,
        metavar="MESSAGES",
        default=300_000,
        help="messages through pipert2 while a worker is killed each 5 s; 0: none (default: %(default)s)",
    )
    options = parser.parse_args()
    console = Console() if sys.stdout.isatty() else Console(width=160)
    jobs = [JOBS[key] for key in options.only]
    systems = [
        system
        for system in SYSTEMS
        if system in (OURS, BARE)
        or options.peers is None
        or any(name.lower() in system.name.lower() for name in options.peers)
    ]
    for environment in dict.fromkeys(system.environment for system in systems):
        for problem in environment.prepare():
            console.print(f"{environment.name}: not installed: {problem}", style="red", markup=False)
    times: Times = {}
    for _ in range(options.repeats):
        for job in jobs:
            for system in systems:
                if system is BARE and job.key != "short":
                    continue  # it hands nothing out: there is nothing to compare
                with console.status(f"{job.title}: {system.name}"):
                    times.setdefault((system.name, job.key), []).append(measure(system, job))
    console.print(table(times, jobs, systems))
    for what, ratio, limit, kept in verdicts(times):
        mark = "[green]reached[/green]" if kept else "[red]not reached[/red]"
        console.print(f"{mark}  {what}: {ratio:.3f} (target {limit})")
    if options.killed:
        with console.status("workers are killed"):
            outcome = measure(OURS, JOBS["killed"], options.killed)
        if outcome.error:
            console.print(outcome.error, style="red", markup=False)
            return
        figures = outcome.figures
        mark = "[red]not reached[/red]" if figures["missing"] else "[green]reached[/green]"
        console.print(
            f"{mark}  {options.killed:,} messages, a worker killed each 5 s: {figures['missing']} missing,"
            f" {figures['repeated']} twice, {figures['elapsed']:.0f} s"
        )


if __name__ == "__main__":
    main()
