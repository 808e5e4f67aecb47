"""Messages between two hosts by pipert2, by bare Zenoh and by Ray's object store: ``python -m benchmarks.cluster``.

The hosts are two network namespaces of this machine (root only). Same run, same data, systems in turn; medians.
``--works frames,latency``, ``--repeats 1``, ``--no-ray``, ``--delay 20`` (ms) for a slow cable. ``--scaling``: instead,
a flow that uses its processor for 4 ms a message, at the other host, with 1, 2 and 4 replicas.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from statistics import median
from time import sleep

import psutil
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.cluster_ends.cargo import DETECTORS, WORKS, Work
from benchmarks.environments import ROOT
from benchmarks.hosts import Hosts, HostsError

PORT, RAY_PORT = 7450, 6399
LIMIT = 60.0
OURS, ZENOH, RAY = "pipert2", "bare Zenoh", "Ray's object store"
EACH, TCP = "bare Zenoh, one put a message", "bare TCP"
TARGETS = ((ZENOH, 0.7), (EACH, 0.7), (RAY, 4.0))
Figures = dict[tuple[str, str], list[dict[str, float]]]


def _end(hosts: Hosts, at: int, module: str, *arguments: str) -> subprocess.Popen[str]:
    command = ["python", "-W", "ignore", "-m", f"benchmarks.cluster_ends.{module}", *arguments]
    return hosts.start(at, command, cwd=str(ROOT), stderr=subprocess.DEVNULL)


def _processor_time(hosts: Hosts) -> float:
    """Of all that runs on both hosts, in seconds."""
    total = 0.0
    for pid in hosts.processes():
        with contextlib.suppress(psutil.Error):
            total += sum(psutil.Process(pid).cpu_times()[:2])
    return total


def _counted(hosts: Hosts, work: Work, teller: subprocess.Popen[str]) -> dict[str, float]:
    """The figures that a process says after it has said that it begins to count."""
    _line(teller)
    before = _processor_time(hosts)
    figures = dict(json.loads(_line(teller) or "{}"))
    if figures:
        figures["cpu"] = (_processor_time(hosts) - before) / max(1.0, figures["rate"] * work.seconds) * 1e6
    return figures


def _kill(*roots: subprocess.Popen[str]) -> None:
    for root in roots:
        if root.stdin is not None:
            with contextlib.suppress(OSError):
                root.stdin.close()
    for root in roots:
        try:
            root.wait(15)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(root.pid, signal.SIGKILL)
            root.wait(15)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def between(hosts: Hosts, module: str, work: Work, *more: str) -> dict[str, float]:
    """One run of a system with a program at each end."""
    endpoint = f"tcp/{hosts.addresses[1]}:{PORT}"
    receiver = _end(hosts, 1, module, "receive", work.key, endpoint, *more)
    sleep(0.5)
    sender = _end(hosts, 0, module, "send", work.key, endpoint, *more)
    watch = _Watch(LIMIT, receiver, sender)
    try:
        with watch:
            return _counted(hosts, work, receiver)
    finally:
        _kill(receiver, sender)


class _Watch:
    """Kills processes that take too long, so that nobody waits for their output for ever."""

    def __init__(self, seconds: float, *processes: subprocess.Popen[str]) -> None:
        import threading

        self._timer = threading.Timer(seconds, lambda: [_stop(one) for one in processes])

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def _stop(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def ray_cluster(hosts: Hosts) -> Iterator[str]:
    """A cluster of two nodes; its address."""
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    folder = tempfile.mkdtemp(prefix="p2r", dir="/tmp")  # short: Ray puts sockets there
    address = f"{hosts.addresses[0]}:{RAY_PORT}"
    common = ["--disable-usage-stats", "--block", "--num-cpus", "1", "--object-store-memory", str(10**9)]
    head = ["--head", "--port", str(RAY_PORT), "--include-dashboard=false", f"--temp-dir={folder}/head"]
    other = [f"--address={address}", '--resources={"receiver": 1}']
    nodes = []
    try:
        for at, special in enumerate((head, other)):
            command = ["python", "-m", "ray.scripts.scripts", "start", *special, *common]
            command.append(f"--node-ip-address={hosts.addresses[at]}")
            node = hosts.start(at, command, cwd=str(ROOT), stderr=subprocess.STDOUT)
            nodes.append(node)
            with _Watch(LIMIT, node):
                while (line := _line(node)) and "runtime started" not in line:
                    pass
        yield address
    finally:
        hosts.end_processes()  # ended with SIGTERM they would take half a minute
        _kill(*nodes)
        shutil.rmtree(folder, ignore_errors=True)


def by_ray(hosts: Hosts, address: str, work: Work) -> dict[str, float]:
    """One run through a cluster that is there."""
    sender = _end(hosts, 0, "ray_store", "send", work.key, address)
    try:
        with _Watch(3 * LIMIT, sender):
            return _counted(hosts, work, sender)
    finally:
        _kill(sender)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", default=",".join(work.key for work in WORKS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-ray", action="store_true")
    parser.add_argument("--delay", type=float, default=0.0, help="of the cable, each way, in ms")
    parser.add_argument("--scaling", action="store_true")
    options = parser.parse_args()
    works = [work for work in WORKS if work.key in options.works.split(",")]
    if options.scaling:
        works, options.no_ray = list(DETECTORS), True
    with_ray = not options.no_ray and importlib.util.find_spec("ray") is not None
    found: Figures = {}
    try:
        with Hosts(2) as hosts:
            if options.delay:
                hosts.disturb(0, delay=options.delay / 1000)
                hosts.disturb(1, delay=options.delay / 1000)
            for _ in range(options.repeats):
                for work in works:
                    for system, run in _systems(hosts, work):
                        found.setdefault((system, work.key), []).append(run)
            if with_ray:
                with ray_cluster(hosts) as address:
                    for _ in range(options.repeats):
                        for work in works:
                            found.setdefault((RAY, work.key), []).append(by_ray(hosts, address, work))
    except HostsError as error:
        print(f"there can be no two hosts on this machine: {error}", file=sys.stderr)
        return 1
    report(works, found)
    return 0


def _systems(hosts: Hosts, work: Work) -> Iterator[tuple[str, dict[str, float]]]:
    yield OURS, between(hosts, "pipert2_link", work)
    if work.replicas:
        return
    yield ZENOH, between(hosts, "zenoh_bare", work)
    if not work.frames:
        yield EACH, between(hosts, "zenoh_bare", work, "--express")
    elif not work.delay:
        yield TCP, between(hosts, "tcp_bare", work)


def _median(found: Figures, system: str, work: Work, metric: str) -> float | None:
    values = [run[metric] for run in found.get((system, work.key), []) if metric in run]
    return median(values) if values else None


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def report(works: list[Work], found: Figures) -> None:
    """The table, and which targets were reached."""
    systems = [name for name in (OURS, ZENOH, EACH, TCP, RAY) if any(system == name for system, _ in found)]
    table = Table(box=box.SIMPLE, title=f"two hosts, {os.cpu_count()} processors in all")
    for column in ("", *systems):
        table.add_column(column, justify="left" if not column else "right")
    for work in works:
        row: list[str] = []
        for system in systems:
            rate, p50 = _median(found, system, work, "rate"), _median(found, system, work, "p50")
            cpu = _median(found, system, work, "cpu")
            text = _shown(rate, ",.0f") + "/s" if not work.delay else _shown(p50, ",.0f") + " us"
            row.append(text if cpu is None else f"{text} ({cpu:,.0f} us CPU)")
        table.add_row(work.title, *row)
    console = Console(width=150)
    console.print(table)
    alone = next((_median(found, OURS, work, "rate") for work in works if work.replicas == 1), None)
    for work in works:
        ours = _median(found, OURS, work, "rate")
        if work.replicas and ours and alone:
            most = min(work.replicas, os.cpu_count() or 1)
            console.print(f"{work.replicas} replicas: {ours / alone:.2f} times one; there are processors for {most}")
        for system, factor in TARGETS:
            theirs = _median(found, system, work, "rate")
            if work.delay or not ours or not theirs:
                continue
            verdict = "reached" if ours / theirs >= factor else "missed"
            console.print(f"{work.key}: {ours / theirs:.2f} times {system}; target {factor}: {verdict}")
    print(json.dumps({f"{system} {key}": runs for (system, key), runs in found.items()}))


if __name__ == "__main__":
    sys.exit(main())
