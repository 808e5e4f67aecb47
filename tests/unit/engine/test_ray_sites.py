"""Finding a Ray, or that there is none."""

from __future__ import annotations

import socket

import pytest

from pipert2.engine.ray_engine import RayEngine
from pipert2.engine.ray_sites import RayCluster, _running_ray
from pipert2.errors import PipeStateError

services = pytest.importorskip("ray._private.services", reason='needs pip install "pipert2[cluster]"')


@pytest.fixture
def deaf() -> str:
    """An address where nobody takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"127.0.0.1:{port}"


@pytest.fixture(autouse=True)
def _nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_a_note_of_a_ray_that_has_ended_counts_as_none(deaf: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "canonicalize_bootstrap_address", lambda address: deaf)

    assert _running_ray() is None


def test_a_ray_that_takes_connections_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr(services, "canonicalize_bootstrap_address", lambda asked: address)

        assert _running_ray() == address


def test_a_head_that_does_not_answer_is_said_at_once(deaf: str) -> None:
    with pytest.raises(PipeStateError, match="This machine must be one of its nodes"):
        RayCluster(RayEngine(address=f"ray://{deaf}"))
