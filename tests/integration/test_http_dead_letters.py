"""Dead letters over HTTP: each route with its statuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import flask.testing
import pytest

from pipert2 import DestinationRoutine, Pipe, SourceRoutine, Wire
from pipert2.control.http.face import create_app
from pipert2.control.service import ControlService
from pipert2.testing import wait_until

pytestmark = pytest.mark.expects_errors
LETTERS = "/api/v1/dead-letters"


class Tasks(SourceRoutine):
    def __init__(self, items: list[Any]) -> None:
        super().__init__("tasks")
        self.items = items

    def main_logic(self) -> Any:
        if self.items:
            return self.items.pop(0)
        self.wait(60.0)
        return None


class Work(DestinationRoutine):
    able = False

    def main_logic(self, data: Any) -> None:
        if not self.able:
            raise ValueError(f"no {data}")


@pytest.fixture
def work() -> Work:
    return Work("work")


@pytest.fixture
def pipe(work: Work) -> Iterator[Pipe]:
    tasks = Tasks([{"size": 1}, b"12", "x" * 10_000])
    with Pipe("bench", inline=True, lossless=True) as pipe:
        pipe.create_flow("in", True, tasks)
        pipe.create_flow("out", True, work, replicas=1)
        pipe.link(Wire(tasks, work))
        yield pipe


@pytest.fixture
def client(pipe: Pipe) -> Iterator[flask.testing.FlaskClient]:
    with ControlService(pipe) as service:
        yield create_app(service).test_client()


@pytest.fixture
def three(pipe: Pipe) -> Pipe:
    """The pipe, with three dead letters."""
    pipe.notify_event("start", wait=60)
    wait_until(lambda: pipe.status().dead_letters == 3)
    return pipe


def error_of(response: Any) -> tuple[int, str, str]:
    error = response.get_json()["error"]
    return response.status_code, error["code"], error["message"]


def test_they_are_listed_with_a_sketch_of_their_data(three: Pipe, client: flask.testing.FlaskClient) -> None:
    body = client.get(LETTERS).get_json()
    assert body["total"] == 3
    assert [one["data"] for one in body["letters"]][:2] == [{"size": 1}, "<2 bytes>"]
    assert body["letters"][2]["data"].endswith("<9500 more>")
    assert client.get(f"{LETTERS}?routine=tasks").get_json() == {"total": 0, "letters": []}
    assert client.get(f"{LETTERS}?routine=work&after=1&limit=1").get_json()["letters"] == [body["letters"][1]]
    assert client.get(f"{LETTERS}/3").get_json() == body["letters"][2]


def test_one_is_requeued_when_its_cause_is_mended(three: Pipe, work: Work, client: flask.testing.FlaskClient) -> None:
    assert error_of(client.post(f"{LETTERS}/1/requeue"))[:2] == (502, "handler_failed")
    work.able = True
    done = client.post(f"{LETTERS}/1/requeue", json={"wait": 60})
    assert (done.status_code, done.get_json()["requeued"]) == (200, 1)
    assert error_of(client.post(f"{LETTERS}/1/requeue"))[:2] == (404, "unknown_name")


def test_all_are_requeued_or_dropped(three: Pipe, work: Work, client: flask.testing.FlaskClient) -> None:
    failed = client.post(f"{LETTERS}/requeue", json={"routine": "work"})
    assert failed.status_code == 200
    assert not failed.get_json()["ok"]
    assert [one["number"] for one in failed.get_json()["failed"]] == [1, 2, 3]
    assert client.delete(f"{LETTERS}/2").get_json() == {"dropped": 1}
    assert client.delete(f"{LETTERS}?routine=tasks").get_json() == {"dropped": 0}
    assert client.delete(LETTERS).get_json() == {"dropped": 2}
    assert three.dead_letters() == ()


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/33", 404, "did you mean '3'?"),
        ("DELETE", "/33", 404, "no dead letter '33'"),
        ("GET", "/three", 422, "number: Input should be a valid integer"),
        ("DELETE", "/0", 422, "greater than or equal to 1"),
        ("GET", f"/{10**30}", 422, "less than"),
        ("GET", "?routine=wrok", 404, "did you mean 'work'?"),
        ("DELETE", "?routine=wrok", 404, "did you mean 'work'?"),
        ("GET", "?limit=0", 422, "limit"),
        ("GET", "?routin=work", 422, "did you mean 'routine'?"),
        ("POST", "/requeue?wait=-1", 422, "wait"),
        ("POST", "/1/requeu", 404, "did you mean '/api/v1/dead-letters/1/requeue'?"),
        ("POST", "/1", 405, "DELETE, GET"),
        ("GET", "/requeue", 405, "which knows POST"),
        ("DELETE", "/requeue", 405, "which knows POST"),
    ],
)
def test_what_is_wrong_is_told(
    three: Pipe, client: flask.testing.FlaskClient, method: str, path: str, status: int, message: str
) -> None:
    found = error_of(client.open(LETTERS + path, method=method))
    assert found[0] == status
    assert message in found[2]
    assert three.status().dead_letters == 3


def test_a_routine_that_does_not_run_cannot_do_them(three: Pipe, client: flask.testing.FlaskClient) -> None:
    three.notify_event("stop", wait=60)
    status, code, message = error_of(client.post(f"{LETTERS}/1/requeue"))
    assert (status, code) == (409, "bad_state")
    assert "start it first" in message


def test_a_pipe_that_is_not_built_has_none(pipe: Pipe, client: flask.testing.FlaskClient) -> None:
    assert client.get(LETTERS).get_json() == {"total": 0, "letters": []}
    assert error_of(client.get(f"{LETTERS}/1"))[0] == 404
    assert error_of(client.delete(LETTERS))[:2] == (409, "bad_state")


def test_a_pipe_that_has_ended_still_lists_them(three: Pipe, client: flask.testing.FlaskClient) -> None:
    three.join(to_kill=True)
    assert client.get(f"{LETTERS}?routine=work").get_json()["total"] == 3
    assert error_of(client.post(f"{LETTERS}/1/requeue"))[:2] == (409, "bad_state")


def test_the_health_names_the_routine(three: Pipe, client: flask.testing.FlaskClient) -> None:
    health = client.get("/api/v1/health").get_json()
    assert not health["ok"]
    assert health["problems"] == ["routine 'work' has given up 3 messages: requeue or drop its dead letters"]
