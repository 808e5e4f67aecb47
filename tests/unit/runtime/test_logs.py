"""Log records on their way from a flow to the main process, and the log level of pipert2's own doings."""

from __future__ import annotations

import io
import logging
import sys
import threading
from typing import Any

import pytest

from pipert2.runtime.flow.logs import (
    MOST_WAITING,
    PIPE_INFRASTRUCTURE_LOG_LEVEL,
    ForwardingHandler,
    add_pipe_log_level,
    get_default_print_logger,
)
from pipert2.transport.codec import dumps_plain, loads


@pytest.fixture
def handler() -> ForwardingHandler:
    return ForwardingHandler(threading.Event())


@pytest.fixture
def logger(handler: ForwardingHandler) -> logging.Logger:
    made = logging.Logger("flow")
    made.addHandler(handler)
    return made


def messages(handler: ForwardingHandler, most: int = 200) -> list[str]:
    return [record.getMessage() for record in handler.fetch(most)[0]]


def test_records_are_fetched_in_order(handler: ForwardingHandler, logger: logging.Logger) -> None:
    for number in range(5):
        logger.warning("number %d", number)
    assert messages(handler) == [f"number {number}" for number in range(5)]


def test_a_record_is_fetched_once(handler: ForwardingHandler, logger: logging.Logger) -> None:
    logger.warning("once")
    assert messages(handler) == ["once"]
    assert messages(handler) == []


def test_no_more_are_fetched_than_asked_for(handler: ForwardingHandler, logger: logging.Logger) -> None:
    for number in range(5):
        logger.warning("%d", number)
    assert messages(handler, 3) == ["0", "1", "2"]
    assert messages(handler, 3) == ["3", "4"]


def test_a_record_wakes_whoever_sends_them(logger: logging.Logger) -> None:
    wake = threading.Event()
    logger.handlers[:] = [ForwardingHandler(wake)]
    logger.warning("hello")
    assert wake.is_set()


def test_of_too_many_records_the_oldest_are_dropped_and_counted(
    handler: ForwardingHandler, logger: logging.Logger
) -> None:
    for number in range(MOST_WAITING + 7):
        logger.warning("%d", number)
    records, dropped = handler.fetch(1)
    assert dropped == 7
    assert records[0].getMessage() == "7"
    assert handler.fetch(1)[1] == 0


def test_a_traceback_travels_as_text(handler: ForwardingHandler, logger: logging.Logger) -> None:
    try:
        raise ValueError("no")
    except ValueError:
        logger.exception("it failed")
    record = loads(dumps_plain(handler.fetch()[0][0]))
    text = logging.Formatter("%(message)s").format(record)
    assert "it failed" in text
    assert "ValueError: no" in text


def test_arguments_that_cannot_travel_are_in_the_message(handler: ForwardingHandler, logger: logging.Logger) -> None:
    logger.warning("a generator: %s", (number for number in []))
    record = loads(dumps_plain(handler.fetch()[0][0]))
    assert record.getMessage().startswith("a generator: <generator object")


def test_an_extra_that_cannot_travel_becomes_text(handler: ForwardingHandler, logger: logging.Logger) -> None:
    logger.warning("look", extra={"lock": threading.Lock(), "count": 3})
    record: Any = loads(dumps_plain(handler.fetch()[0][0]))
    assert "lock" in record.lock
    assert record.count == 3


def test_the_level_has_a_name_and_a_method(caplog: pytest.LogCaptureFixture) -> None:
    add_pipe_log_level()
    logger: Any = logging.getLogger("pipert2.test-level")
    with caplog.at_level(PIPE_INFRASTRUCTURE_LOG_LEVEL, logger="pipert2.test-level"):
        logger.plog("made %d segments", 3)
    record = caplog.records[-1]
    assert (record.levelname, record.getMessage()) == ("PIPE_INFRASTRUCTURE", "made 3 segments")
    assert record.funcName == "test_the_level_has_a_name_and_a_method"


def test_a_print_logger_prints_info_once(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stdout", screen)
    logger = get_default_print_logger("pipert2.test-print")
    try:
        assert get_default_print_logger("pipert2.test-print") is logger
        logger.info("hello")
        logger.debug("not this")
        assert screen.getvalue().count("hello") == 1
        assert "not this" not in screen.getvalue()
    finally:
        logger.handlers.clear()


def test_the_paths_that_pipert_documented_still_lead_here() -> None:
    from pipert2.utils import logging_module_modifiers
    from pipert2.utils.consts import event_names

    assert logging_module_modifiers.add_pipe_log_level is add_pipe_log_level
    assert logging_module_modifiers.get_default_print_logger is get_default_print_logger
    assert (event_names.START_EVENT_NAME, event_names.STOP_EVENT_NAME, event_names.KILL_EVENT_NAME) == (
        "start",
        "stop",
        "kill",
    )
