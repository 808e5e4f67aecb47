"""Finding a Ray on this machine, or that there is none; what is said of a site that did not begin."""

from __future__ import annotations

import importlib.util
import socket

import pytest

from pipert2 import PipertError
from pipert2.engine.ray_sites import _found_here, _told_by_ray, _unpacked, _with_advice

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason='it needs pip install "pipert2[cluster]"'),
]


def test_a_note_of_a_ray_that_has_ended_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")

    assert _found_here() == "local"


def test_a_ray_that_takes_connections_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{server.getsockname()[1]}")

        assert _found_here() == "auto"


def test_of_an_actor_that_did_not_begin_the_last_line_is_told_without_colours_and_what_helps() -> None:
    error = RuntimeError(
        "The actor died because of an error raised in its creation task, \x1b[36mray::SiteActor()\x1b[39m (pid=7)\n"
        "  File \"x.py\", line 1\n\x1b[31mModuleNotFoundError: No module named 'cv2'\x1b[39m\n"
    )
    said = _with_advice(_told_by_ray(error))
    assert said.startswith("ModuleNotFoundError: No module named 'cv2': install it there as it is here")
    assert "runtime_env" in said
    assert 'pip install "pipert2[cluster]" there' in _with_advice("No module named 'pipert2'")
    assert _with_advice(_told_by_ray(RuntimeError("Worker exit:\nmore"))) == "Worker exit:"


def test_another_version_of_pipert2_at_a_host_is_named() -> None:
    with pytest.raises(PipertError, match=r"is installed there and 0\.0\.1 here: install the same on all hosts"):
        _unpacked(b"what only 0.0.1 understands", "0.0.1")
