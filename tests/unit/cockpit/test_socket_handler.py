"""The logger that brings a pipe into the cockpit."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipert2 import Pipe
from pipert2.cockpit.link.link import CockpitLink
from pipert2.cockpit.link.socket_handler import SocketHandler
from pipert2.errors import ControlError
from pipert2.testing import CollectingDestination, ListSource
from pipert2.utils.logging_module_modifiers import get_socket_logger


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("SOCKET_LOGGER_URL", "PIPERT2_COCKPIT_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def socket_logger() -> Iterator[Callable[..., logging.Logger]]:
    made: list[logging.Logger] = []

    def make(name: str, level: Any = logging.INFO) -> logging.Logger:
        made.append(get_socket_logger(name, level))
        return made[-1]

    yield make
    for logger in made:
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
            handler.close()


def _handlers(logger: logging.Logger) -> list[SocketHandler]:
    return [handler for handler in logger.handlers if isinstance(handler, SocketHandler)]


def test_the_address_comes_from_the_file_without_what_was_behind_it(
    tmp_path: Path, socket_logger: Callable[..., logging.Logger]
) -> None:
    (tmp_path / ".env").write_text('SOCKET_LOGGER_URL="http://localhost:3000/api/socketio"\n')
    before = dict(os.environ)
    logger = socket_logger("from-file", logging.WARNING)
    (handler,) = _handlers(logger)
    assert handler.url == "http://localhost:3000"
    assert logger.level == logging.WARNING
    assert dict(os.environ) == before
    assert _handlers(socket_logger("from-file", "DEBUG")) == [handler]
    assert logger.level == logging.DEBUG


def test_the_environment_wins(
    tmp_path: Path, socket_logger: Callable[..., logging.Logger], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("SOCKET_LOGGER_URL=http://file\n")
    monkeypatch.setenv("SOCKET_LOGGER_URL", "http://environment:1")
    assert _handlers(socket_logger("from-environment"))[0].url == "http://environment:1"


def test_without_an_address_it_is_a_logger_as_any_other_and_says_so(
    socket_logger: Callable[..., logging.Logger], caplog: pytest.LogCaptureFixture
) -> None:
    logger = socket_logger("without")
    assert _handlers(logger) == []
    assert "SOCKET_LOGGER_URL is not set" in caplog.text


def test_an_address_that_is_none_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOCKET_LOGGER_URL", "ftp://nowhere")
    with pytest.raises(ControlError, match="is not the address of a cockpit"):
        get_socket_logger("wrong", logging.INFO)


@pytest.mark.parametrize(("name", "shown"), [(None, "base"), ("mine", "mine")])
def test_a_pipe_that_is_built_with_it_is_linked_under_its_name_with_what_was_logged_before(
    socket_logger: Callable[..., logging.Logger], monkeypatch: pytest.MonkeyPatch, name: str | None, shown: str
) -> None:
    monkeypatch.setenv("SOCKET_LOGGER_URL", "http://127.0.0.1:9")
    links: list[CockpitLink] = []
    start = CockpitLink.start
    monkeypatch.setattr(CockpitLink, "start", lambda self: links.append(self) or start(self))
    logger = socket_logger("base")
    logger.info("early")
    pipe = Pipe(name, logger=logger, inline=True)
    pipe.create_flow("all", True, ListSource([1]), CollectingDestination())
    pipe.run()
    (link,) = links
    assert link._run_of_pipe["name"] == shown
    assert link.service.recent_logs.page(0, 10_000).records[0].message == "early"
    link.close()


def test_nothing_listens_and_nothing_runs_before_a_pipe_is_built(
    socket_logger: Callable[..., logging.Logger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOCKET_LOGGER_URL", "http://127.0.0.1:9")
    logger = socket_logger("idle")
    for number in range(20_000):
        logger.info("record %d", number)
    assert len(_handlers(logger)[0]._early) == 10_000
    assert _handlers(logger)[0]._links == []
