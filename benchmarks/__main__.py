"""Command line of the benchmarks: which systems, which works, how long, how often."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import signal
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.environments import ROOT, Environment
from benchmarks.report import Outcomes, document, print_results
from benchmarks.runner import run
from benchmarks.systems import SYSTEMS, System
from benchmarks.works import LONG, WORKS, Work

RESULTS = ROOT / "benchmarks" / "results"
WIDTH = 200  # columns of the table where the output is not a terminal


def names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures pipert2 and its peers.")
    parser.add_argument("--only", type=names, metavar="WORKS", help=f"works, by comma: {','.join(WORKS)}")
    parser.add_argument(
        "--peers", type=names, metavar="NAMES", help="systems whose name contains one of these, by comma"
    )
    parser.add_argument("--all", action="store_true", help="also the systems that are left out by default")
    parser.add_argument("--long", action="store_true", help=f"also {LONG.title}, lossless")
    parser.add_argument("--seconds", type=float, help="measured time of each run (default: 4, idle 8)")
    parser.add_argument("--warmup", type=float, help="time before it that does not count (default: 1)")
    parser.add_argument("--repeats", type=int, help="runs of each work by each system, of which the median counts (3)")
    parser.add_argument("--quick", action="store_true", help="one short run of each: to see that it works, not to cite")
    parser.add_argument("--json", type=Path, metavar="FILE", help=f"where to write the results (in {RESULTS.name}/)")
    parser.add_argument("--list", action="store_true", help="list the systems and works, and stop")
    args = parser.parse_args(argv)
    if unknown := set(args.only or ()) - set(WORKS):
        parser.error(f"no work {', '.join(sorted(unknown))}; there are {', '.join(WORKS)}")
    for name in args.peers or ():
        if not any(name.lower() in system.name.lower() for system in SYSTEMS):
            parser.error(f"no system {name!r}; there are {', '.join(system.name for system in SYSTEMS)}")
    if args.repeats is None:
        args.repeats = 1 if args.quick else 3
    if args.seconds is None and args.quick:
        args.seconds = 1.0
    if args.warmup is None:
        args.warmup = 0.5 if args.quick else 1.0
    return args


def plan(args: argparse.Namespace) -> list[tuple[System, Work]]:
    """The runs of one round, work by work, so that systems that are compared run one after the other."""
    works = [WORKS[key] for key in args.only] if args.only else list(WORKS.values())
    if not args.long and not args.only:
        works.remove(LONG)
    return [(system, work) for work in works for system in SYSTEMS if work.key in system.works and wanted(args, system)]


def wanted(args: argparse.Namespace, system: System) -> bool:
    name = system.name.lower()
    if args.peers and not any(part.lower() in name for part in args.peers):
        return False
    return args.all or not system.extra or name in (part.lower() for part in args.peers or ())


def measure(console: Console, args: argparse.Namespace, outcomes: Outcomes) -> None:
    """Runs all systems in turn, `repeats` times over, so that what disturbs the machine disturbs all of them."""
    round_ = plan(args)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(round_) * args.repeats)
        for repeat in range(args.repeats):
            for system, work in round_:
                progress.update(task, description=f"{work.key:8}{system.name:24}{repeat + 1} of {args.repeats}")
                outcome = run(system, work, seconds=args.seconds, warmup=args.warmup)
                outcomes.setdefault((system.name, work.key), []).append(outcome)
                progress.advance(task)


def prepare(console: Console, environments: list[Environment]) -> list[str]:
    problems = []
    for environment in environments:
        with console.status(f"preparing the environment {environment.name!r}"):
            problems += [f"{environment.name}: not installed: {problem}" for problem in environment.prepare()]
    return problems


def main(argv: list[str] | None = None) -> int:
    args = parse(sys.argv[1:] if argv is None else argv)
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    if args.list:
        for system in SYSTEMS:
            console.print(f"{system.name:24}{' '.join(system.works)}{'  (with --all)' if system.extra else ''}")
        for work in WORKS.values():
            console.print(f"{work.key:8}{work.title}")
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = dt.datetime.now(dt.timezone.utc)
    environments = list(dict.fromkeys(system.environment for system, _ in plan(args)))
    outcomes: Outcomes = {}
    status = 0
    try:
        problems = prepare(console, environments)
        for problem in problems:
            console.print(problem, style="red", markup=False)
        measure(console, args, outcomes)
    except KeyboardInterrupt:
        console.print("interrupted; what was measured so far:")
        status = 130
    print_results(console, outcomes)
    options = {name: value for name, value in vars(args).items() if name != "json"} | {"started": started.isoformat()}
    if outcomes and (status == 0 or args.json):
        path = args.json or RESULTS / f"{started:%Y%m%d-%H%M%S}.json"
        write(path, json.dumps(document(outcomes, environments, options), indent=1))
        console.print(f"written to {path}")
    return status


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.parent == RESULTS:
        (RESULTS / ".gitignore").write_text("*\n")
    path.write_text(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
