"""What keeps a pipe from joining a Ray is said within seconds, with what to do."""

from __future__ import annotations

import contextlib
import importlib
import socket
import threading
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from pipert2 import PipeStateError
from pipert2.engine import ray_door
from pipert2.engine.ray_door import check_door
from tests.ray_nodes import HAVE_RAY

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(not HAVE_RAY, reason='it needs pip install "pipert2[cluster]"'),
]
GRPC = b"\0\0\x18\x04\0\0\0\0\0"


@pytest.fixture(autouse=True)
def _as_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads are looked for where they are, which is on loopback."""
    monkeypatch.setattr(ray_door, "_where_ray_looks", lambda head: head)


@contextlib.contextmanager
def answers(text: bytes) -> Iterator[str]:
    """Something that says this to whoever comes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with server.accept()[0] as peer:
                        peer.recv(100)
                        peer.sendall(text)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@contextlib.contextmanager
def knows(*addresses: str, error: Exception | None = None) -> Iterator[str]:
    """A head that knows these nodes, and one that has died, or answers with an error."""
    nodes = {number: mock.Mock(state=0, node_manager_address=one) for number, one in enumerate(addresses)}
    nodes[-1] = mock.Mock(state=1, node_manager_address="10.0.0.77")
    client: Any = mock.Mock(side_effect=error)
    client.return_value.get_all_node_info.return_value = nodes
    inner = importlib.import_module("ray._raylet")
    with answers(GRPC) as head, mock.patch.object(inner, "GcsClient", client):
        yield head


@pytest.mark.parametrize("text", [b"HTTP/1.0 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n", b""])
def test_another_service_at_the_port_is_no_head(text: bytes) -> None:
    with answers(text) as head, pytest.raises(PipeStateError, match=r"no head of a Ray: give the port of ray start"):
        check_door("ray://here", head)


def test_nobody_at_all_is_said_with_where_ray_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_door, "_where_ray_looks", lambda head: "127.0.0.1:2")
    with pytest.raises(PipeStateError, match=r"nobody is at 127.0.0.1:2, where Ray looks for it \(.*refused"):
        check_door("ray://localhost:1", "localhost:1")


def test_another_part_of_ray_is_no_head() -> None:
    from ray.exceptions import RpcError

    with knows(error=RpcError("unimplemented", 12)) as head, pytest.raises(PipeStateError, match="no head of a Ray"):
        check_door("ray://here", head)


@pytest.mark.parametrize(("token", "said"), [("x" * 40, "another token than RAY_AUTH_TOKEN here"), (None, "a token")])
def test_a_wrong_or_missing_token_is_named(token: str | None, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.exceptions import AuthenticationError

    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    if token is not None:
        monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    with knows(error=AuthenticationError("no")) as head, pytest.raises(PipeStateError, match=f"it asks for {said}: be"):
        check_door("ray://here", head)


def test_a_machine_that_is_no_node_is_told_which_there_are_and_how_to_become_one() -> None:
    with knows("10.255.0.2", "10.255.0.1") as head, pytest.raises(PipeStateError) as caught:
        check_door("ray://here", head)
    assert "none of its nodes, which are 10.255.0.1, 10.255.0.2: ray start --address=127.0.0.1:" in str(caught.value)


def test_a_node_is_let_in_and_so_is_one_that_says_its_address_or_whose_ray_does_not_tell() -> None:
    with knows("10.255.0.2", "127.0.0.1") as head:
        check_door("ray://here", head)
    with knows("10.255.0.2") as head:
        check_door("ray://here", head, own="10.255.0.2")
    with knows(error=TypeError("another Ray")) as head:
        check_door("ray://here", head)


def test_a_ray_with_tls_is_not_greeted_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USE_TLS", "1")
    monkeypatch.setattr(ray_door, "_nodes", lambda engine, head: set())
    with answers(b"\x15\x03\x01\x00\x02\x02\x46") as head:
        check_door("ray://here", head)
