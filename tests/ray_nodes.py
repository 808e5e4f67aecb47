"""A Ray for tests, with several nodes on this machine, beside the test's own processes.

It runs in a session of its own that is no child of the tests: Ray keeps idle processes, which are not what a test
leaves behind. It ends when it is told to, or when whoever started it is gone.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
START = 150.0
HAVE_RAY = all(importlib.util.find_spec(module) is not None for module in ("ray", "zenoh"))
"""Ray itself is imported when its token is known: it looks for it then, and never again."""

QUICK = {  # a lost node is noticed within five seconds, not twenty
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "4",
}


class RayNodes:
    """Nodes of a Ray. Closes twice without complaint.

    Args:
        folder: for its files.
        nodes: the resources of each, and its ``"address"`` (of this machine, such as 127.0.0.2) and ``"labels"`` where
            they matter; the first one is the head.
    """

    def __init__(self, folder: Path, nodes: list[dict[str, Any]]) -> None:
        self._said = folder / "ray.json"
        launcher = [sys.executable, str(Path(__file__)), str(self._said), json.dumps(nodes), str(os.getpid())]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token"}
        environment.update(QUICK)
        environment["RAY_AUTH_TOKEN"] = self.token = os.urandom(32).hex()
        environment.pop("TMPDIR", None)  # sockets with long paths cannot be opened
        with (folder / "ray.log").open("wb") as log:
            subprocess.run(launcher, check=True, env=environment, stdout=log, stderr=log, timeout=30)
        deadline = time.monotonic() + START
        while not self._said.exists():
            if time.monotonic() > deadline:
                raise TimeoutError(f"Ray was not there after {START:g} s: {(folder / 'ray.log').read_text()[-2000:]}")
            time.sleep(0.05)
        said = json.loads(self._said.read_text())
        self.address: str = said["address"]
        self._pid: int = said["pid"]
        self.raylets: list[int] = said["raylets"]

    def lose(self, number: int) -> None:
        """As if a host's cable were pulled for good: all of a node's processes are gone at once."""
        raylet = psutil.Process(self.raylets[number])
        for process in (raylet, *raylet.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def add(self, resources: dict[str, float]) -> None:
        """Let another node join, the last one."""
        more, added = self._said.with_suffix(".more"), self._said.with_suffix(".added")
        partial = self._said.with_suffix(".part")
        partial.write_text(json.dumps(resources))
        partial.rename(more)
        deadline = time.monotonic() + START
        while not added.exists():
            if time.monotonic() > deadline:
                raise TimeoutError(f"no node joined Ray within {START:g} s")
            time.sleep(0.05)
        self.raylets.append(int(added.read_text()))
        added.unlink()

    def close(self) -> None:
        """End it."""
        try:
            process = psutil.Process(self._pid)
            children = process.children(recursive=True)
            process.send_signal(signal.SIGTERM)
            psutil.wait_procs([process], timeout=10)
        except psutil.NoSuchProcess:
            return
        for child in (process, *children):
            try:
                child.kill()
            except psutil.NoSuchProcess:
                pass


def _of_node(wanted: dict[str, Any]) -> dict[str, Any]:
    """What Ray takes for a node with these resources, at an ``"address"`` and with ``"labels"`` if they are there."""
    options = {"node_ip_address": wanted.pop("address", None), "labels": wanted.pop("labels", None)}
    given = {name: value for name, value in options.items() if value is not None}
    return {"num_cpus": wanted.pop("CPU", 1), "resources": wanted, **given}


def _serve(said: Path, nodes: list[dict[str, Any]], parent: int) -> None:
    from ray._common.utils import get_default_ray_temp_dir
    from ray.cluster_utils import Cluster

    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: ended.append(number))
    folder = f"/tmp/pr2ray{os.getpid()}"  # a short name, and not where Ray notes that one runs on this machine
    options: dict[str, Any] = {"object_store_memory": 80 << 20, "include_dashboard": False, "temp_dir": folder}
    os.makedirs(get_default_ray_temp_dir(), exist_ok=True)  # Ray notes there where the last one was, and wants a folder
    cluster = Cluster()

    def add(wanted: dict[str, Any]) -> int:
        node = cluster.add_node(**_of_node(wanted), **options)
        return int(node.all_processes["raylet"][0].process.pid)

    def say(file: Path, text: str) -> None:
        partial = file.with_suffix(".part")
        partial.write_text(text)
        partial.rename(file)

    raylets = [add(wanted) for wanted in nodes]
    say(said, json.dumps({"address": cluster.address, "pid": os.getpid(), "raylets": raylets}))
    more = said.with_suffix(".more")
    while not ended and psutil.pid_exists(parent):
        if more.exists():
            node = json.loads(more.read_text())
            more.unlink()
            say(said.with_suffix(".added"), str(add(node)))
        time.sleep(0.2)
    cluster.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            _serve(Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3]))
    os._exit(0)
