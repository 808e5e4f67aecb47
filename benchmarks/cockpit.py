"""The cockpit under load: ``python -m benchmarks.cockpit``.

1. Four pipes log 2,500 records a second each; the first has 100 routines. Three viewers: Chromium with the real page,
   one that follows a log, one that asks for everything and reads nothing. What the server costs, whether its memory
   grows, what the viewers miss, the longest tasks in the page. Twice: with the browser *among* the pipes, as one
   program of many that want the processors, and with all others *standing back* for it (a lower priority). Who looks
   at pipes that fill a machine does so from another one; the second way is as near to that as one machine comes.
2. By turns with the cockpit and after its ``kill -9``: how far the pipes' throughput moves.
3. At the end: whether each record that was ever acknowledged is in the database.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from benchmarks.cockpit_browser import LONG_MS, Chromium
from benchmarks.cockpit_priority import stand_back
from benchmarks.cockpit_viewers import Follower, Stalled
from pipert2.cockpit.store.database import NUMBER_BITS, record_id

PIPES = ("first", "second", "third", "fourth")
PATIENCE = 60.0
Counts = dict[str, Any]


class Cockpit:
    """``pipert2 cockpit``, killed and started again at will."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "cockpit.db"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "pipert2", "cockpit", "--port", str(self.port)]
        self.process = subprocess.Popen([*command, "--database", str(self.database)], stdout=subprocess.DEVNULL)
        until(lambda: self.ask("/healthz") is not None, "the cockpit's answer")

    def ask(self, path: str) -> Any:
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return json.load(answer)
        except OSError:
            return None

    def usage(self) -> tuple[float, float]:
        """CPU seconds so far, and megabytes of memory."""
        assert self.process is not None
        process = psutil.Process(self.process.pid)
        return sum(process.cpu_times()[:2]), process.memory_info().rss / 1e6

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class LoadedPipe:
    """One of the pipes, a process of its own."""

    def __init__(self, name: str, url: str, routines: int, records: int) -> None:
        self.name = name
        command = [sys.executable, "-m", "benchmarks.cockpit_pipe", name, url, str(routines), str(records)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def counts(self, command: str = "") -> Counts:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()
        return dict(json.loads(self.process.stdout.readline()))

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


def until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} did not come within {seconds:g} s")
        time.sleep(0.2)


def machine_seconds() -> tuple[float, float]:
    """For how long all processors of this machine were busy, and kept by the host that it runs on."""
    times = psutil.cpu_times()
    return times.user + times.nice + times.system, getattr(times, "steal", 0.0)


def steady(cockpit: Cockpit, pipes: list[LoadedPipe], browser: Chromium, seconds: float) -> None:
    """The load as it is, for some time, while the browser looks around."""
    before = [pipe.counts() for pipe in pipes]
    cpu, _ = cockpit.usage()
    machine, page = machine_seconds(), browser.cpu()
    began = time.monotonic()
    memory: list[float] = []
    tours = ("Logs", "Graph", "Problems", "Graph")
    step = seconds / 12
    for turn in range(12):
        browser.wait(step)
        memory.append(cockpit.usage()[1])
        if turn % 3 == 2:
            browser.note("later")
            place = tours[turn // 3 % len(tours)]
            browser.press(place)
            browser.wait(0.5)
            browser.note(f"to {place.lower()}")
    took = time.monotonic() - began
    used = cockpit.usage()[0] - cpu
    page = browser.cpu() - page
    busy, stolen = (now - then for now, then in zip(machine_seconds(), machine, strict=True))
    after = [pipe.counts() for pipe in pipes]
    records = sum(b["logged"] - a["logged"] for a, b in zip(before, after, strict=True))
    dropped = sum(b["dropped"] - a["dropped"] for a, b in zip(before, after, strict=True))
    pipes_cpu = sum(b["cpu"] - a["cpu"] for a, b in zip(before, after, strict=True))
    print(f"{took:.0f} s, load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"records: {records / took:.0f}/s logged, {dropped} dropped by the pipes and counted")
    print(f"server: {used / took:.2f} of a core, {1e6 * used / max(1, records - dropped):.0f} us a record")
    first, half, last = (round(memory[at]) for at in (0, len(memory) // 2, -1))
    print(f"memory of the server: {first} MB at first, {half} MB at half-time, {last} MB at the end")
    print(f"pipes: {pipes_cpu / took:.2f} cores; browser, drawing by software: {page / took:.2f} cores")
    others = busy - used - page - pipes_cpu
    print(f"all else on this machine: {others / took:.2f} cores; kept by its host: {stolen / took:.2f} cores")


def killings(cockpit: Cockpit, pipes: list[LoadedPipe], browser: Chromium, seconds: float, rounds: int) -> None:
    """The pipes' throughput by turns with the cockpit and without."""
    rates: dict[bool, list[tuple[float, float, float]]] = {True: [], False: []}
    for turn in range(2 * rounds):
        there = turn % 2 == 0
        if there and turn:
            cockpit.start()
            until(lambda: all(pipe.counts()["connected"] for pipe in pipes), "the pipes' return")
            browser.wait(3.0)
        before = [pipe.counts() for pipe in pipes]
        if not there:
            cockpit.kill()
        browser.wait(seconds)
        after = [pipe.counts() for pipe in pipes]
        pairs = list(zip(before, after, strict=True))
        found = tuple(
            sum((b[what] - a[what]) / (b["time"] - a["time"]) for a, b in pairs)
            for what in ("messages", "logged", "cpu")
        )
        rates[there].append(found)  # type: ignore[arg-type]
        name = "with the cockpit" if there else "after kill -9"
        print(
            f"{name:17} {found[0]:7.1f} messages/s  {found[1]:8.0f} records/s  {found[2]:.2f} cores"
            f"  (machine's load {os.getloadavg()[0]:.1f})"
        )
    for at, what in enumerate(("messages", "records")):
        up, down = (statistics.mean(one[at] for one in rates[there]) for there in (True, False))
        print(f"{what}: {100 * (down / up - 1):+.2f} % after kill -9")


def check_acknowledged(cockpit: Cockpit, pipes: list[LoadedPipe]) -> int:
    """How many acknowledged records are not in the database."""
    found = [pipe.counts("stop") for pipe in pipes]
    until(lambda: all(not pipe.counts()["waiting"] for pipe in pipes), "the last acknowledgement")
    found = [pipe.counts() for pipe in pipes]
    lost = total = stored = 0
    with sqlite3.connect(f"file:{cockpit.database}?mode=ro", uri=True) as connection:
        for counts in found:
            (number,) = connection.execute("SELECT number FROM pipes WHERE id = ?", (counts["id"],)).fetchone()
            for first, last, records in counts["acknowledged"]:
                (there,) = connection.execute(
                    "SELECT count(*) FROM records WHERE id BETWEEN ? AND ?",
                    (record_id(number, first), record_id(number, last)),
                ).fetchone()
                lost += max(0, records - there)
                total += records
            limits = (record_id(number, 0), record_id(number, (1 << NUMBER_BITS) - 1))
            (there,) = connection.execute("SELECT count(*) FROM records WHERE id BETWEEN ? AND ?", limits).fetchone()
            stored += there
            missing = counts["last"] - there - counts["dropped"]
            if missing:
                print(f"pipe {counts['id'][:8]}: {missing} records neither stored nor counted as dropped")
    print(f"acknowledged: {total} records, {lost} of them lost; {stored} stored")
    return lost


def show_viewers(follower: Follower, stalled: Stalled) -> None:
    print(
        f"follower: {follower.received} records, {follower.skipped} skipped and told so, "
        f"{follower.unexplained} missing without being told"
    )
    print(f"stalled viewer: connected {stalled.times} times")


def show_page(browser: Chromium) -> None:
    """The page's long tasks: how many, how long, and how much of that was the page's own work."""
    if browser.missing:
        print(f"page: not measured, {browser.missing}")
        return
    for what, phase in browser.phases.items():
        long = sorted((round(one) for one in phase.long), reverse=True)
        print(
            f"page, {what}: longest task {long[0] if long else f'under {LONG_MS:.0f}'} ms, "
            f"by its own work {phase.work:.0f} ms; over {LONG_MS:.0f} ms: {len(long)} {long[:8]}; "
            f"{phase.waited:.2f} s without a processor"
        )
        for task in phase.tasks[:3]:
            if task.wall > LONG_MS:
                print(f"    {task}")
    all_long = [one for phase in browser.phases.values() for one in phase.long]
    counts = ", ".join(f"{sum(one > limit for one in all_long)} over {limit} ms" for limit in (50, 100, 200))
    worked = max(phase.work for phase in browser.phases.values())
    print(f"page: {counts}; the longest {max(all_long, default=0.0):.0f} ms, by its own work {worked:.0f} ms")
    print(f"page: heap {browser.heap[0] / 1e6:.0f} to {browser.heap[-1] / 1e6:.0f} MB")


def look(cockpit: Cockpit, pipes: list[LoadedPipe], browser: Chromium, seconds: float) -> None:
    """Open the page, a panel, and look around for some time."""
    browser.open(PIPES[0])
    browser.wait(2.0)
    browser.note("opening the graph")
    browser.choose("step 0.3")
    browser.wait(1.5)
    browser.note("opening a panel")
    steady(cockpit, pipes, browser, seconds)
    show_page(browser)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cockpit", description="The cockpit under load.")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the steady load (default: %(default)s)")
    parser.add_argument("--records", type=int, default=10_000, help="a second, of all pipes (default: %(default)s)")
    parser.add_argument("--routines", type=int, default=100, help="of the first pipe (default: %(default)s)")
    parser.add_argument("--window", type=float, default=10.0, help="seconds of each turn (default: %(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="turns with and without the cockpit (default: %(default)s)"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="pipert2-bench-") as folder, ExitStack() as stack:
        cockpit = Cockpit(Path(folder))
        stack.callback(cockpit.kill)
        cockpit.start()
        pipes = []
        for at, name in enumerate(PIPES):
            routines = options.routines if at == 0 else 3
            pipes.append(LoadedPipe(name, cockpit.url, routines, options.records // len(PIPES)))
            stack.callback(pipes[-1].close)
        until(lambda: all(pipe.counts()["logged"] > 0 for pipe in pipes), "the pipes")
        until(lambda: all(pipe.counts()["connected"] for pipe in pipes), "the pipes in the cockpit")
        identity = {pipe.name: pipe.counts()["id"] for pipe in pipes}
        follower = Follower(cockpit.url, identity["second"])
        stack.callback(follower.close)
        stalled = Stalled(cockpit.url, identity["first"])
        stack.callback(stalled.close)
        with Chromium(cockpit.url) as browser:
            print("-- the browser among the pipes")
            look(cockpit, pipes, browser, options.seconds)
            killings(cockpit, pipes, browser, options.window, options.rounds)
        cockpit.start()
        until(lambda: all(pipe.counts()["connected"] for pipe in pipes), "the pipes' return")
        with stand_back([cockpit.process, *(pipe.process for pipe in pipes)]), Chromium(cockpit.url) as browser:
            print("-- pipes and server stand back for the browser, as if it were on a machine of its own")
            look(cockpit, pipes, browser, options.seconds)
        show_viewers(follower, stalled)
        cockpit.kill()
        cockpit.start()
        lost = check_acknowledged(cockpit, pipes)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
