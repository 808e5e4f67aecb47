"""Finding a Ray on this machine, or that there is none."""

from __future__ import annotations

import importlib.util
import socket

import pytest

from pipert2.engine.ray_sites import _found_here

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
