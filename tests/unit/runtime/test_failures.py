"""What becomes of an exception: counted, kept as the last one, logged once a second."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pipert2.errors import UnreadableDataError
from pipert2.runtime.routine import failures as module
from pipert2.runtime.routine.failures import LONGEST_PAUSE, Failures, pause_before
from pipert2.transport import board as b
from pipert2.transport.board import Board
from pipert2.transport.memory import PrivateArena

pytestmark = pytest.mark.expects_errors


@pytest.fixture
def board() -> Iterator[Board]:
    arena = PrivateArena()
    yield Board(arena.create("board", Board.size(1, 0)), 1)
    arena.close()


def made(board: Board) -> Failures:
    return Failures(board, 0, "work", logging.getLogger("test.work"))


def test_a_failure_is_counted_and_its_reason_and_traceback_returned(board: Board) -> None:
    failures = made(board)
    try:
        raise ValueError("boom")
    except ValueError as error:
        reason, trace = failures.note("main_logic", error)
    assert reason == "ValueError: boom"
    assert 'raise ValueError("boom")' in trace
    assert board.words[board.routine(0) + b.ERRORS] == 1
    assert board.read_error(0) == "main_logic: ValueError: boom"


def test_an_error_of_ours_says_itself_what_it_is(board: Board) -> None:
    error = UnreadableDataError("camera", "it is torn")
    reason, _ = made(board).note("receiving", error)
    assert reason == str(error)


def test_failures_of_one_kind_are_logged_once_and_the_others_counted(
    board: Board, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    failures = made(board)
    for number in range(5):
        failures.note("main_logic", ValueError(number))
    failures.note("sending", ValueError("another kind"))
    now[0] += 0.5
    failures.note("sending", ValueError("again"))
    now[0] += 0.6
    failures.note("sending", ValueError("later"))
    assert [record.getMessage() for record in caplog.records] == [
        "main_logic of work failed: ValueError: 0",
        "sending of work failed: ValueError: another kind (4 more like the one before)",
        "sending of work failed: ValueError: later (1 more like the one before)",
    ]
    assert board.words[board.routine(0) + b.ERRORS] == 8


def test_an_exception_that_cannot_be_shown_is_noted_all_the_same(board: Board) -> None:
    class Rude(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    reason, trace = made(board).note("main_logic", Rude())
    assert (reason, trace) == ("Rude (which cannot be shown)", "")


def test_failures_of_many_threads_are_all_counted(board: Board) -> None:
    failures = made(board)

    def fail(error: Any) -> None:
        for _ in range(200):
            failures.note("main_logic", error)

    threads = [threading.Thread(target=fail, args=(ValueError(number),)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert board.words[board.routine(0) + b.ERRORS] == 1000


def test_pauses_grow_to_a_second() -> None:
    pauses = [pause_before(attempt) for attempt in range(1, 100)]
    assert pauses[0] == 0.02
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE
