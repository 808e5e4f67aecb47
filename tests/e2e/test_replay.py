"""``pipert2 replay`` runs analyses that were written for dranspose, and what it writes is right every time."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipert2.patterns.capture.cbors_writer import CborsWriter
from tests import xrd
from tests.e2e.blocks import ROOT
from tests.e2e.replays import replay

h5py: Any = pytest.importorskip("h5py")

ANALYSIS = ("-w", "src.worker:TestWorker", "-r", "src.reducer:TestReducer")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    xrd.write_analysis(tmp_path)
    xrd.write(tmp_path / "data" / "xrd.cbors", xrd.events())
    return tmp_path


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_numbers_are_right_with_any_number_of_workers(folder: Path, workers: int) -> None:
    done = replay(folder, *ANALYSIS, "-f", "data/xrd.cbors", "--workers", workers)
    assert done.returncode == 0, done.stderr
    with h5py.File(folder / "output" / "xrd_processed.h5") as file:
        reduced = file["reduced"]
        assert (reduced.dtype, reduced.shape, reduced.maxshape) == (np.float32, (10,), (None,))
        assert reduced[()].tolist() == [0, *xrd.SMALL]
    assert f"deltas were {[float(one) for one in xrd.SMALL_DELTAS]}" in done.stderr
    assert f"results were {workers} starts, 9 means" in done.stderr
    assert "done: 11 events, 11 done" in done.stdout


def test_parameters_of_a_file_hold(folder: Path) -> None:
    done = replay(folder, *ANALYSIS, "-f", "data/xrd.cbors", "-p", "test_params.json")
    assert done.returncode == 0, done.stderr
    with h5py.File(folder / "output" / "xrd_processed.h5") as file:
        assert np.abs(file["reduced"][1:] - np.array(xrd.LARGE) / 9).max() < 1e-6
        assert [(file[name][()], file[name].dtype) for name in ("till_x", "from_y")] == [(3, np.int64), (7, np.int64)]


def test_an_unknown_parameter_is_warned_of_and_a_wrong_one_refused(folder: Path) -> None:
    params = folder / "params.json"
    params.write_text('[{"name": "tilx", "data": "3"}]')
    done = replay(folder, *ANALYSIS, "-f", "data/xrd.cbors", "-p", params)
    assert done.returncode == 0
    assert "no parameter 'tilx': did you mean 'till_x'?" in done.stderr
    params.write_text('[{"name": "till_x", "data": "abc"}]')
    done = replay(folder, *ANALYSIS, "-f", "data/xrd.cbors", "-p", params)
    assert done.returncode == 2
    assert "'till_x'" in done.stderr
    assert "whole number (int), not 'abc'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_truncated_capture_is_told_with_the_offset_and_is_short(folder: Path) -> None:
    capture = folder / "data" / "xrd.cbors"
    capture.write_bytes(capture.read_bytes()[:-100])
    done = replay(folder, *ANALYSIS, "-f", capture, "--json")
    assert done.returncode == 1
    assert "offset" in done.stderr or "byte" in done.stderr
    (scan,) = json.loads(done.stdout)["scans"]
    assert (scan["state"], scan["events"], scan["done"]) == ("short", 9, 9)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("-w", "src.worker:TestWorker", "-r", "src.reducer:TestReducer", "-f", "nothing.cbors"), "nothing.cbors"),
        (("-w", "src.worker:TestWroker", "-r", "src.reducer:TestReducer", "-f", "x"), "did you mean 'TestWorker'"),
        (("-w", "src.wroker:TestWorker", "-r", "src.reducer:TestReducer", "-f", "x"), "no module src.wroker"),
        (("-w", "src.worker", "-r", "src.reducer:TestReducer", "-f", "x"), "MODULE:NAME"),
        (
            ("-w", "src.worker:Start", "-r", "src.reducer:TestReducer", "-f", "data/xrd.cbors"),
            "no method 'process_event'",
        ),
        (("-w", "src.worker:TestWorker", "-r", "src.reducer:TestReducer"), "--file"),
        ((*ANALYSIS, "-f", "data/xrd.cbors", "-n", "0"), "--workers"),
        ((*ANALYSIS, "-f", "data/xrd.cbors", "-p", "nothing.json"), "nothing.json"),
        ((*ANALYSIS, "-f", "src/worker.py"), "no .cbors capture"),
        ((*ANALYSIS, "-f", "data/xrd.cbors", "--as", "xrd:STINS"), "holds events"),
        ((*ANALYSIS, "-f", "data/xrd.cbors", "--as", "xrd"), "STREAM:PROTOCOL"),
        ((*ANALYSIS, "-f", "a", "-f", "b", "--as", "xrd:STINS", "--as", "xrd:albaem"), "named twice"),
        ((*ANALYSIS, "-f", "a", "-f", "b", "--as", "xrd:STINS"), "2 captures, but 1 stream"),
        ((*ANALYSIS, "-f", "data/xrd.cbors", "--key", "count"), "with --as STREAM:PROTOCOL"),
        ((*ANALYSIS, "-f", "a", "--as", "xrd:STINS", "--key", "xrd:counts"), "neither number nor count"),
        ((*ANALYSIS, "-f", "a", "--as", "xrd:STINS", "--key", "xdr:count"), "did you mean 'xrd'"),
        ((*ANALYSIS, "-f", "run.mcap"), "run.mcap is an MCAP file: say of which streams"),
        ((*ANALYSIS, "-f", "run.mcap", "-f", "a", "--as", "xrd:STINS", "--as", "b:STINS"), "replay it by itself"),
        ((*ANALYSIS, "-f", "run.mcap", "--as", "xrd:STINS"), "run.mcap"),
    ],
)
def test_what_is_wrong_is_one_clear_line(folder: Path, arguments: tuple[str, ...], complaint: str) -> None:
    (folder / "run.mcap").write_bytes(b"\x89MCAP0\r\n and nothing else")
    done = replay(folder, *arguments)
    assert done.returncode in (1, 2)
    assert complaint in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


IN_OUR_IDIOM = """
import numpy as np
from pipert2.patterns.streams import stins
from pipert2.patterns.results.result_file import ResultFile


class Rings:
    \"\"\"Mean counts by distance from the beam: pixels in quarters, solid angle corrected.\"\"\"

    def __init__(self, size=10, distance=30.0, bins=5, parts=4):
        def q(y, x):
            angle = np.arctan(np.hypot(y - size / 2, x - size / 2) / distance)
            return 4 * np.pi * np.sin(angle / 2), np.cos(angle) ** 3

        rows, columns = np.indices((size, size))
        middle, self.solid_angle = q(rows + 0.5, columns + 0.5)
        edges = np.linspace(middle.min(), middle.max(), bins + 1)
        self.axis = (edges[1:] + edges[:-1]) / 2
        self.weights = np.zeros((bins, size * size))
        for y in range(parts):
            for x in range(parts):
                where, _ = q(rows + (y + 0.5) / parts, columns + (x + 0.5) / parts)
                ring = np.floor((where - edges[0]) / (edges[-1] - edges[0]) * bins).astype(int).ravel()
                inside = np.flatnonzero((ring >= 0) & (ring < bins))
                np.add.at(self.weights, (ring[inside], inside), 1)

    def integrate(self, image):
        return self.weights @ (image / self.solid_angle).ravel() / self.weights.sum(axis=1)


class Worker:
    def __init__(self):
        self.rings = Rings()

    def process_event(self, event):
        message = stins.parse(event["xrd"])
        if isinstance(message, stins.StinsStart):
            return message.filename, self.rings.axis
        if isinstance(message, stins.StinsData):
            return message.data[:2, 8:].mean(), self.rings.integrate(message.data)


class Reducer:
    results = None

    def process_result(self, result):
        first, second = result.payload
        if isinstance(first, str):
            rows = {"reduced": "f4", "I": ("f4", (5,))}
            self.results = self.results or ResultFile(first, rows, {"radial_axis": second})
        else:
            self.results.put("reduced", result.event_number, first)
            self.results.put("I", result.event_number, second)

    def finish(self):
        print("means", self.results.values("reduced")[1:].tolist())
        self.results.close()
"""


def test_heavy_processing_is_written_whole(folder: Path) -> None:
    (folder / "rings.py").write_text(IN_OUR_IDIOM)
    done = replay(folder, "-w", "rings:Worker", "-r", "rings:Reducer", "-f", "data/xrd.cbors", "--workers", 3)
    assert done.returncode == 0, done.stderr
    scope: dict[str, Any] = {}
    exec(IN_OUR_IDIOM, scope)
    rings = scope["Rings"]()
    axis = [0.2643591419, 0.4969471777, 0.7295352135, 0.9621232492, 1.1947112850]
    with h5py.File(folder / "output" / "xrd_processed.h5") as file:
        assert np.abs(file["radial_axis"][()] - axis).max() < 1e-6
        assert (file["I"].shape, file["I"].dtype) == ((10, 5), np.float32)
        assert np.isnan(file["I"][0]).all()
        wanted = [rings.integrate(xrd.image(number)) for number in range(9)]
        assert np.abs(file["I"][1:] - wanted).max() < 1e-4


@pytest.mark.parametrize(("filename", "file"), [("", None), ("xrd.h5", "xrd_processed.h5")])
def test_a_live_view_saves_nothing_and_a_bare_name_is_a_file_here(
    folder: Path, filename: str, file: str | None
) -> None:
    (folder / "rings.py").write_text(IN_OUR_IDIOM)
    xrd.write(folder / "live.cbors", xrd.events(filename))
    done = replay(folder, "-w", "rings:Worker", "-r", "rings:Reducer", "-f", "live.cbors")
    assert done.returncode == 0, done.stderr
    assert f"means {list(xrd.SMALL)}" in done.stdout
    assert [one.name for one in folder.glob("*.h5")] == ([file] if file else [])


def test_raw_messages_are_replayed_as_the_stream_that_they_are_said_to_be(folder: Path) -> None:
    with CborsWriter(folder / "raw.cbors") as writer:
        for event in xrd.events():
            writer.write([bytes(part) for part in event["xrd"].frames])
    done = replay(folder, *ANALYSIS, "-f", "raw.cbors", "--as", "xrd:STINS")
    assert done.returncode == 0, done.stderr
    assert f"deltas were {[float(one) for one in xrd.SMALL_DELTAS]}" in done.stderr
    assert "done: 11 events, 11 done" in done.stdout


@pytest.mark.parametrize("key", ["count", "xrd:count"])
def test_raw_messages_whose_numbers_begin_anew_are_counted_where_that_is_asked_for(folder: Path, key: str) -> None:
    start, *images, end = ([bytes(part) for part in event["xrd"].frames] for event in xrd.events())
    with CborsWriter(folder / "raw.cbors") as writer:
        for parts in (start, *images, *images, end):
            writer.write(parts)
    arguments = (*ANALYSIS, "-f", "raw.cbors", "--as", "xrd:STINS", "--log-level", "WARNING")
    assert "done: 11 events, 11 done; frames: 9 duplicate" in replay(folder, *arguments).stdout
    assert "done: 20 events, 20 done\n" in replay(folder, *arguments, "--key", key).stdout


def test_a_port_that_is_taken_fails_the_replay_and_says_so(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = replay(folder, *ANALYSIS, "-f", "data/xrd.cbors", "--publish", port)
    assert done.returncode == 1
    assert f"port {port}" in done.stderr
    assert "FAILED" in done.stdout


PUBLISHES = """
class Reducer:
    def __init__(self):
        self.publish = {"means": []}

    def process_result(self, result):
        self.publish["means"].append(result.payload)

def mean(event):
    from pipert2.patterns import stins
    message = stins.parse(event["xrd"])
    return float(message.data[:2, 8:].mean()) if isinstance(message, stins.StinsData) else None
"""


def test_results_can_be_looked_at_after_the_end_until_ctrl_c(folder: Path) -> None:
    (folder / "shown.py").write_text(PUBLISHES)
    arguments = ["-w", "shown:mean", "-r", "shown:Reducer", "-f", "data/xrd.cbors", "--publish", "0", "--keep-alive"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pipert2", "replay", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "scan done" in line:
                break
        (url,) = [line.split("results at ")[1].strip() for line in lines if "results at " in line]
        with urllib.request.urlopen(f"{url}/", timeout=60) as answer:
            root = json.load(answer)["root"]
        with urllib.request.urlopen(f"{url}/groups/{root}/links/means", timeout=60) as answer:
            means = json.load(answer)["link"]["id"]
        with urllib.request.urlopen(f"{url}/datasets/{means}/value", timeout=60) as answer:
            assert json.load(answer)["value"] == list(xrd.SMALL)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "done: 11 events, 11 done" in out


def test_an_interrupted_replay_finishes_its_analysis(folder: Path) -> None:
    (folder / "slow.py").write_text(
        "import time\n\n"
        "def work(event):\n    time.sleep(0.2)\n    return event.event_number\n\n"
        "class Reducer:\n"
        "    def process_result(self, result):\n        print('result', flush=True)\n"
        "    def finish(self):\n        print('finished', flush=True)\n"
    )
    xrd.write(folder / "long.cbors", xrd.events(frames=[0] * 300))
    process = subprocess.Popen(
        [sys.executable, "-m", "pipert2", "replay", "-w", "slow:work", "-r", "slow:Reducer", "-f", "long.cbors"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "result\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert out.count("finished\n") == 1
    assert "aborted: " in out
