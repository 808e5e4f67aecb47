"""The HTTP API: each route by its path, with what it answers."""

from __future__ import annotations

import threading
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from typing import Any

import flask.testing
import pytest
from werkzeug.test import TestResponse

from pipert2 import Pipe, events
from pipert2.control.http import face as http
from pipert2.control.http.face import create_app
from pipert2.control.http.routes import ROUTES, Kind
from pipert2.control.service import ControlService
from pipert2.runtime.routine.preview import PreviewFrame
from pipert2.testing import ListSource, wait_until
from tests.integration.bench import Camera, bench

Client = flask.testing.FlaskClient


class Telling(Camera):
    """Tells what it was told; can hold up its flow."""

    seen: dict[str, Any]

    def __init__(self) -> None:
        super().__init__("cam")
        self.seen = {}
        self.gate, self.holding = threading.Event(), threading.Event()

    @events("ZOOM")
    def zoom(self, factor: float = 1.0, mode: str = "slow") -> Any:
        self.seen = {"factor": factor, "mode": mode}
        return self.seen

    @events("FAIL")
    def fail(self) -> None:
        raise ValueError("as it was told to")

    @events("HOLD")
    def hold(self) -> bool:
        self.holding.set()
        return self.gate.wait(60)


@pytest.fixture
def camera() -> Telling:
    return Telling()


@pytest.fixture
def pipe(camera: Telling) -> Iterator[Pipe]:
    numbers, more = (ListSource(range(10), name, repeat=True) for name in ("numbers", "more"))
    with bench(camera, numbers, more) as pipe:
        yield pipe
        camera.gate.set()


@pytest.fixture
def service(pipe: Pipe) -> Iterator[ControlService]:
    with ControlService(pipe) as service:
        yield service


@pytest.fixture
def client(service: ControlService) -> Client:
    return create_app(service).test_client()


def _error(response: TestResponse) -> dict[str, Any]:
    assert response.content_type == "application/json"
    body = response.get_json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "field", "nearest"}
    error: dict[str, Any] = body["error"]
    return error


def _states(pipe: Pipe) -> dict[str, str]:
    return {routine.name: routine.state for routine in pipe.status().routines}


def _running(pipe: Pipe, *names: str) -> bool:
    return all(_states(pipe).get(name) == "running" for name in names)


def _idle(pipe: Pipe, *names: str) -> bool:
    return all(_states(pipe).get(name) == "idle" for name in names)


# --- the document's routes


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_start_and_pause_as_documented(client: Client, pipe: Pipe, method: str, slash: str) -> None:
    assert client.open(f"/start{slash}", method=method).status_code == 200
    wait_until(lambda: _running(pipe, "numbers", "cam", "disk", "more", "view"))
    assert client.open(f"/pause{slash}", method=method).status_code == 200
    wait_until(lambda: _idle(pipe, "numbers", "cam", "disk", "more", "view"))


def test_one_routine_is_started_and_stopped_as_documented(client: Client, pipe: Pipe) -> None:
    pipe.build()
    assert client.get("/routines/cam/events/start/execute").status_code == 200
    wait_until(lambda: _running(pipe, "cam"))
    assert _idle(pipe, "numbers", "view")
    assert client.get("/routines/cam/events/stop/execute").status_code == 200
    wait_until(lambda: _idle(pipe, "cam"))


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/routines/cam/events/ZOOM/execute", "/routines/events/ZOOM/execute/"])
@pytest.mark.parametrize(
    "given",
    [
        {"json": {"extra_args": {"factor": 2, "mode": "fast"}}},
        {"query_string": {"extra_args": '{"factor": 2, "mode": "fast"}'}},
        {"query_string": {"factor": "2", "mode": "fast"}},
    ],
    ids=["body", "extra_args-in-query", "query"],
)
def test_an_event_with_arguments_as_documented(
    client: Client, camera: Telling, method: str, path: str, given: dict[str, Any]
) -> None:
    answer = client.open(path, method=method, **given)
    assert answer.status_code == 200
    assert answer.get_json()["routines"] == ["cam"]
    wait_until(lambda: camera.seen == {"factor": 2, "mode": "fast"})


def test_the_structure_as_documented(client: Client) -> None:
    found = client.get("/pipe/structure").get_json()
    assert [one["routine_name"] for one in found["Routines"]] == ["numbers", "cam", "disk", "more", "view"]
    assert found["Events"] == ["start", "stop", "kill"]


def test_kill_answers_and_then_the_server_is_told(service: ControlService, pipe: Pipe) -> None:
    told: list[bool] = []
    client = create_app(service, on_kill=lambda: told.append(True)).test_client()
    pipe.build()
    answer = client.get("/kill", buffered=False)
    assert answer.status_code == 200
    assert not told
    assert b"kill" in answer.get_data()
    answer.close()
    assert told
    assert pipe.join(timeout=60.0)


def test_kill_of_a_flow_or_by_the_versioned_route_leaves_the_server_alone(service: ControlService, pipe: Pipe) -> None:
    told: list[bool] = []
    client = create_app(service, on_kill=lambda: told.append(True)).test_client()
    pipe.build()
    assert client.post("/api/v1/routines/cam/kill").status_code == 202
    assert client.get("/routines/cam/events/kill/execute").status_code == 200
    assert client.post("/api/v1/kill", json={"wait": 60}).status_code == 200
    assert not told


@pytest.mark.parametrize("path", ["/start", "/pause", "/kill", "/routines/cam/events/ZOOM/execute"])
def test_looking_with_head_starts_nothing(client: Client, pipe: Pipe, path: str) -> None:
    pipe.build()
    answer = client.head(path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, POST")
    assert _idle(pipe, "numbers", "cam", "disk", "more", "view")


# --- verbs


def test_what_is_only_sent_is_accepted_and_what_is_waited_for_is_ok(client: Client, pipe: Pipe) -> None:
    sent = client.post("/api/v1/start")
    assert (sent.status_code, sent.get_json()["results"]) == (202, None)
    waited = client.post("/api/v1/start", json={"wait": 60})
    assert waited.status_code == 200
    assert set(waited.get_json()["results"]) == {"numbers", "cam", "disk", "more", "view"}
    assert _running(pipe, "numbers", "cam", "disk", "more", "view")
    assert client.post("/api/v1/stop?wait=60").status_code == 200
    assert _idle(pipe, "numbers", "cam", "disk", "more", "view")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/start", {"flow": "out"}),
        ("/api/v1/start", {"routine": "view"}),
        ("/api/v1/flows/out/start", {}),
        ("/api/v1/routines/view/start", {}),
        ("/api/v1/routines/view/events/start", {}),
        ("/api/v1/flows/out/events/start", {}),
    ],
)
def test_a_flow_or_a_routine_is_started_alone(client: Client, pipe: Pipe, path: str, body: dict[str, Any]) -> None:
    answer = client.post(path, json={"wait": 60, **body})
    assert "view" in answer.get_json()["routines"]
    assert _running(pipe, "view")
    assert _idle(pipe, "numbers", "cam")


@pytest.mark.parametrize(
    "path", ["/api/v1/events/ZOOM", "/api/v1/flows/in/events/ZOOM", "/api/v1/routines/cam/events/ZOOM"]
)
def test_an_event_returns_what_its_handlers_returned(client: Client, path: str) -> None:
    found = client.post(path, json={"params": {"factor": 2}, "wait": 60}).get_json()
    assert found["results"]["cam"]["value"] == {"factor": 2, "mode": "slow"}
    assert found["ok"] is True


@pytest.mark.expects_errors
def test_a_handler_that_fails_is_told_of_in_the_reply(client: Client) -> None:
    answer = client.post("/api/v1/events/FAIL", json={"wait": 60})
    assert answer.status_code == 200
    assert answer.get_json()["ok"] is False
    assert "as it was told to" in answer.get_json()["results"]["cam"]["error"]


def test_parameters_are_shown_set_and_refused(client: Client, camera: Telling) -> None:
    client.post("/api/v1/start", json={"wait": 60})
    path = "/api/v1/routines/cam/parameters"
    (before,) = client.get(path).get_json()["routines"]["cam"]
    assert (before["name"], before["value"], before["maximum"]) == ("factor", 1.0, 8.0)
    (after,) = client.patch(path, json={"values": {"factor": 2}}).get_json()["routines"]["cam"]
    assert after["value"] == 2.0
    answer = client.patch(path, json={"values": {"factor": 9}})
    assert answer.status_code == 422
    assert _error(answer)["field"] == "factor"
    assert client.get("/api/v1/parameters?routine=cam").get_json()["routines"]["cam"][0]["value"] == 2.0
    assert camera.factor == 2.0


def test_wires_are_added_and_taken_away(client: Client, pipe: Pipe) -> None:
    pipe.build()
    made = client.post("/api/v1/wires", json={"source": "cam", "destination": "view", "lossless": True})
    assert (made.status_code, made.get_json()["changed"]) == (200, True)
    assert client.post("/api/v1/wires", json={"source": "cam", "destination": "view"}).get_json()["changed"] is False
    assert pipe.status().wire("cam", "view").lossless
    gone = client.delete("/api/v1/wires/cam/view")
    assert (gone.status_code, gone.get_json()["linked"]) == (200, False)


def test_a_log_level_is_set(client: Client, pipe: Pipe) -> None:
    pipe.build()
    assert client.put("/api/v1/routines/cam/log_level", json={"level": "DEBUG"}).get_json()["level"] == "DEBUG"
    answer = client.put("/api/v1/routines/cam/log_level", json={"level": "LOUD"})
    assert (answer.status_code, _error(answer)["field"]) == (422, "level")


@pytest.mark.parametrize(
    "path", ["status", "structure", "events", "logs", "version", "health", "parameters", "routines/cam/parameters"]
)
def test_what_only_looks_answers_for_a_pipe_in_any_state(client: Client, pipe: Pipe, path: str) -> None:
    assert client.get(f"/api/v1/{path}").status_code == 200
    client.post("/api/v1/start", json={"wait": 60})
    assert client.get(f"/api/v1/{path}/").status_code == 200
    pipe.join(to_kill=True)
    assert client.get(f"/api/v1/{path}").status_code == 200
    assert client.head(f"/api/v1/{path}").status_code == 200


def test_logs_are_filtered(client: Client, pipe: Pipe) -> None:
    pipe.logger.warning("one")
    pipe.logger.warning("two")
    first = client.get("/api/v1/logs?limit=1&after=0&text=one").get_json()["records"]
    assert [record["message"] for record in first] == ["one"]
    rest = client.get(f"/api/v1/logs?after={first[0]['number']}").get_json()["records"]
    assert [record["message"] for record in rest] == ["two"]


def test_a_picture_comes_as_json_or_as_it_is(
    client: Client, service: ControlService, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/api/v1/routines/cam/preview/output"
    none = client.get(path)
    assert (none.status_code, _error(none)["code"]) == (409, "bad_state")
    jpeg = bytes(range(256))
    frame = PreviewFrame("cam", "output", 1, 0.0, 48, 32, (32, 48), "uint8", jpeg)
    monkeypatch.setattr(service.pipe, "preview_frame", lambda *_: frame)
    described = client.get(path).get_json()
    assert (described["width"], urlsafe_b64decode(described["jpeg"])) == (48, jpeg)
    for picture in (client.get(f"{path}.jpg"), client.get(path, headers={"Accept": "image/jpeg"})):
        assert (picture.content_type, picture.get_data()) == ("image/jpeg", jpeg)
    assert client.get(path, headers={"Accept": "text/html, */*"}).content_type == "application/json"
    assert _error(client.get("/api/v1/routines/cam/preview/back"))["field"] == "side"


def test_join_without_a_timeout_is_answered_before_anybody_hangs_up(
    client: Client, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe.build()
    monkeypatch.setattr(http, "JOIN_SECONDS", 0.01)
    assert client.post("/api/v1/join").get_json() == {"ended": False}
    assert client.post("/api/v1/join", json={"to_kill": True, "timeout": 60}).get_json() == {"ended": True}


def test_only_so_many_requests_wait_and_the_others_are_told(
    service: ControlService, camera: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MOST_WAITING", 1)
    app = create_app(service)
    app.test_client().post("/api/v1/start", json={"wait": 60})
    held = threading.Thread(target=lambda: app.test_client().post("/api/v1/events/HOLD", json={"wait": 60}))
    held.start()
    assert camera.holding.wait(60)
    assert app.test_client().post("/api/v1/join", json={"timeout": 0.001}).status_code == 409
    assert app.test_client().get("/api/v1/status").status_code == 200
    assert app.test_client().post("/api/v1/events/ZOOM").status_code == 202
    camera.gate.set()
    held.join()
    assert app.test_client().post("/api/v1/join", json={"timeout": 0.001}).status_code == 200


# --- errors


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("/api/v1/routines/camm/start", "cam"),
        ("/api/v1/flows/inn/start", "in"),
        ("/api/v1/events/ZOM", "ZOOM"),
        ("/routines/cam/events/ZOM/execute", "ZOOM"),
        ("/api/v1/strat", "/api/v1/start"),
    ],
)
def test_an_unknown_name_is_404_with_the_nearest(client: Client, path: str, nearest: str) -> None:
    answer = client.post(path)
    assert answer.status_code == 404
    error = _error(answer)
    assert (error["code"], error["nearest"]) == ("unknown_name", nearest)
    assert nearest in error["message"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/v1/start", {"wait": "soon"}, "wait"),
        ("/api/v1/start", {"wait": -1}, "wait"),
        ("/api/v1/start", {"flw": "in"}, "flw"),
        ("/api/v1/start", {"flow": ""}, "flow"),
        ("/api/v1/start", {"flow": 3}, "flow"),
        ("/api/v1/start?wait=1", {"wait": 2}, "wait"),
        ("/api/v1/flows/in/start", {"flow": "out"}, "flow"),
        ("/api/v1/events/ZOOM", {"params": [1]}, "params"),
        ("/api/v1/wires", {"source": "cam"}, "destination"),
        ("/api/v1/wires", {"source": "cam", "destination": "view", "capacity": 0}, "capacity"),
        ("/api/v1/join", {"to_kill": "perhaps"}, "to_kill"),
    ],
)
def test_a_bad_argument_is_422_with_the_field(client: Client, path: str, body: dict[str, Any], field: str) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == 422
    error = _error(answer)
    assert (error["code"], error["field"]) == ("bad_argument", field)


def test_malformed_json_is_422_and_another_type_is_415(client: Client) -> None:
    assert client.post("/api/v1/start", data="{", content_type="application/json").status_code == 422
    answer = client.post("/api/v1/start", data={"wait": "1"})
    assert answer.status_code == 415
    assert "application/json" in _error(answer)["message"]


def test_a_state_that_does_not_allow_it_is_409(client: Client, pipe: Pipe) -> None:
    pipe.build()
    pipe.join(to_kill=True)
    answer = client.post("/api/v1/start")
    assert (answer.status_code, _error(answer)["code"]) == (409, "bad_state")


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PUT", "DELETE", "PATCH"])
def test_a_method_that_a_path_does_not_know_is_405_with_those_it_knows(client: Client, method: str) -> None:
    answer = client.open("/start", method=method)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, POST")
    assert "GET, POST" in _error(answer)["message"]


def test_a_body_that_is_too_large_is_413(client: Client) -> None:
    answer = client.post("/api/v1/start", data=b" " * (http.LARGEST_BODY + 1), content_type="application/json")
    assert (answer.status_code, _error(answer)["code"]) == (413, "too_large")


@pytest.mark.expects_errors
def test_what_nobody_foresaw_is_500_without_its_text(
    client: Client, service: ControlService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(service.pipe, "status", fail)
    for path in ("/api/v1/status", "/readyz", "/metrics"):
        answer = client.get(path)
        assert (answer.status_code, _error(answer)["code"]) == (500, "internal")
        assert b"secret" not in answer.get_data()
    assert "a secret" in caplog.text


def test_every_route_answers_nonsense_with_the_one_error_body(client: Client) -> None:
    for route in ROUTES:
        if route.kind is Kind.PAGE:
            continue
        path = route.path.replace("{", "no-such-").replace("}", "")
        answer = client.open(path, method=route.method, json={"no_such_argument": 1})
        assert 400 <= answer.status_code < 500 or route.kind is Kind.STREAM, route
        _error(answer)


# --- pages


def test_the_probes_tell_whether_the_process_answers_and_whether_the_pipe_is_ready(client: Client, pipe: Pipe) -> None:
    assert client.get("/healthz").get_json() == {"ok": True}
    early = client.get("/readyz")
    assert (early.status_code, early.get_json()) == (503, {"ready": False, "reasons": ["the pipe is not built"]})
    pipe.build()
    ready = client.get("/readyz")
    assert (ready.status_code, ready.get_json()) == (200, {"ready": True, "reasons": []})
    pipe.join(to_kill=True)
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").get_json()["reasons"] == ["the pipe has ended"]


def test_metrics_are_in_the_format_that_is_asked_for(client: Client) -> None:
    plain = client.get("/metrics")
    assert plain.content_type.startswith("text/plain")
    assert b'pipert2_info{pipe="bench"' in plain.get_data()
    opened = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert opened.content_type.startswith("application/openmetrics-text")
    assert opened.get_data().endswith(b"# EOF\n")


def test_the_document_of_the_api_is_served(client: Client) -> None:
    assert client.get("/api/v1/openapi.json").get_json()["openapi"] == "3.1.0"
