"""Map-reduce over detector streams, with the figures of dranspose beside: ``python -m benchmarks.map_reduce``.

The detector is a process that pushes STINS over ZeroMQ (``benchmarks/detector.py``); replays read a capture. Each
measurement has a process of its own. The figures of dranspose 0.2.0 were taken on another day, on a machine of two
cores that had nothing else to do; ``--peer PYTHON`` runs it in turn with ours: its replay of the same capture, and,
where ``redis-server`` is installed, its live system with the same detector, over fewer events.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.runner import Outcome, launch

LIMIT = 180.0  # seconds for a run


@dataclass(frozen=True, slots=True)
class Trial:
    """One measurement: what is run, and what dranspose made of the same.

    Attributes:
        kind: ``live`` or ``replay``.
        worker: the analysis, of ``benchmarks/analyses.py``.
        events: how many, unless the user wants another number.
        rate: images a second; 0: as fast as they are taken. Then latency is measured in place of the rate.
        peer: what dranspose made of it on another day: events a second, or seconds of the p99.
        factor: of *peer*, to be reached; 0 where there is no target.
    """

    key: str
    title: str
    kind: str
    worker: str
    events: int
    workers: int = 2
    size: int = 10
    rate: float = 0.0
    peer: float = 0.0
    factor: float = 0.0


TRIALS = {
    trial.key: trial
    for trial in (
        Trial("live", "live, 10x10, mean", "live", "mean", 30_000, peer=640, factor=10),
        Trial("large", "live, 1024x1024, mean", "live", "mean", 2_000, size=1024, peer=208, factor=5),
        Trial("latency", "live, 10x10 at 100 Hz", "live", "stamp", 1_000, rate=100, peer=0.0071, factor=0.5),
        Trial("null", "replay, no analysis, 1 worker", "replay", "nothing", 100_000, 1, peer=119_000, factor=1),
        Trial("mean", "replay, mean, 1 worker", "replay", "mean", 100_000, 1, peer=38_000, factor=1),
        Trial("heavy1", "replay, 5 ms of analysis, 1 worker", "replay", "heavy", 500, 1),
        Trial("heavy2", "replay, 5 ms of analysis, 2 workers", "replay", "heavy", 1_000, 2),
    )
}
LONG = Trial("long", "live, 10x10, mean, memory", "live", "mean", 0)
FINISHED, GROWTH = 0.050, 20.0  # seconds; MB in all processes from the first quarter of the events to the end
PEER_EVENTS = {"live": 2_000, "large": 500, "latency": 500}
PEER_WORKERS = ("null", "mean")
Times = dict[str, list[Outcome]]
CEILINGS = {
    "pyzmq alone over TCP, 2 workers that pull": ["workers"],
    "pyzmq alone over TCP, 1 process that copies into shared memory": ["slots"],
    "pyzmq alone over a Unix socket, 2 workers that pull": ["workers", "--url", "ipc://{folder}/detector"],
}
"""What nothing that receives the large images over ZeroMQ can be much quicker than, on the same machine."""


def measure(trial: Trial, events: int, file: Path | None = None) -> Outcome:
    command = [sys.executable, "-m", "benchmarks.map_reduce_trial", trial.kind, "--worker", trial.worker]
    command += ["--workers", str(trial.workers), "--events", str(events), "--size", str(trial.size)]
    command += ["--rate", str(trial.rate)] + (["--file", str(file)] if file else [])
    outcome = launch(command, LIMIT + events / 2000)
    if outcome.error is None and (outcome.figures["state"], outcome.figures["done"]) != ("done", events + 2):
        told = f"{outcome.figures['state']}, {outcome.figures['done']} of {events + 2} events"
        return Outcome(outcome.figures, told, outcome.strays, outcome.leftovers)
    return outcome


def value(trial: Trial, outcomes: list[Outcome], events: int) -> float | None:
    """The median: events a second, or seconds of the p99."""
    good = [outcome.figures for outcome in outcomes if outcome.error is None]
    if not good:
        return None
    return median(one["p99"] for one in good) if trial.rate else median(events / one["seconds"] for one in good)


def row(trial: Trial, outcomes: list[Outcome], peers: list[Outcome], events: int) -> list[str]:
    """A line of the table."""
    found = value(trial, outcomes, events)
    if found is None:
        return [trial.title, f"[red]{outcomes[-1].error}", "", "", ""]
    good = [outcome.figures for outcome in outcomes if outcome.error is None]
    if trial.rate:
        middle = median(one["p50"] for one in good)
        own = f"p50 {1e3 * middle:.2f} ms, p99 {1e3 * found:.2f} ms"
        return [trial.title, own, "", "p99 7.1 ms", beside(trial, peers, events)]
    spent = 1e6 * median(one["processor"] for one in good) / events
    another = f"{trial.peer:,.0f}/s" if trial.peer else ""
    return [trial.title, f"{found:,.0f}/s", f"{spent:.0f} us", another, beside(trial, peers, events)]


def beside(trial: Trial, peers: list[Outcome], events: int) -> str:
    """What dranspose made of the same in this run."""
    good = [one.figures for one in peers if one.error is None]
    if not good:
        return f"[red]{peers[-1].error}" if peers else ""
    if trial.rate:
        middle, most = (1e3 * median(one[name] for one in good) for name in ("p50", "p99"))
        return f"p50 {middle:.2f} ms, p99 {most:.2f} ms"
    text = f"{peer_rate(good, events):,.0f}/s"
    if trial.kind == "live":
        return text
    return f"{text}, {1e6 * median(one['processor'] for one in good) / events:.0f} us"


def peer_rate(good: list[dict[str, float]], events: int) -> float:
    """The median of dranspose's events a second, of which a live run has fewer."""
    return median(one.get("results", events) / one["seconds"] for one in good)


def verdicts(times: Times, peers: Times, counts: dict[str, int]) -> list[tuple[str, str, bool]]:
    """What was to be reached: what, what was measured and the limit, whether it is kept."""
    found = []
    values = {key: value(TRIALS[key], outcomes, counts[key]) for key, outcomes in times.items()}
    for key, own in values.items():
        trial = TRIALS[key]
        if own is None or not trial.factor:
            continue
        limit = trial.factor * trial.peer
        if trial.rate:
            found.append((f"{trial.title}, p99", f"{1e3 * own:.2f} ms, at most {1e3 * limit:.2f}", own <= limit))
        else:
            found.append((trial.title, f"{own:,.0f}/s, at least {limit:,.0f}", own >= limit))
        same = [one.figures for one in peers.get(key, []) if one.error is None]
        if same and trial.rate:
            ratio = own / median(one["p99"] for one in same)
            what, kept = f"{ratio:.2f}, at most {trial.factor:g}", ratio <= trial.factor
            found.append((f"{trial.title}, p99, times dranspose in this run", what, kept))
        elif same:
            ratio = own / peer_rate(same, counts[key])
            what, kept = f"{ratio:.2f}, at least {trial.factor:g}", ratio >= trial.factor
            found.append((f"{trial.title}, times dranspose in this run", what, kept))
    ends = [one.figures["finished"] for one in times.get("latency", []) if one.error is None]
    if ends:
        end = median(ends)
        found.append(
            ("from the last message sent to the scan's end", f"{1e3 * end:.1f} ms, at most 50", end <= FINISHED)
        )
    one, two = values.get("heavy1"), values.get("heavy2")
    if one and two:
        found.append(("heavy replay, 2 workers to 1", f"{two / one:.2f} times, at least 1.5", two / one >= 1.5))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.map_reduce", description="Map-reduce over streams.")
    parser.add_argument("--only", choices=list(TRIALS), nargs="+", default=list(TRIALS), help="which (default: all)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, of which the median counts (%(default)s)")
    parser.add_argument("--share", type=float, default=1.0, help="of the events of each, 0.1 for a short form (1)")
    parser.add_argument("--memory", type=int, metavar="EVENTS", default=200_000, help="live, memory watched; 0: none")
    parser.add_argument("--ceiling", action="store_true", help="large images with pyzmq alone as well")
    parser.add_argument("--peer", type=Path, metavar="PYTHON", help="an interpreter with dranspose 0.2.0 and cbor2 < 6")
    options = parser.parse_args()
    if options.repeats < 1 or options.share <= 0 or options.memory < 0:
        parser.error("--repeats is 1 or more, --share above 0, --memory 0 or more")
    if options.peer and not options.peer.is_file():
        parser.error(f"--peer {options.peer}: there is no such interpreter")
    console = Console() if sys.stdout.isatty() else Console(width=160)
    counts = {key: max(20, int(TRIALS[key].events * options.share)) for key in options.only}
    times: Times = {}
    peers: Times = {}
    ceilings: Times = {}
    with tempfile.TemporaryDirectory(prefix="pipert2-bench-") as folder:
        for _ in range(options.repeats):
            for key in options.only:
                trial, file = TRIALS[key], None
                with console.status(trial.title):
                    if trial.kind == "replay":
                        file = _capture(Path(folder), counts[key])
                    times.setdefault(key, []).append(measure(trial, counts[key], file))
                    if options.peer and key in PEER_WORKERS:
                        command = [str(options.peer), "-m", "benchmarks.dranspose_replay", trial.worker, str(file)]
                        peers.setdefault(key, []).append(launch(command, LIMIT))
                    elif options.peer and key in PEER_EVENTS:
                        live = ["--events", str(max(20, int(PEER_EVENTS[key] * options.share)))]
                        live += ["--size", str(trial.size), "--rate", str(trial.rate), "--workers", str(trial.workers)]
                        command = [str(options.peer), "-m", "benchmarks.dranspose_live", *live]
                        peers.setdefault(key, []).append(launch(command, LIMIT))
            for title, command in CEILINGS.items() if options.ceiling else ():
                with console.status(title):
                    own = [one.format(folder=folder) for one in command]
                    runs = ceilings.setdefault(title, [])
                    runs.append(launch([sys.executable, "-m", "benchmarks.map_reduce_ceiling", *own], LIMIT))
    table = Table(box=box.SIMPLE_HEAD)
    for title in ("", "pipert2", "processor time an event", "dranspose, another day", "dranspose, this run"):
        table.add_column(title, justify="left" if not title else "right")
    for key in options.only:
        table.add_row(*row(TRIALS[key], times[key], peers.get(key, []), counts[key]))
    for title, runs in ceilings.items():
        good = [one.figures["results"] / one.figures["seconds"] for one in runs if one.error is None]
        table.add_row(title, f"{median(good):,.0f}/s" if good else f"[red]{runs[-1].error}", "", "", "")
    console.print(table)
    for what, measured, kept in verdicts(times, peers, counts):
        _say(console, what, measured, kept)
    if options.memory:
        with console.status(LONG.title):
            outcome = measure(LONG, options.memory)
        if outcome.error:
            console.print(outcome.error, style="red", markup=False)
            sys.exit(1)
        early, late = (amount / 1e6 for amount in outcome.figures["memory"])
        measured = f"{early:.0f} MB after a quarter of them, {late:.0f} MB at the end, at most {GROWTH:.0f} more"
        _say(console, f"memory of all flows over {options.memory:,} events", measured, late - early <= GROWTH)


def _capture(folder: Path, events: int) -> Path:
    """A capture with so many images, made once."""
    file = folder / f"{events}.cbors"
    if not file.exists():
        command = [sys.executable, "-m", "benchmarks.map_reduce_trial", "capture", "--events", str(events)]
        launch([*command, "--file", str(file)], LIMIT)
    return file


def _say(console: Console, what: str, measured: str, kept: bool) -> None:
    mark = "[green]reached[/green]" if kept else "[red]not reached[/red]"
    console.print(f"{mark}  {what}: {measured}")


if __name__ == "__main__":
    main()
