"""Announcements: how a user's programs find the pipes of this machine."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipert2.control.client.discovery import Announcement, announce, announcement_folders, running_pipes
from pipert2.errors import ControlError

FOLDER_MODE = 0o700


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where announcements stand while the test runs."""
    (tmp_path / "runtime").mkdir()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return announcement_folders()[0]


def _dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def _write(folder: Path, name: str, content: object) -> Path:
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_an_announced_pipe_is_found_until_it_is_closed(folder: Path) -> None:
    with announce("camera", "http://127.0.0.1:8320") as announced:
        assert running_pipes() == [announced.announcement]
        assert announced.announcement.pid == os.getpid()

    assert running_pipes() == []
    announced.close()


def test_several_pipes_of_one_process_are_found_the_latest_first(folder: Path) -> None:
    with announce("first", "http://127.0.0.1:1"), announce("second", "http://127.0.0.1:2"):
        assert [found.pipe for found in running_pipes()] == ["second", "first"]


def test_nobody_else_can_read_announcements(folder: Path) -> None:
    with announce("camera", "http://127.0.0.1:8320"):
        (file,) = folder.iterdir()

        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_without_a_runtime_folder_it_is_one_of_the_users_in_the_temporary_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    with announce("camera", "http://127.0.0.1:8320"):
        (own,) = announcement_folders()

        assert own.parent == Path(tempfile.gettempdir())
        assert stat.S_IMODE(own.stat().st_mode) == 0o700
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder.parent))
        assert [found.pipe for found in running_pipes()] == ["camera"]


def test_what_a_dead_process_announced_is_dropped_and_its_file_removed(folder: Path) -> None:
    file = _write(folder, "1.json", {"pid": _dead_pid(), "pipe": "gone", "url": "http://127.0.0.1:1", "started": 1.0})

    assert running_pipes() == []
    assert not file.exists()


def test_a_process_that_only_has_the_number_of_a_dead_one_is_not_taken_for_it(folder: Path) -> None:
    file = _write(folder, "1.json", {"pid": os.getpid(), "pipe": "gone", "url": "http://127.0.0.1:1", "started": 1.0})

    assert running_pipes() == []
    assert not file.exists()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '{"pid": 1}',
        '{"pid": "1", "pipe": "p", "url": "u", "started": 1}',
        "x" * 20_000,
        "\0\xff",
    ],
)
def test_files_that_are_no_announcements_are_passed_over(folder: Path, content: str) -> None:
    _write(folder, "1.json", content)

    assert running_pipes() == []


def test_files_of_no_use_that_are_old_are_removed(folder: Path) -> None:
    file = _write(folder, "1-abc.new", "")
    fresh = _write(folder, "2-abc.new", "")
    os.utime(file, (1.0, 1.0))

    running_pipes()

    assert not file.exists()
    assert fresh.exists()


def test_a_folder_that_others_can_write_is_neither_used_nor_believed(folder: Path) -> None:
    _write(folder, "1.json", {"pid": os.getpid(), "pipe": "planted", "url": "http://6.6.6.6", "started": 9e12})
    folder.chmod(0o777)

    assert running_pipes() == []
    with pytest.raises(ControlError, match="0700"):
        announce("camera", "http://127.0.0.1:8320")


def test_a_link_in_the_folders_place_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=FOLDER_MODE)
    folder.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(ControlError, match="announced"):
        announce("camera", "http://127.0.0.1:8320")
    assert running_pipes() == []


def test_nothing_announced_is_no_error(folder: Path) -> None:
    assert not folder.exists()
    assert running_pipes() == []


def test_announcements_are_plain_records(folder: Path) -> None:
    assert Announcement(1, "p", "u", 2.0) == Announcement(pid=1, pipe="p", url="u", started=2.0)
