"""`pipert2 record` and `pipert2 capture info` as people use them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipert2.patterns.capture.info import capture_info
from pipert2.testing import wait_until
from tests.processes import Children

pytest.importorskip("mcap")

PIPE = """
import numpy as np
from pipert2 import Pipe, destination, middle, source

@source
def camera():
    for number in range(60):
        yield np.full((40, 60), number, np.uint8)

@middle
def mean(frame):
    return float(frame.mean())

pipe = Pipe("cam", lossless=True)
camera.set_const_fps(200)
pipe.create_flow("all", True, camera, mean, destination(lambda value: None, name="end"))
if __name__ == "__main__":
    pipe.run()
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    (tmp_path / "cam.py").write_text(PIPE)
    children = Children()

    def started(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "pipert2", *arguments]
        return children.open(command, cwd=tmp_path, stdin=subprocess.DEVNULL)

    yield started
    children.close()


@pytest.fixture
def run(start: Callable[..., subprocess.Popen[str]]) -> Run:
    def done(*arguments: str) -> subprocess.CompletedProcess[str]:
        process = start(*arguments)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    return done


def test_record_writes_a_channel_for_each_routine_that_sends(run: Run, tmp_path: Path) -> None:
    done = run("record", "cam.py", "-o", "run.mcap", "--lossless", "--no-api")

    assert (done.returncode, done.stderr) == (0, "")
    assert "whole" in done.stdout
    info = json.loads(run("capture", "info", "run.mcap", "--json").stdout)
    assert [(one["topic"], one["messages"], one["pictures"]) for one in info["channels"]] == [
        ("camera", 60, 60),
        ("mean", 60, 0),
    ]
    assert (info["whole"], info["problem"], info["messages"]) == (True, None, 120)


def test_record_takes_the_wires_that_are_named(run: Run, tmp_path: Path) -> None:
    done = run("record", "cam.py", "-o", "run.mcap", "-w", "mean -> end", "--lossless", "--no-api", "--json")

    assert done.returncode == 0
    assert json.loads(done.stdout)["ok"] is True
    assert [channel.topic for channel in capture_info(tmp_path / "run.mcap").channels] == ["mean"]


def test_script_with_classes_of_its_own_replays_what_it_recorded(run: Run, tmp_path: Path) -> None:
    shot = """
from dataclasses import dataclass
from pipert2 import FrameData, Pipe, Replay, destination, source
import numpy as np

@dataclass
class Shot(FrameData):
    frame: np.ndarray

    def get_frame(self):
        return self.frame
"""
    (tmp_path / "made.py").write_text(
        shot
        + """
@source
def camera():
    for number in range(5):
        yield Shot(np.full((20, 20), number, np.uint8))

pipe = Pipe("made", lossless=True)
pipe.create_flow("all", True, camera, destination(lambda shot: None, name="end"))
if __name__ == "__main__":
    pipe.run()
"""
    )
    (tmp_path / "again.py").write_text(
        shot
        + """
def show(shot):
    print(type(shot).__name__, shot.frame.mean(), flush=True)

pipe = Pipe("again", lossless=True)
pipe.create_flow("all", True, Replay("made.mcap", speed="max"), destination(show))
if __name__ == "__main__":
    pipe.run()
"""
    )
    assert run("record", "made.py", "-o", "made.mcap", "--lossless", "--no-api").returncode == 0

    done = run("run", "again.py", "--no-api")

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:5] == [f"Shot {number}.0" for number in range(5)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "a.txt"], "its name ends in .mcap"),
        (["-o", "none/a.mcap"], "there is no folder none"),
        (["-o", "."], "is a folder"),
        (["-o", "there.mcap"], "is there already: choose another name, or --overwrite it"),
        (["-o", "a.mcap", "-w", "camra"], "did you mean 'camera'?"),
        (["-o", "a.mcap", "-w", "camera->end"], "no wire 'camera -> end'"),
        (["-o", "a.mcap", "-w", "end"], "'end' sends nothing"),
        (["-o", "a.mcap", "--url", "127.0.0.1:1"], "a pipe that runs already cannot be given a recorder"),
        (["-o", "a.cbors", "--compression", "zstd"], "is for .mcap"),
        ([], "Missing option '--output'"),
    ],
)
def test_wrong_arguments_of_record_are_one_clear_line(
    arguments: list[str], words: str, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "there.mcap").write_text("precious")

    done = run("record", "cam.py", "--no-api", *arguments)

    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "there.mcap").read_text() == "precious"


def test_overwrite_replaces_the_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "run.mcap").write_text("old")

    assert run("record", "cam.py", "-o", "run.mcap", "--overwrite", "--lossless", "--no-api").returncode == 0
    assert capture_info(tmp_path / "run.mcap").whole
    assert not (tmp_path / "run-2.mcap").exists()


def test_ctrl_c_ends_a_recording_with_a_whole_file(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    (tmp_path / "endless.py").write_text(PIPE.replace("range(60)", "range(10**9)"))
    process = start("record", "endless.py", "-o", "run.mcap", "--no-api")
    wait_until(lambda: (tmp_path / "run.mcap").exists() and (tmp_path / "run.mcap").stat().st_size > 50_000, timeout=60)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)

    assert process.returncode == 130
    assert capture_info(tmp_path / "run.mcap").whole


def test_info_of_a_damaged_file_exits_with_1_and_says_where(run: Run, tmp_path: Path) -> None:
    run("record", "cam.py", "-o", "run.mcap", "--lossless", "--no-api")
    raw = (tmp_path / "run.mcap").read_bytes()
    (tmp_path / "torn.mcap").write_bytes(raw[:60_000])

    done = run("capture", "info", "torn.mcap")

    assert done.returncode == 1
    assert "DAMAGED at byte" in done.stdout
    for name, words in (("none.mcap", "No such file"), ("cam.py", "it is no MCAP file")):
        done = run("capture", "info", name)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert words in done.stderr
