"""The cockpit over TLS: with a certificate that only its own people know."""

from __future__ import annotations

import json
import logging
import os
import shutil
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipert2 import ControlError, Pipe
from pipert2.cockpit.beside import cockpit_beside
from pipert2.cockpit.link.link import CockpitLink
from pipert2.cockpit.link.tls import trusting
from pipert2.cockpit.server.server import CockpitServer
from pipert2.cockpit.settings import CockpitSettings
from pipert2.testing import CollectingDestination, ListSource, wait_until
from pipert2.utils.logging_module_modifiers import get_socket_logger
from tests.integration.cockpit_tls import Certificates, make_certificates

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here")
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server(certificates: Certificates, tmp_path: Path) -> Iterator[CockpitServer]:
    settings = CockpitSettings(
        port=0, database=tmp_path / "c.db", certificate=certificates.certificate, key=certificates.key
    )
    with CockpitServer(settings) as one:
        yield one


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    with Pipe("greenhouse", inline=True) as one:
        one.create_flow("all", True, ListSource([1, 2], name="soil"), CollectingDestination("display"))
        yield one


def names(server: CockpitServer, certificates: Certificates) -> str:
    context = ssl.create_default_context(cafile=str(certificates.ca))
    with urllib.request.urlopen(f"{server.url}/api/pipes", timeout=60, context=context) as answer:
        return str(answer.read())


def test_a_pipe_that_is_told_who_signed_the_certificate_is_shown(
    server: CockpitServer, certificates: Certificates, pipe: Pipe
) -> None:
    assert server.url.startswith("https://")
    with CockpitLink(pipe, server.url, trust=trusting(certificates.ca)) as link:
        assert link.connected.wait(60)
        wait_until(lambda: "greenhouse" in names(server, certificates), what="the pipe in the cockpit")


def test_a_pipe_that_is_not_told_says_why_it_does_not_connect(
    server: CockpitServer, pipe: Pipe, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), CockpitLink(pipe, server.url) as link:
        wait_until(lambda: "PIPERT2_COCKPIT_CA" in caplog.text, what="the reason in the log")
        assert not link.connected.is_set()


def test_a_certificate_for_another_name_is_not_trusted(
    certificates: Certificates, pipe: Pipe, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = CockpitSettings(port=0, database=tmp_path / "c.db", certificate=certificates.other)
    with (
        CockpitServer(settings) as server,
        caplog.at_level(logging.WARNING),
        CockpitLink(pipe, server.url, trust=trusting(certificates.ca)) as link,
    ):
        wait_until(lambda: "not trusted" in caplog.text, what="the reason in the log")
        assert not link.connected.is_set()


def test_a_cockpit_without_tls_is_said_to_be_that(pipe: Pipe, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        CockpitServer(CockpitSettings(port=0, database=tmp_path / "c.db")) as server,
        caplog.at_level(logging.WARNING),
        CockpitLink(pipe, server.url.replace("http", "https")),
    ):
        wait_until(lambda: "http:// instead" in caplog.text, what="the reason in the log")


def test_the_environment_names_the_certificate_for_a_socket_logger(
    server: CockpitServer, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOCKET_LOGGER_URL", server.url)
    monkeypatch.setenv("PIPERT2_COCKPIT_CA", str(certificates.ca))
    logger = get_socket_logger("orchard", logging.INFO)
    try:
        with Pipe(logger=logger, inline=True) as pipe:
            pipe.create_flow("all", True, ListSource([1], name="soil"), CollectingDestination("display"))
            pipe.build()
            wait_until(lambda: "orchard" in names(server, certificates), what="the pipe in the cockpit")
    finally:
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
            handler.close()


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_a_file_without_certificates_is_an_error_at_once(
    tmp_path: Path, text: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    monkeypatch.setenv("SOCKET_LOGGER_URL", "https://127.0.0.1:1")
    monkeypatch.setenv("PIPERT2_COCKPIT_CA", str(path))
    with pytest.raises(ControlError, match=r"no certificates can be read from .*ca.pem"):
        get_socket_logger("nobody", logging.INFO)


def test_a_cockpit_beside_a_pipe_is_trusted_by_its_own_certificate(
    certificates: Certificates, pipe: Pipe, tmp_path: Path
) -> None:
    both = certificates.other  # which is for another name than 127.0.0.1
    settings = CockpitSettings(port=0, database=tmp_path / "c.db", certificate=both)
    context = ssl.create_default_context(cafile=str(certificates.ca))
    context.check_hostname = False
    with cockpit_beside(pipe, settings) as address:
        assert address.startswith("https://")
        url = address.partition("/?")[0]

        def shown() -> bool:
            with urllib.request.urlopen(f"{url}/api/pipes", timeout=60, context=context) as answer:
                return any(one["connected"] for one in json.load(answer)["pipes"])

        wait_until(shown, what="the pipe in the cockpit")


def test_the_command_serves_it(certificates: Certificates, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipert2", "cockpit", "--port", "0", "--database", str(tmp_path / "c.db")]
    command += ["--certificate", str(certificates.certificate), "--key", str(certificates.key)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            url = process.stderr.readline().split()[2]
            context = ssl.create_default_context(cafile=str(certificates.ca))
            with urllib.request.urlopen(f"{url}/healthz", timeout=60, context=context) as answer:
                assert answer.status == 200
        finally:
            process.terminate()
            process.wait(60)
