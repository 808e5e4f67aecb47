"""What `pipert2 doctor` finds."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys

import pytest

from pipert2.cli import fitness, leftover_runs
from pipert2.cli.fitness import MIB, Verdict, examine
from pipert2.cli.leftover_runs import Leftovers, find_leftovers


@pytest.mark.parametrize(
    ("finding", "verdict"),
    [
        (fitness.judge_python((3, 9), 64, "Linux"), Verdict.PROBLEM),
        (fitness.judge_python((3, 12), 32, "Linux"), Verdict.WARNING),
        (fitness.judge_python((3, 12), 64, "Darwin"), Verdict.WARNING),
        (fitness.judge_python((3, 12), 64, "Linux"), Verdict.OK),
        (fitness.judge_shared_memory(64 * MIB, 10 * MIB), Verdict.PROBLEM),
        (fitness.judge_shared_memory(64 * MIB, 64 * MIB), Verdict.WARNING),
        (fitness.judge_shared_memory(1024 * MIB, 900 * MIB), Verdict.OK),
        (fitness.judge_descriptors(64, 4096), Verdict.PROBLEM),
        (fitness.judge_descriptors(512, 4096), Verdict.WARNING),
        (fitness.judge_descriptors(1024, -1), Verdict.OK),
        (fitness.judge_descriptors(-1, -1), Verdict.OK),
        (fitness.judge_cpus(1, 8), Verdict.WARNING),
        (fitness.judge_cpus(2, 2), Verdict.OK),
        (fitness.judge_memory(1024 * MIB, 100 * MIB), Verdict.WARNING),
        (fitness.judge_memory(1024 * MIB, 600 * MIB), Verdict.OK),
        (fitness.judge_clock("tsc", 1e-9, 1.1e-3), Verdict.OK),
        (fitness.judge_clock("tsc", 15e-3, 1.1e-3), Verdict.WARNING),
        (fitness.judge_clock("hpet", 1e-9, 1.1e-3), Verdict.WARNING),
        (fitness.judge_clock(None, 1e-9, 16e-3), Verdict.WARNING),
        (fitness.judge_leftovers(Leftovers((), (), 0)), Verdict.OK),
        (fitness.judge_leftovers(Leftovers(("pr2-1-a",), (), 0)), Verdict.WARNING),
        (fitness.judge_leftovers(Leftovers((), ("pr2-1-a.x",), 5)), Verdict.WARNING),
    ],
)
def test_each_verdict_has_its_limit_and_says_what_to_do(finding, verdict):
    assert finding.verdict is verdict
    assert finding.text
    assert bool(finding.advice) is (verdict is not Verdict.OK)


@pytest.mark.parametrize(
    ("files", "advice"),
    [
        (("pr2-1-a.x", "sem.pr2-1-a.y", "pr2-2-b.x"), "rm /dev/shm/*pr2-1-a.* /dev/shm/*pr2-2-b.*"),
        (tuple(f"pr2-{n}-a.x" for n in range(6)), "/dev/shm/*pr2-3-a.*, and 2 more runs"),
    ],
)
def test_the_advice_on_leftovers_names_all_files_of_a_run(files, advice):
    assert fitness.judge_leftovers(Leftovers((), files, 5)).advice.endswith(advice)


def test_this_machine_can_be_examined():
    found = examine()
    assert {one.check for one in found} >= {"python", "libraries", "shared memory", "semaphores", "clock", "leftovers"}
    assert not [one for one in found if "could not be checked" in one.text]


def test_a_check_that_fails_is_a_warning_and_the_others_go_on(monkeypatch):
    def _broken_thing():
        raise OSError("no such thing")

    monkeypatch.setattr(fitness, "CHECKS", (_broken_thing, *fitness.CHECKS[:1]))
    broken, python = examine()
    assert (broken.check, broken.verdict) == ("broken thing", Verdict.WARNING)
    assert "no such thing" in broken.text
    assert python.check == "python"


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """A folder of runs and one that stands for /dev/shm."""
    folder, memory = tmp_path / "runs", tmp_path / "shm"
    folder.mkdir()
    memory.mkdir()
    monkeypatch.setattr(leftover_runs, "runs_folder", lambda: folder)
    return folder, memory


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_runs_that_nobody_holds_are_dead_and_stay_untouched(runs):
    folder, memory = runs
    for name in ("pr2-1-aaa", "pr2-2-bbb"):
        (folder / name).mkdir()
        (folder / name / "lock").touch()
        (memory / f"{name}.ring").write_bytes(bytes(100))
    with open(folder / "pr2-2-bbb" / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert find_leftovers(memory) == Leftovers(("pr2-1-aaa",), ("pr2-1-aaa.ring",), 100)
    assert (memory / "pr2-1-aaa.ring").exists()


def test_files_of_runs_that_are_unknown_here_count_once_their_process_is_gone(runs):
    _, memory = runs
    (memory / f"pr2-{os.getpid():x}-aaa.ring").touch()
    gone = f"sem.pr2-{dead_pid():x}-bbb.wake"
    (memory / gone).touch()
    (memory / "something-else").touch()
    assert find_leftovers(memory).files == (gone,)
