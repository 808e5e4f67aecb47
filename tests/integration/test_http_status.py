"""``GET /api/v1/status`` is answered beside Flask: no caller can tell, whatever is wrong."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from pipert2.control.http.face import create_app
from pipert2.control.http.server import ControlServer
from pipert2.control.http.snapshots import STATUS_PATH
from pipert2.control.http.tokens import Tokens
from pipert2.control.verbs import Scope
from tests.integration.served import served

JSON = {"Content-Type": "application/json"}
TOKEN = "correct-horse-battery"


@pytest.fixture
def server() -> Iterator[ControlServer]:
    with contextlib.ExitStack() as stack:
        yield served(stack, "served")


def _asked(
    server: ControlServer, path: str, method: str = "GET", headers: dict[str, str] | None = None, body: Any = None
) -> tuple[int, str | None, bytes]:
    """Status, content type and body of the server's answer."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=15.0)) as connection:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read()


def _by_flask(
    server: ControlServer, path: str, method: str = "GET", headers: dict[str, str] | None = None, body: Any = None
) -> tuple[int, str | None, bytes]:
    """The same of Flask's alone."""
    sent = b"".join(body) if isinstance(body, list) else body
    answer = create_app(server.service).test_client().open(path, method=method, headers=headers, data=sent)
    return answer.status_code, answer.headers.get("Content-Type"), answer.get_data()


def _keys(body: bytes) -> list[str]:
    return sorted(json.loads(body))


@pytest.mark.parametrize(
    "request_",
    [
        (f"{STATUS_PATH}?interval=1",),
        (f"{STATUS_PATH}?",),
        (STATUS_PATH, "GET", JSON, b'{"x": 1}'),
        (STATUS_PATH, "GET", JSON, b"{}"),
        (STATUS_PATH, "GET", JSON, b"[]"),
        (STATUS_PATH, "GET", JSON, b"nonsense"),
        (STATUS_PATH, "GET", {"Content-Type": "text/plain"}, b"nonsense"),
        (STATUS_PATH, "GET", JSON, [b'{"x":', b" 1}"]),  # in chunks, which no Content-Length tells of
        (f"{STATUS_PATH}/",),
        (f"{STATUS_PATH};a=1",),
        (STATUS_PATH.title(),),
        (STATUS_PATH, "HEAD"),
        (STATUS_PATH, "POST"),
    ],
    ids=repr,
)
def test_a_request_is_answered_as_flask_answers_it(server: ControlServer, request_: Any) -> None:
    status, kind, body = _asked(server, *request_)
    expected, expected_kind, expected_body = _by_flask(server, *request_)

    assert (status, kind) == (expected, expected_kind)
    if status == 200 and body:
        assert _keys(body) == _keys(expected_body)
    else:
        assert body == expected_body


def test_a_pipe_that_has_ended_has_a_status_still(server: ControlServer) -> None:
    server.service.pipe.build()
    server.service.pipe.join(to_kill=True)

    status, _, body = _asked(server, STATUS_PATH)
    assert (status, json.loads(body)["state"]) == (200, "ended")
    assert _by_flask(server, STATUS_PATH)[0] == 200


@pytest.mark.expects_errors
@pytest.mark.parametrize("error", [ZeroDivisionError("a secret"), SystemExit("a secret")], ids=repr)
def test_a_status_that_cannot_be_made_is_500_without_its_text_and_the_server_goes_on(
    server: ControlServer, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(server.service.pipe, "status", fail)
        for path in (STATUS_PATH, f"{STATUS_PATH}/"):
            status, _, body = _asked(server, path)
            assert (status, json.loads(body)["error"]["code"]) == (500, "internal")
            assert b"secret" not in body
    assert _asked(server, STATUS_PATH)[0] == 200


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [(None, 401), ("Bearer wrong-horse-battery", 401), ("Basic abc", 401), (f"Bearer {TOKEN}", 200)],
)
def test_it_wants_a_token_like_every_other_route(authorization: str | None, expected: int) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    with contextlib.ExitStack() as stack:
        server = served(stack, "guarded", tokens=Tokens([(TOKEN, Scope.READ)]))
        there = _asked(server, STATUS_PATH, headers=headers)
        elsewhere = _asked(server, "/api/v1/version", headers=headers)

    assert there[0] == elsewhere[0] == expected
    if expected != 200:
        assert there == elsewhere
