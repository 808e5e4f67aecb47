"""Which pages may open a websocket."""

from __future__ import annotations

import pytest

from pipert2.cockpit.server.sockets import is_own_origin


@pytest.mark.parametrize(
    ("origin", "scheme", "own"),
    [
        ("http://127.0.0.1:8321", "ws", True),
        ("http://127.0.0.1:8321", "http", True),
        ("https://127.0.0.1:8321", "wss", True),
        ("https://127.0.0.1:8321", "ws", False),
        ("http://127.0.0.1:8321", "wss", False),
        ("http://127.0.0.1:9000", "ws", False),
        ("https://evil.example", "wss", False),
        ("null", "ws", False),
        (None, "ws", False),
    ],
)
def test_only_a_page_of_this_server_may(origin: str | None, scheme: str, own: bool) -> None:
    assert is_own_origin(origin, {"HTTP_HOST": "127.0.0.1:8321", "asgi.scope": {"scheme": scheme}}) is own
