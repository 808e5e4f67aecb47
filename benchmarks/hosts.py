"""Two hosts on one machine: network namespaces with a cable between them, which can be slow, lossy, or cut."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import IO, Any

from benchmarks.environments import ROOT

_NUMBERS = iter(range(1, 1000))


class HostsError(Exception):
    """There can be no such hosts here; the message says why."""


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, cwd=ROOT)
    if done.returncode:
        raise HostsError(f"{' '.join(command)}: {done.stderr.strip()}")


class Hosts:
    """Hosts, each with the addresses ``addresses[at]``, on one network. A context manager; closes twice.

    Args:
        count: how many.

    Raises:
        HostsError: network namespaces are not permitted here, or the command ``ip`` is missing.
    """

    def __init__(self, count: int = 2) -> None:
        if shutil.which("ip") is None:
            raise HostsError("the command ip is missing: install iproute2")
        mark = f"{os.getpid() % 0xFFFF:x}{next(_NUMBERS):x}"
        self._bridge = f"p2b{mark}"
        self._names = [f"p2h{mark}-{at}" for at in range(count)]
        self._slow: list[subprocess.Popen[bytes]] = []
        self._cables = [f"p2c{mark}-{at}" for at in range(count)]
        net = f"10.{64 + os.getpid() % 64}.{os.getpid() // 64 % 256}"
        self.addresses = [f"{net}.{at + 1}" for at in range(count)]
        try:
            self._open()
        except HostsError:
            self.close()
            raise

    def _open(self) -> None:
        _run("ip", "netns", "add", self._bridge)  # the switch has a namespace of its own, out of everybody's way
        _run("ip", "-n", self._bridge, "link", "add", "switch", "type", "bridge")
        _run("ip", "-n", self._bridge, "link", "set", "switch", "up")
        for name, cable, address in zip(self._names, self._cables, self.addresses, strict=True):
            _run("ip", "netns", "add", name)
            _run(
                "ip", "link", "add", cable, "netns", self._bridge, "type", "veth", "peer", "name", "eth0", "netns", name
            )
            _run("ip", "-n", self._bridge, "link", "set", cable, "master", "switch", "up")
            _run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            _run("ip", "-n", name, "link", "set", "eth0", "up")
            _run("ip", "-n", name, "link", "set", "lo", "up")

    def start(
        self,
        at: int,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        stdout: int | IO[Any] | None = subprocess.PIPE,
        stderr: int | IO[Any] | None = None,
        cwd: str | None = None,
    ) -> subprocess.Popen[str]:
        """Start a command on a host, in a process group of its own; ``python`` is this interpreter."""
        command = [sys.executable if one == "python" else one for one in arguments]
        return subprocess.Popen(
            ["ip", "netns", "exec", self._names[at], *command],
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            text=True,
            cwd=cwd,
            env=os.environ | dict(environment or {}),
            start_new_session=True,
        )

    def cut(self, at: int) -> None:
        """Pull the cable of a host."""
        _run("ip", "-n", self._bridge, "link", "set", self._cables[at], "down")

    def mend(self, at: int) -> None:
        """Plug it in again."""
        _run("ip", "-n", self._bridge, "link", "set", self._cables[at], "up")

    def disturb(self, at: int, *, delay: float = 0.0, loss: float = 0.0) -> None:
        """Let what a host sends be late by *delay* seconds, and the share *loss* of its frames be lost."""
        netem = ["netem", "delay", f"{delay * 1000:g}ms", "loss", f"{loss * 100:g}%"]
        try:
            _run("tc", "-n", self._names[at], "qdisc", "replace", "dev", "eth0", "root", *netem)
        except HostsError:
            self._disturb_without_netem(at, delay, loss)

    def _disturb_without_netem(self, at: int, delay: float, loss: float) -> None:
        for name in self._names:
            _run("ip", "netns", "exec", name, sys.executable, "-m", "benchmarks.cable", "--without-offloads", "eth0")
        outer, (inner, plug) = self._cables[at], (f"in{at}", f"plug{at}")
        _run("ip", "-n", self._bridge, "link", "set", outer, "nomaster")
        _run("ip", "-n", self._bridge, "link", "add", inner, "type", "veth", "peer", "name", plug)
        _run("ip", "-n", self._bridge, "link", "set", plug, "master", "switch", "up")
        _run("ip", "-n", self._bridge, "link", "set", inner, "up")
        command = ["ip", "netns", "exec", self._bridge, sys.executable, "-m", "benchmarks.cable"]
        cable = subprocess.Popen([*command, outer, inner, str(delay), str(loss)], stdout=subprocess.PIPE, cwd=ROOT)
        self._slow.append(cable)
        assert cable.stdout is not None
        if cable.stdout.readline() != b"open\n":
            raise HostsError("frames cannot be passed on by a program here")

    def processes(self) -> list[int]:
        """The numbers of what runs on the hosts."""
        found: list[int] = []
        for name in self._names:
            command = ["ip", "netns", "pids", name]
            done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
            found += map(int, done.stdout.split())
        return found

    def end_processes(self) -> None:
        """Kill whatever runs on the hosts."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """Take it all away, and what runs there."""
        self.end_processes()
        for cable in self._slow:
            cable.kill()
            cable.communicate(timeout=20)
        self._slow.clear()
        for name in [*self._names, self._bridge]:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=20, check=False)
        self._names, self._cables = [], []

    def __enter__(self) -> Hosts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
