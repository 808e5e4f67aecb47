"""Hosts of a network on one machine: a namespace for each, joined by a bridge, with a Ray node in each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.ray_nodes import QUICK, ROOT

RAY = Path(sys.executable).with_name("ray")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)


def why_not() -> str | None:
    """Why there can be no such hosts here; None if there can."""
    if shutil.which("ip") is None:
        return "there is no ip command"
    name = f"pr2probe{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, timeout=20)
    if made.returncode:
        return f"network namespaces are not permitted here: {made.stderr.decode().strip()}"
    probe = subprocess.run(["ip", "netns", "exec", name, "true"], capture_output=True, timeout=20)
    subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=20)
    return None if probe.returncode == 0 else f"nothing runs in a network namespace here: {probe.stderr.decode()}"


class NoRayError(Exception):
    """Ray did not come up, which waits for 30 seconds at most; on a machine with much else to do that may happen."""


class Hosts:
    """A few hosts, with a Ray over all of them. Closes twice without complaint.

    Args:
        folder: for its files.
        resources: of each host's Ray, as JSON; the first one is the head.
    """

    def __init__(self, folder: Path, resources: Sequence[str]) -> None:
        self._tag = f"p{os.getpid() % 100000}"
        self._bridge = f"{self._tag}br"
        self._resources = list(resources)
        self._folder = Path(f"/tmp/{self._tag}ray")  # Ray cannot open sockets with long paths
        self.names = [f"{self._tag}h{number}" for number in range(1, len(resources) + 1)]
        net = f"10.{60 + os.getpid() % 100}.{os.getpid() // 100 % 250}"
        self.addresses = [f"{net}.{number}" for number in range(1, len(resources) + 1)]
        self.certificates = folder / "certificates"
        self.token = os.urandom(32).hex()
        try:
            self._join()
            self._certify()
            self._start(resources)
        except BaseException:
            self.close()
            raise

    def _join(self) -> None:
        _ip("netns", "add", self._bridge)
        _ip("-n", self._bridge, "link", "add", "br0", "type", "bridge")
        _ip("-n", self._bridge, "link", "set", "br0", "up")
        for name, address in zip(self.names, self.addresses, strict=True):
            _ip("netns", "add", name)
            _ip("link", "add", name, "netns", self._bridge, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("-n", self._bridge, "link", "set", name, "master", "br0", "up")
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-n", name, "link", "set", device, "up")

    def _certify(self) -> None:
        """One certificate for all of these hosts; hosts of one's own have one each."""
        self.certificates.mkdir()
        names = ",".join(f"IP:{address}" for address in self.addresses)
        (self.certificates / "names").write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n")
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        sign = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"]
        for command in (
            ["req", "-x509", *key, "-days", "2", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=tests"],
            ["req", *key, "-keyout", "host.key", "-out", "host.csr", "-subj", "/CN=host"],
            ["x509", "-req", "-in", "host.csr", "-out", "host.pem", *sign],
        ):
            subprocess.run(["openssl", *command], cwd=self.certificates, check=True, capture_output=True, timeout=30)

    def _start(self, resources: Sequence[str]) -> None:
        head, *others = zip(self.names, self.addresses, resources, strict=True)
        name, address, has = head
        place = ["--head", "--port=6399", "--include-dashboard=false", f"--temp-dir={self._folder}"]
        self._ray(name, address, has, place).wait(150)
        started = [self._ray(*other, [f"--address={address}:6399"]) for other in others]
        codes = [process.wait(150) for process in started]
        for other, code in zip(others, codes, strict=True):
            if code and self._ray(*other, [f"--address={address}:6399"]).wait(150):  # once more, alone
                said = (self.certificates.parent / f"{other[0]}.log").read_text().strip().splitlines()
                raise NoRayError(f"Ray does not start here: {said[-1] if said else 'it says nothing'}")

    def _ray(self, name: str, address: str, resources: str, place: Sequence[str]) -> subprocess.Popen[bytes]:
        options = ["--num-cpus=1", "--object-store-memory=80000000", f"--resources={resources}"]
        command = ["ip", "netns", "exec", name, str(RAY), "start", *place, f"--node-ip-address={address}", *options]
        with (self.certificates.parent / f"{name}.log").open("wb") as log:
            return subprocess.Popen(command, env=self.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def engine(self) -> str:
        """What ``Pipe(engine=...)`` is given there."""
        return f"ray://{self.addresses[0]}:6399?certificates={self.certificates}"

    def environment(self) -> dict[str, str]:
        """What programs on these hosts find."""
        kept = {name: value for name, value in os.environ.items() if name != "TMPDIR"}
        patient = {**QUICK, "RAY_health_check_failure_threshold": "10"}  # a cable out for seconds is no lost host
        ray = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token, **patient}
        return {**kept, **ray, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}

    def command(self, host: int, *words: str) -> list[str]:
        """A command that is run on a host."""
        return ["ip", "netns", "exec", self.names[host], *words]

    def cut(self, host: int, *, off: bool = True) -> None:
        """Take a host's cable out, or put it in again."""
        _ip("-n", self._bridge, "link", "set", self.names[host], "down" if off else "up")

    def pids(self, host: int) -> list[int]:
        """The processes that run on a host."""
        found = subprocess.run(["ip", "netns", "pids", self.names[host]], capture_output=True, text=True, timeout=20)
        return [int(pid) for pid in found.stdout.split()]

    def kill(self, host: int) -> None:
        """End all that runs on a host, at once."""
        for pid in self.pids(host):
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass

    def revive(self, host: int) -> None:
        """Start the Ray of a host again that was killed, which is not the head."""
        name, address = self.names[host], self.addresses[host]
        if self._ray(name, address, self._resources[host], [f"--address={self.addresses[0]}:6399"]).wait(150):
            raise NoRayError(f"Ray does not start again on {address}")

    def close(self) -> None:
        """End everything."""
        for host, name in enumerate(self.names):
            self.kill(host)
            subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=20)
        subprocess.run(["ip", "netns", "del", self._bridge], capture_output=True, timeout=20)
        shutil.rmtree(self._folder, ignore_errors=True)
