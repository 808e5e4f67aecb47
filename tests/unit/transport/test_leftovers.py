"""What a killed run left behind is cleared by the next one; what belongs to a living run is not."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipert2.transport.leftovers import Run, clear_leftovers, runs_folder
from pipert2.transport.memory import SharedArena, unlink_memory, unlink_semaphore

SHARED_MEMORY = Path("/dev/shm")

pytestmark = pytest.mark.skipif(not SHARED_MEMORY.is_dir(), reason="names of shared memory cannot be listed here")


@pytest.fixture(autouse=True)
def _folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


class DeadRun:
    """A run whose main process was killed: nobody holds its lock, all that it made is still there."""

    def __init__(self, names: str = "") -> None:
        runs_folder().mkdir(exist_ok=True)
        self.prefix = f"pr2-dead{os.getpid():08x}"
        self.folder = runs_folder() / self.prefix
        self.folder.mkdir()
        (self.folder / "lock").touch()
        if names:
            (self.folder / "names").write_text(names)
        self.arena = SharedArena(self.prefix)
        self.arena.create("s0", 4096)
        self.arena.bell("b0", create=True)

    def left(self) -> list[str]:
        return [file.name for file in SHARED_MEMORY.iterdir() if f"{self.prefix}." in file.name]

    def remove(self) -> None:
        unlink_memory(f"/{self.prefix}.s0")
        unlink_semaphore(f"/{self.prefix}.b0")


@pytest.fixture
def dead_run() -> Iterator[DeadRun]:
    run = DeadRun()
    yield run
    run.remove()


def test_a_dead_runs_memory_and_semaphores_are_removed(dead_run: DeadRun) -> None:
    assert len(dead_run.left()) == 2
    clear_leftovers()
    assert dead_run.left() == []


def test_a_dead_runs_folder_is_removed(dead_run: DeadRun) -> None:
    clear_leftovers()
    assert not dead_run.folder.exists()


def test_folders_of_sockets_that_a_dead_run_noted_are_removed_and_nothing_else(
    dead_run: DeadRun, tmp_path: Path
) -> None:
    sockets, other, living = tmp_path / "pymp-abc", tmp_path / "precious", tmp_path / "pymp-living"
    for folder in (sockets, other, living):
        folder.mkdir()
        (folder / "file").touch()
    (dead_run.folder / "folders").write_text(f"{sockets}\n{other}\n{tmp_path / 'pymp-gone'}\n")
    with Run() as run:
        run.add_folder(str(living))
        run.add_folder(str(living))
        assert (run.folder / "folders").read_text() == f"{living}\n"
        clear_leftovers()
    assert not sockets.exists()
    assert (other / "file").exists()
    assert (living / "file").exists()


def test_clearing_tells_which_runs_were_cleared(dead_run: DeadRun) -> None:
    assert clear_leftovers() == [dead_run.prefix]
    assert clear_leftovers() == []


def test_a_living_run_is_left_alone() -> None:
    with Run() as run:
        arena = SharedArena(run.prefix)
        arena.create("s0", 4096)
        try:
            assert clear_leftovers() == []
            assert run.folder.is_dir()
            assert (SHARED_MEMORY / f"{run.prefix}.s0").exists()
        finally:
            arena.close()


def test_a_run_that_ended_leaves_no_folder() -> None:
    run = Run()
    run.close()
    run.close()
    assert not run.folder.exists()


def test_runs_have_names_of_their_own() -> None:
    with Run() as one, Run() as other:
        assert one.prefix != other.prefix


def test_a_process_whose_number_was_given_to_another_one_since_is_not_killed() -> None:
    # Given a dead run that notes this test's own process number, with another time of birth
    run = DeadRun(f"{os.getpid()} {psutil.Process().create_time() - 1000:.2f}\n")
    # When it is cleared, then this test is still here to say so
    assert clear_leftovers() == [run.prefix]


def test_a_process_noted_by_a_run_is_noted_with_the_time_of_its_birth() -> None:
    with Run() as run:
        run.add_process(os.getpid())
        pid, started = (run.folder / "names").read_text().split()
        assert int(pid) == os.getpid()
        assert abs(float(started) - psutil.Process().create_time()) < 0.1


def test_a_process_that_is_gone_already_is_not_noted() -> None:
    with Run() as run:
        run.add_process(2**22 + 1)
        assert not (run.folder / "names").exists() or not (run.folder / "names").read_text()


@pytest.mark.parametrize("names", ["nonsense\n", "12 \n", "\n\n", "99999999 1.0\n"])
def test_a_damaged_list_of_processes_does_not_keep_a_run_from_being_cleared(names: str) -> None:
    run = DeadRun(names)
    assert clear_leftovers() == [run.prefix]


def test_without_any_run_before_there_is_nothing_to_clear() -> None:
    assert clear_leftovers() == []


def test_files_of_others_in_the_folder_are_left_alone(dead_run: DeadRun) -> None:
    (runs_folder() / "notes.txt").write_text("mine")
    clear_leftovers()
    assert (runs_folder() / "notes.txt").exists()


def test_a_runs_folder_is_for_its_user_only() -> None:
    with Run() as run:
        assert run.folder.stat().st_mode & 0o077 == 0
