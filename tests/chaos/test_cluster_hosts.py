"""A pipe over three hosts, each a network namespace of its own, its links over TLS: cables cut, hosts killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipert2.testing import wait_until
from tests.hosts import Hosts, NoRayError, why_not
from tests.processes import Children
from tests.ray_nodes import HAVE_RAY, ROOT

_WHY_NOT = 'it needs Ray and Zenoh: pip install "pipert2[cluster]"' if not HAVE_RAY else why_not()
pytestmark = [pytest.mark.ray, pytest.mark.timeout(400), pytest.mark.skipif(_WHY_NOT is not None, reason=str(_WHY_NOT))]

PIPE = """
import json, logging, sys, time
import numpy as np
from pipert2 import DestinationRoutine, MiddleRoutine, Pipe, SharedMemoryTransmitter, SourceRoutine, Wire

class Camera(SourceRoutine):
    def __init__(self, count, pause):
        super().__init__("camera")
        self.count, self.pause = count, pause
    def main_logic(self):
        for number in range(self.count):
            self.wait(self.pause)
            frame = self.loan((120, 160, 3))
            frame[:] = number % 250
            yield {"number": number, "frame": frame}

class Detector(MiddleRoutine):
    def main_logic(self, data):
        assert int(data["frame"].min()) == int(data["frame"].max()) == data["number"] % 250
        return {"number": data["number"], "found": int(data["frame"][0, 0, 0])}

class Screen(DestinationRoutine):
    def __init__(self, path):
        super().__init__("screen")
        self.path = path
    def main_logic(self, found):
        with open(self.path, "a") as file:
            print(found["number"], found["found"], file=file)

engine, path, count, pause, lossless, replicas = sys.argv[1:7]
logging.basicConfig(level=logging.INFO)
camera, detector, screen = Camera(int(count), float(pause)), Detector("detector"), Screen(path)
pipe = Pipe("faces", engine=engine, lossless=lossless == "lossless", data_transmitter=SharedMemoryTransmitter())
pipe.create_flow("camera", False, camera)
pipe.create_flow("detector", False, detector, resources={"detects": 1}, replicas=int(replicas) or None)
pipe.create_flow("screen", False, screen)
pipe.link(Wire(camera, detector), Wire(detector, screen))
pipe.notify_event("start", wait=30.0)

def say(**what):
    print(json.dumps(what), flush=True)

seen = None
began = time.monotonic()
while time.monotonic() < began + 240:
    status = pipe.status()
    site = status.sites[1]
    links = [link for one in status.sites for link in one.links]
    now = {"host": status.flow("detector").host, "state": site.state, "restarts": site.restarts, "links": links}
    now["states"] = {one.host: one.state for one in status.sites}
    if now != seen:
        say(**now)
        seen = now
    if status.state.value in ("finished", "failed"):
        break
    time.sleep(0.1)
clock = [status.sites[1].clock_offset, status.sites[1].clock_uncertainty]
age = status.routine("screen").age.p99
pipe.join(timeout=5)
status = pipe.status()
wires = [[wire.sent, wire.received, wire.dropped] for wire in status.wires]
say(end=status.reason, wires=wires, clock=clock, age=age)
"""

PARTS = """
import subprocess
from pipert2 import DestinationRoutine, MiddleRoutine, SourceRoutine

class Ticks(SourceRoutine):
    def main_logic(self):
        self.wait(0.02)
        return 1

class Where(MiddleRoutine):
    def setup(self):
        told = subprocess.run(["ip", "-o", "-4", "addr", "show", "eth0"], capture_output=True, text=True).stdout
        self.address = told.split()[3].split("/")[0]
    def main_logic(self, number):
        return f"{number} {self.address}"

class Writes(DestinationRoutine):
    def main_logic(self, line):
        with open("seen", "a") as file:
            print(line, file=file)
"""
DOCUMENT = """
name: ticking
lossless: true
flows:
  here: {routines: [{class: "./parts.py:Ticks", name: ticks}]}
  there: {routines: [{class: "./parts.py:Where", name: where}], resources: {detects: 1}}
  back: {routines: [{class: "./parts.py:Writes", name: writes}]}
wires:
  - {source: ticks, destinations: where}
  - {source: where, destinations: writes}
"""


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    try:
        made = Hosts(tmp_path_factory.mktemp("hosts"), ['{"desk": 1}', '{"detects": 1}', '{"detects": 1}'])
    except NoRayError as error:
        pytest.skip(str(error))
    yield made
    made.close()


class Run:
    """The pipe, driven from the first host."""

    def __init__(
        self, hosts: Hosts, folder: Path, count: int, pause: float, lossless: str = "lossless", replicas: int = 0
    ) -> None:
        (folder / "faces.py").write_text(PIPE)
        self.path = folder / "found"
        self._said = folder / "said"
        self._children = Children()
        words = [hosts.engine, str(self.path), str(count), str(pause), lossless, str(replicas)]
        command = hosts.command(0, sys.executable, str(folder / "faces.py"), *words)
        self._output = self._said.open("wb")
        self.errors = (folder / "errors").open("wb")
        self._process = subprocess.Popen(command, env=hosts.environment(), stdout=self._output, stderr=self.errors)

    def said(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._said.read_text().splitlines() if line.startswith("{")]

    def found(self) -> list[int]:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        pairs = [tuple(map(int, line.split())) for line in lines]
        assert all(found == number % 250 for number, found in pairs)
        return [number for number, _ in pairs]

    def end(self) -> dict[str, Any]:
        assert self._process.wait(120) == 0, Path(self.errors.name).read_text()[-3000:]
        return self.said()[-1]

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(60)
        self._output.close()
        self.errors.close()


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    made: list[Run] = []
    yield made
    for run in made:
        run.close()


def test_a_detector_on_another_host_gets_the_newest_frames(hosts: Hosts, tmp_path: Path, runs: list[Run]) -> None:
    run = Run(hosts, tmp_path, 120, 0.02, "newest")
    runs.append(run)
    end = run.end()
    (sent, received, dropped), (_, shown, lost) = end["wires"]
    assert sent == 120
    assert sent == received + dropped
    assert shown + lost == received
    assert run.said()[0]["host"] in hosts.addresses[1:]
    assert abs(end["clock"][0]) <= end["clock"][1] + 1e-6  # these hosts have the same clock
    assert run.found() == sorted(run.found())


def test_face_watch_finds_the_same_with_its_finders_on_other_hosts(hosts: Hosts, tmp_path: Path) -> None:
    pytest.importorskip("av", reason='it needs pip install "pipert2[examples]"')
    pytest.importorskip("PIL", reason='it needs pip install "pipert2[examples]"')
    video = ROOT / "examples" / "make_video.py"
    made = [sys.executable, str(video), "--output", "in.mp4", "--seconds", "1.5", "--size", "320x180"]
    subprocess.run(made, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    words = [str(ROOT / "examples" / "face_watch.py"), "--input", "in.mp4", "--output"]
    here = [sys.executable, *words, "here.mp4"]
    there = hosts.command(0, sys.executable, *words, "there.mp4", "--engine", hosts.engine)
    for command in (here, there):
        done = subprocess.run(
            command, cwd=tmp_path, env=hosts.environment(), capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
    one, other = (json.loads((tmp_path / name).read_text()) for name in ("here.json", "there.json"))
    assert [box["boxes"] for box in other["boxes"]] == [box["boxes"] for box in one["boxes"]]
    assert (other["frames"], other["missing"], other["dropped"]) == (one["frames"], 0, 0)
    assert {other["hosts"]["finder-1"], other["hosts"]["finder-2"]} == set(hosts.addresses[1:])


def test_replicas_of_other_hosts_do_what_a_lost_host_had_in_hand(hosts: Hosts, tmp_path: Path, runs: list[Run]) -> None:
    run = Run(hosts, tmp_path, 600, 0.02, replicas=2)  # one on each of the other hosts, and there is no third
    runs.append(run)
    wait_until(lambda: run.said() and len(run.found()) > 100, 120)
    assert set(run.said()[0]["states"]) == set(hosts.addresses)
    hosts.kill(2)
    try:
        wait_until(lambda: run.said()[-1].get("states", {}).get(hosts.addresses[2]) != "running", 90)
        wait_until(lambda: set(run.found()) == set(range(600)), 90)
    finally:
        run.close()
        hosts.revive(2)


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_a_document_runs_on_a_cluster_from_the_command_line_and_ctrl_c_leaves_nothing(
    hosts: Hosts, tmp_path: Path
) -> None:
    (tmp_path / "parts.py").write_text(PARTS)
    (tmp_path / "pipe.yaml").write_text(DOCUMENT)
    engine = hosts.engine
    words = [sys.executable, "-m", "pipert2", "run", "--engine", engine, "pipe.yaml"]
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(
            hosts.command(0, *words), cwd=tmp_path, env=hosts.environment(), stdout=said, stderr=said
        )
    seen = tmp_path / "seen"
    try:
        wait_until(lambda: seen.exists() and len(seen.read_text().splitlines()) > 20, 120)
        hosts_of = {line.split()[1] for line in seen.read_text().splitlines()}
        assert hosts_of <= set(hosts.addresses[1:])
        pids = {pid for host in range(3) for pid in hosts.pids(host)}
        sites = [pid for pid in pids if _title(pid).startswith("ray::SiteActor")]
        assert sites
        process.send_signal(signal.SIGINT)
        process.wait(90)
    finally:
        process.kill()
        process.wait(10)
    text = (tmp_path / "said").read_text()
    assert "Traceback" not in text, text[-3000:]
    wait_until(lambda: not [pid for pid in sites if _title(pid).startswith("ray::SiteActor")], 60)
    assert not [name for name in os.listdir("/dev/shm") for pid in pids if name.startswith(f"pr2-{pid:x}-")]


def test_a_cut_link_and_a_lost_host_lose_nothing_on_lossless_wires(
    hosts: Hosts, tmp_path: Path, runs: list[Run]
) -> None:
    run = Run(hosts, tmp_path, 900, 0.01)
    runs.append(run)
    wait_until(lambda: run.said() and len(run.found()) > 100, 120)
    host = hosts.addresses.index(run.said()[0]["host"])
    hosts.cut(host)
    wait_until(lambda: any("cut" in link for said in run.said() for link in said["links"]), 60)  # it is named
    wait_until(lambda: any(said["state"] == "silent" for said in run.said()), 60)
    hosts.cut(host, off=False)
    before = len(run.found())
    wait_until(lambda: len(run.found()) > before + 50, 60)
    hosts.kill(host)
    wait_until(lambda: run.said()[-1].get("restarts") == 1 and run.said()[-1]["state"] == "running", 90)
    assert run.said()[-1]["host"] in set(hosts.addresses) - {hosts.addresses[host], hosts.addresses[0]}
    end = run.end()
    assert end["end"] is None
    assert set(run.found()) == set(range(900))
