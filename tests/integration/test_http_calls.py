"""Calls, parameters of the pipe as a whole and replicas over HTTP: each route with its statuses."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import flask.testing
import pytest

from pipert2 import MiddleRoutine, Pipe, PipeClient
from pipert2.control.http.face import MOST_WAITING, create_app
from pipert2.control.http.server import ControlServer
from pipert2.control.http.tokens import Tokens
from pipert2.control.service import ControlService
from pipert2.testing import wait_until

CALL = "/api/v1/routines/oracle/call"


class Oracle(MiddleRoutine):
    service = True
    concurrency = 16

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.asked = threading.Semaphore(0)
        self.may_answer = threading.Event()

    def main_logic(self, question: Any) -> Any:
        if question == "slow":
            self.asked.release()
            self.may_answer.wait(60)
        if question == "wrong":
            raise KeyError("answer")
        return {"question": question, "workload": self.parameters.get("workload")}


@pytest.fixture
def oracle() -> Iterator[Oracle]:
    made = Oracle("oracle")
    yield made
    made.may_answer.set()


@pytest.fixture
def pipe(oracle: Oracle) -> Iterator[Pipe]:
    with Pipe("temple", inline=True, requires=("workload",)) as pipe:
        pipe.create_flow("temple", False, oracle)
        yield pipe
        oracle.may_answer.set()


@pytest.fixture
def client(pipe: Pipe) -> Iterator[flask.testing.FlaskClient]:
    with ControlService(pipe) as service:
        yield create_app(service).test_client()


@pytest.fixture
def ready(pipe: Pipe) -> Pipe:
    pipe.set_parameters(workload=0.5)
    pipe.notify_event("start", wait=60)
    return pipe


def error_of(response: Any) -> tuple[int, str, str]:
    error = response.get_json()["error"]
    return response.status_code, error["code"], error["message"]


def test_a_call_returns_a_value(ready: Pipe, client: flask.testing.FlaskClient) -> None:
    answer = client.post(CALL, json={"data": [1, {"two": None}], "timeout": 30})
    assert answer.status_code == 200
    value = {"question": [1, {"two": None}], "workload": 0.5}
    assert answer.get_json() == {"routine": "oracle", "value": value, "lost": []}
    assert client.post(CALL + "?data=[3]").get_json()["value"]["question"] == [3]
    assert client.post(CALL + "?data=three").get_json()["value"]["question"] == "three"


@pytest.mark.expects_errors
def test_a_routine_that_raises_is_a_bad_gateway_with_its_traceback(
    ready: Pipe, client: flask.testing.FlaskClient
) -> None:
    answer = client.post(CALL, json={"data": "wrong"})
    assert error_of(answer)[:2] == (502, "handler_failed")
    assert "KeyError: 'answer'" in answer.get_json()["error"]["message"]
    assert "in main_logic" in answer.get_json()["error"]["traceback"]


def test_an_answer_that_comes_too_late_is_a_gateway_timeout(ready: Pipe, client: flask.testing.FlaskClient) -> None:
    status, code, message = error_of(client.post(CALL, json={"data": "slow", "timeout": 0.05}))
    assert (status, code) == (504, "timeout")
    assert "did not answer in time" in message


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/api/v1/routines/oracl/call", {}, 404, "did you mean 'oracle'?"),
        (CALL, {"timeout": 0}, 422, "timeout"),
        (CALL, {"timeout": True}, 422, "timeout"),
        (CALL, {"timeout": 1e9}, 422, "timeout"),
        (CALL, {"dat": 1}, 422, "did you mean 'data'?"),
    ],
)
def test_what_is_wrong_with_a_call_is_told(
    ready: Pipe, client: flask.testing.FlaskClient, path: str, body: Any, status: int, message: str
) -> None:
    found = error_of(client.post(path, json=body))
    assert found[0] == status
    assert message in found[2]


def test_a_pipe_that_is_not_built_or_has_ended_answers_no_calls(pipe: Pipe, client: flask.testing.FlaskClient) -> None:
    assert error_of(client.post(CALL))[:2] == (409, "bad_state")
    pipe.build()
    pipe.join(to_kill=True)
    assert error_of(client.post(CALL))[:2] == (409, "bad_state")


def test_a_flow_waits_for_a_parameter_of_the_pipe(pipe: Pipe, client: flask.testing.FlaskClient) -> None:
    assert client.get("/api/v1/parameters/shared").get_json() == {"values": {}, "missing": ["workload"]}
    pipe.notify_event("start", wait=60)
    assert client.get("/api/v1/status").get_json()["flows"][0]["waits_for"] == ["parameter 'workload'"]
    assert client.get("/api/v1/structure").get_json()["requires"] == ["workload"]
    assert client.get("/api/v1/health").get_json()["problems"] == [
        "flow 'temple' waits for parameter 'workload': set it for the pipe as a whole"
    ]
    given = client.patch("/api/v1/parameters", json={"values": {"workload": 0.25}})
    assert given.get_json() == {"values": {"workload": 0.25}, "missing": []}
    assert client.get("/api/v1/parameters").get_json()["shared"] == given.get_json()
    wait_until(lambda: client.get("/api/v1/status").get_json()["state"] == "running")
    assert client.post(CALL, json={"data": 1}).get_json()["value"]["workload"] == 0.25


@pytest.mark.parametrize("body", [{}, {"values": {}}, {"values": 3}, {"value": {"a": 1}}])
def test_what_is_no_parameter_is_refused(pipe: Pipe, client: flask.testing.FlaskClient, body: Any) -> None:
    assert error_of(client.patch("/api/v1/parameters", json=body))[:2] == (422, "bad_argument")
    assert pipe.shared_parameters == {}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [("temple", 2, 409), ("tempel", 2, 404), ("temple", 0, 422), ("temple", "many", 422), ("temple", 10**9, 422)],
)
def test_replicas_that_cannot_be_are_refused(
    ready: Pipe, client: flask.testing.FlaskClient, path: str, body: Any, status: int
) -> None:
    assert error_of(client.put(f"/api/v1/flows/{path}/replicas", json={"replicas": body}))[0] == status


def test_slow_calls_of_many_callers_hold_up_nobody(ready: Pipe, oracle: Oracle) -> None:
    with (
        ControlService(ready) as service,
        ControlServer(service, port=0, tokens=Tokens.none(), announce=False) as server,
        ThreadPoolExecutor(8) as callers,
        PipeClient(server.url) as client,
    ):
        slow = [callers.submit(client.call, "oracle", "slow") for _ in range(8)]
        for _ in slow:
            assert oracle.asked.acquire(timeout=60)
        assert client.status().state == "running"
        assert client.call("oracle", "quick").value["question"] == "quick"
        assert client.set_shared_parameters({"workload": 1}).values == {"workload": 1}
        assert not any(one.done() for one in slow)
        oracle.may_answer.set()
        assert [one.result(60).value["question"] for one in slow] == ["slow"] * 8


def test_too_many_calls_at_once_are_refused(
    ready: Pipe, oracle: Oracle, client: flask.testing.FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_WAITING >= 8
    monkeypatch.setattr("pipert2.control.http.face.MOST_WAITING", 1)
    with ControlService(ready) as service, ThreadPoolExecutor(1) as caller:
        app = create_app(service)
        slow = caller.submit(lambda: app.test_client().post(CALL, json={"data": "slow"}).status_code)
        assert oracle.asked.acquire(timeout=60)
        assert error_of(app.test_client().post(CALL))[:2] == (409, "bad_state")
        oracle.may_answer.set()
        assert slow.result(60) == 200
