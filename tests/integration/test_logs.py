"""What routines log in their processes reaches the pipe's logger in the main process."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from pipert2 import DestinationRoutine, SourceRoutine, events
from pipert2.testing import CollectingDestination, ListSource, wait_until
from pipert2.utils.logging_module_modifiers import PIPE_INFRASTRUCTURE_LOG_LEVEL, add_pipe_log_level


class Talks(DestinationRoutine):
    """Logs what it is told to."""

    @events("LOG")
    def log(self, level: int, text: str, *, extra: Any = None) -> None:
        self.logger.log(level, text, extra=extra)

    @events("PLOG")
    def plog(self, text: str) -> None:
        self.logger.plog(text)

    @events("FLOOD")
    def flood(self, times: int) -> None:
        for number in range(times):
            self.logger.info("number %d", number)

    @events("ODD")
    def odd(self) -> None:
        self.logger.info("with a lock", extra={"lock": threading.Lock()})
        self.logger.info("with a %s", type("Local", (), {"__str__": lambda self: "local class"})())
        logging.getLogger("somebody.else").warning("from a library")

    @events("RAISE")
    def fail(self) -> None:
        raise LookupError("lost")

    def main_logic(self, data: object) -> None:
        if data == "bad":
            raise ValueError("a bad word")
        self.logger.info("got %s", data)


class Rests(SourceRoutine):
    def main_logic(self) -> None:
        self.wait(1)


@pytest.fixture
def talks(chain, caplog):
    """A pipe with a routine that logs, and what its logger got."""
    logger = logging.getLogger("talks")
    logger.setLevel(logging.DEBUG)
    with chain(Rests("rests"), Talks("talker"), logger=logger) as pipe:
        pipe.build()
        yield pipe
    logger.setLevel(logging.NOTSET)


def record(caplog, text: str) -> logging.LogRecord:
    return wait_until(lambda: next((r for r in list(caplog.records) if text in r.getMessage()), None), what=text)


def test_a_routines_records_arrive_with_level_name_and_process(talks, caplog):
    talks.notify_event("LOG", wait=60, level=logging.WARNING, text="the lens is dirty")
    found = record(caplog, "the lens is dirty")
    assert (found.levelno, found.name) == (logging.WARNING, "talks.in-talker.talker")
    assert found.process == talks.status().flow("in-talker").pid


def test_levels_below_the_pipes_own_do_not_travel(talks, caplog):
    talks.notify_event("LOG", wait=60, level=logging.DEBUG - 1, text="too fine")
    talks.notify_event("LOG", wait=60, level=logging.DEBUG, text="fine enough")
    record(caplog, "fine enough")
    assert "too fine" not in caplog.text


def test_records_keep_their_order_and_none_is_lost_in_a_burst(talks, caplog):
    talks.notify_event("FLOOD", wait=60, times=3000)
    record(caplog, "number 2999")
    texts = [r.getMessage() for r in caplog.records if r.getMessage().startswith("number ")]
    assert texts == [f"number {number}" for number in range(3000)]


def test_what_cannot_be_sent_with_a_record_does_not_silence_the_flow(talks, caplog):
    talks.notify_event("ODD", wait=60)
    record(caplog, "with a lock")
    record(caplog, "with a local class")
    record(caplog, "from a library")
    assert talks.notify_event("LOG", wait=60, level=logging.INFO, text="still here")["talker"].error is None
    record(caplog, "still here")


@pytest.mark.expects_errors
def test_failures_are_logged_with_their_traceback(talks, caplog):
    talks.notify_event("RAISE", wait=60)
    found = record(caplog, "LookupError: lost")
    assert found.levelno == logging.ERROR
    assert 'raise LookupError("lost")' in found.exc_text


@pytest.mark.expects_errors
def test_failures_of_main_logic_are_logged_with_their_traceback(chain, caplog):
    chain(ListSource(["good", "bad"], "words"), Talks("talker"), lossless=True).run(timeout=60)
    assert 'raise ValueError("a bad word")' in record(caplog, "main_logic of talker failed").exc_text


def test_plog_reaches_the_main_process_when_its_level_is_on(talks, caplog):
    talks.notify_event("PLOG", wait=60, text="not yet")
    talks.notify_event("LOG", wait=60, level=logging.INFO, text="after it")
    record(caplog, "after it")
    assert "not yet" not in caplog.text


def test_plog_has_its_own_level(chain, caplog):
    add_pipe_log_level()
    logger = logging.getLogger("fine")
    logger.setLevel(PIPE_INFRASTRUCTURE_LOG_LEVEL)
    caplog.set_level(PIPE_INFRASTRUCTURE_LOG_LEVEL)
    with chain(Rests("rests"), Talks("talker"), logger=logger) as pipe:
        pipe.notify_event("PLOG", wait=60, text="plumbing")
        found = record(caplog, "plumbing")
    logger.setLevel(logging.NOTSET)
    assert (found.levelno, found.levelname) == (PIPE_INFRASTRUCTURE_LOG_LEVEL, "PIPE_INFRASTRUCTURE")


def test_a_logger_of_ones_own_that_is_not_registered_gets_everything(chain):
    logger, got = logging.Logger("my own", logging.INFO), []

    class Keeps(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            got.append(record.getMessage())

    logger.addHandler(Keeps())
    assert chain(ListSource(["hello"], "words"), Talks("talker"), lossless=True, logger=logger).run(timeout=60).ok
    assert "got hello" in got


def test_the_last_words_of_a_cleanup_arrive(chain, caplog):
    class LastWords(CollectingDestination):
        def cleanup(self) -> None:
            super().cleanup()
            for number in range(500):
                self.logger.warning("word %d", number)

    chain(ListSource([1], "numbers"), LastWords("seen"), lossless=True).run(timeout=60)
    assert sum("word " in r.getMessage() for r in caplog.records) == 500
