"""The API against its own OpenAPI document: schemathesis makes up requests that fit it, and requests that do not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipert2 import Pipe
from pipert2.control.http.routes import ROUTES
from pipert2.control.http.server import ControlServer
from pipert2.control.http.tokens import Tokens
from pipert2.control.service import ControlService
from tests.integration.bench import Camera, bench

_SETTINGS = """
# What no JSON Schema can say: which characters cannot be printed (400); that a routine is not linked to itself, that
# the body and the query do not contradict each other, which arguments an event has, that a source is not called (422).
[checks]
positive_data_acceptance.expected-statuses = ["2xx", 400, 404, 409]
negative_data_rejection.expected-statuses = [400, 404, 405, 409, 414, 415, 422]

[[operations]]
include-path-regex = "/call$"
checks.not_a_server_error.expected-statuses = ["2xx", "4xx", 502, 504]
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 404, 409, 422, 502, 504]

[[operations]]
include-path-regex = "^/api/v1/wires$|/execute$|/events/"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 404, 409, 422]
"""

pytestmark = pytest.mark.timeout(600)

_FORESAW_NOT = "in a way nobody foresaw"


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where a pipe with names that are easily guessed listens. What has to be waited for ends soon there."""
    call = Pipe.call
    monkeypatch.setattr(
        Pipe, "call", lambda pipe, routine, data, timeout: call(pipe, routine, data, timeout=min(timeout, 0.2))
    )
    notices = Pipe.notices
    monkeypatch.setattr(
        Pipe,
        "notices",
        lambda pipe, after, limit, wait: notices(pipe, after, limit=limit, wait=min(wait, 0.2)),
    )
    with (
        bench(Camera("cam")) as pipe,
        ControlService(pipe) as service,
        ControlServer(service, port=0, tokens=Tokens.none(), announce=False) as server,
    ):
        pipe.build()
        yield server.url


def _check(url: str, folder: Path, *options: str) -> str:
    """Run schemathesis on what is served at *url*; what it printed. It must not have found anything."""
    settings = folder / "schemathesis.toml"
    settings.write_text(_SETTINGS)
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings), "--no-color"]
    command += ["run", f"{url}/api/v1/openapi.json", "--seed", "1", "--request-timeout", "60", "--no-shrink", *options]
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.expects_errors
def test_every_answer_is_as_the_openapi_document_says_and_none_is_a_server_error(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Streams never end, a join waits as long as it is told to; kill has a test of its own.
    skipped = "/stream$|/join$|kill$"
    said = _check(url, tmp_path, "--phases", "coverage,fuzzing", "--max-examples", "3", "--exclude-path-regex", skipped)
    asked = [route for route in ROUTES if route.verb != "openapi" and not re.search(skipped, route.path)]
    assert f"Tested: {len(asked)}" in said
    assert _FORESAW_NOT not in caplog.text


@pytest.mark.expects_errors
def test_a_pipe_that_is_killed_meanwhile_answers_by_the_document_too(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = "^/api/v1/(kill|start|status|logs|events/.name.|wires|health)$"
    _check(url, tmp_path, "--phases", "coverage", "--include-path-regex", wanted)
    assert _FORESAW_NOT not in caplog.text
