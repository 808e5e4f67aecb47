"""Log levels of routines that change while they run, the newest records for those who ask, and waiting for an end."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pipert2 import (
    MiddleRoutine,
    Pipe,
    PipeState,
    PipeStateError,
    Restart,
    SourceRoutine,
    UnknownRoutineError,
    Wire,
    events,
)
from pipert2.observe.recent_logs import MOST_RECORDS, LogRecord, RecentLogs
from pipert2.testing import CollectingDestination, ListSource, wait_until


class Talks(SourceRoutine):
    """Says at each level which number it has come to."""

    number = 0

    def setup(self) -> None:
        self.logger.debug("setting up")

    @events("SAY")
    def say(self, level: int, text: str, times: int = 1) -> None:
        for _ in range(times):
            self.logger.log(level, text)

    @events("FAIL")
    def fail(self) -> None:
        try:
            raise LookupError("lost")
        except LookupError:
            self.logger.exception("it failed", extra={"shelf": 7})

    @events("CHILD")
    def child(self) -> None:
        self.logger.getChild("inner").warning("from within")

    def main_logic(self) -> int:
        self.wait(0.005)
        self.number += 1
        self.logger.debug("fine %d", self.number)
        return self.number


class Quiet(MiddleRoutine):
    def main_logic(self, data: Any) -> Any:
        self.logger.debug("quiet %s", data)
        return data


@pytest.fixture(params=["inline", "processes"])
def talking(request, chain) -> Iterator[tuple[Pipe, RecentLogs]]:
    """A pipe with routines that log, and its recent records."""
    logger = logging.getLogger("talking")
    logger.setLevel(logging.INFO)
    routines = Talks("talks"), Quiet("quiet"), CollectingDestination("seen")
    at_once = Restart(times=100, backoff=0.0)
    with chain(*routines, inline=request.param == "inline", logger=logger, restart=at_once) as pipe:
        logs = RecentLogs(logger, pipe.log_listeners, lambda: pipe.flow_names)
        try:
            yield pipe, logs
        finally:
            logs.close()
    logger.setLevel(logging.NOTSET)


def say(pipe: Pipe, text: str, level: int = logging.INFO, times: int = 1) -> None:
    pipe.notify_event("SAY", {"in-talks": ["talks"]}, wait=60, level=level, text=text, times=times)


def found(logs: RecentLogs, text: str, **filters: Any) -> LogRecord:
    return wait_until(lambda: next(iter(logs.page(text=text, **filters).records), None), what=f"a record {text!r}")


# ------------------------------------------------------------------------------------------------ levels


@pytest.mark.expects_errors
def test_a_level_is_lowered_and_raised_while_the_routine_runs(talking):
    pipe, logs = talking
    pipe.notify_event("start", wait=60)
    say(pipe, "first")
    found(logs, "first")
    assert logs.page(level="DEBUG", text="fine").records == ()
    pipe.set_log_level("talks", "DEBUG")
    assert pipe.log_level("talks") == logging.DEBUG
    found(logs, "fine")
    assert logs.page(text="quiet").records == ()
    pipe.set_log_level("talks", logging.ERROR)
    say(pipe, "barrier", logging.ERROR)
    last = found(logs, "barrier").number
    say(pipe, "not this")
    say(pipe, "but this", logging.ERROR)
    found(logs, "but this")
    assert [record.message for record in logs.page(after=last, limit=100).records if record.level == "DEBUG"] == []
    assert logs.page(text="not this").records == ()


def test_a_level_can_be_set_before_the_start(talking):
    pipe, logs = talking
    pipe.build()
    pipe.set_log_level("talks", 10)
    pipe.notify_event("start", wait=60)
    found(logs, "setting up")


@pytest.mark.expects_errors
def test_a_level_outlives_the_process_from_its_first_record_on(chain):
    logger = logging.getLogger("outlives")
    with chain(Talks("talks"), CollectingDestination("seen"), logger=logger, restart=Restart(backoff=0.0)) as pipe:
        logs = RecentLogs(logger, pipe.log_listeners, lambda: pipe.flow_names)
        pipe.notify_event("start", wait=60)
        pipe.set_log_level("talks", "DEBUG")
        found(logs, "fine")
        last = logs.last
        os.kill(pipe.status().flow("in-talks").pid, signal.SIGKILL)
        wait_until(lambda: logs.page(after=last, limit=10_000, text="setting up").records)
        logs.close()


def test_a_level_of_one_pipe_is_not_that_of_the_next_of_its_name(chain):
    for _ in range(2):
        with chain(Talks("talks"), CollectingDestination("seen"), inline=True, name="again") as pipe:
            pipe.build()
            assert pipe.log_level("talks") == logging.WARNING
            pipe.set_log_level("talks", "DEBUG")


@pytest.mark.parametrize("level", ["LOUD", "", None, 1.5])
def test_a_level_that_there_is_not_is_refused_and_nothing_changes(talking, level):
    pipe, _ = talking
    pipe.build()
    with pytest.raises((ValueError, TypeError)):
        pipe.set_log_level("talks", level)
    assert pipe.log_level("talks") == logging.INFO


def test_levels_are_set_of_routines_of_pipes_that_run(chain):
    pipe = chain(Talks("talks"), CollectingDestination("seen"))
    with pytest.raises(PipeStateError, match="is not built yet"):
        pipe.set_log_level("talks", "DEBUG")
    with pipe:
        pipe.build()
        with pytest.raises(UnknownRoutineError, match="did you mean 'talks'"):
            pipe.set_log_level("talk", "DEBUG")
    with pytest.raises(PipeStateError, match="has ended"):
        pipe.set_log_level("talks", "DEBUG")


# ------------------------------------------------------------------------------------------------ recent records


def test_records_tell_where_they_come_from(talking):
    pipe, logs = talking
    pipe.notify_event("start", wait=60)
    say(pipe, "hello")
    record = found(logs, "hello")
    assert (record.flow, record.routine, record.level) == ("in-talks", "talks", "INFO")
    pipe.notify_event("CHILD", wait=60)
    inner = found(logs, "from within")
    assert (inner.flow, inner.routine) == ("in-talks", "talks")
    pipe.logger.warning("from the main process")
    outside = found(logs, "from the main process")
    assert (outside.flow, outside.routine) == (None, None)


def test_each_record_is_there_once(talking):
    pipe, logs = talking
    pipe.notify_event("start", wait=60)
    for number in range(50):
        say(pipe, f"number {number};")
    found(logs, "number 49;")
    messages = [record.message for record in logs.page(text="number", limit=1000).records]
    assert messages == [f"number {number};" for number in range(50)]


@pytest.mark.expects_errors
def test_a_record_has_traceback_and_extra_fields(talking):
    pipe, logs = talking
    pipe.notify_event("start", wait=60)
    pipe.notify_event("FAIL", wait=60)
    record = found(logs, "it failed")
    assert "LookupError: lost" in (record.traceback or "")
    assert record.extra["shelf"] == 7


class Shelf:
    """A logger of its own, its listeners and its recent records."""

    def __init__(self) -> None:
        self.logger = logging.Logger("shelf", 1)
        self.listeners: list[Any] = []
        self.logs = RecentLogs(self.logger, self.listeners)

    def fill(self, count: int, level: int = logging.INFO) -> None:
        for _ in range(count):
            self.logger.log(level, "number %d", self.logs.last + 1)


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    shelf = Shelf()
    yield shelf
    shelf.logs.close()


def numbers(records: Any) -> list[int]:
    return [record.number for record in records]


def test_a_page_holds_the_newest_and_the_next_one_what_follows(shelf):
    shelf.fill(10)
    page = shelf.logs.page(limit=3)
    assert (numbers(page.records), page.last, page.missed) == ([8, 9, 10], 10, 0)
    assert shelf.logs.page(after=page.last).records == ()
    shelf.fill(5)
    page = shelf.logs.page(after=page.last, limit=3)
    assert (numbers(page.records), page.last) == ([11, 12, 13], 13)
    page = shelf.logs.page(after=page.last, limit=3)
    assert (numbers(page.records), page.last) == ([14, 15], 15)


def test_pages_of_filtered_records_leave_none_out(shelf):
    for number in range(100):
        shelf.fill(1, logging.WARNING if number % 7 == 0 else logging.DEBUG)
    seen, after = [], 1
    while True:
        page = shelf.logs.page(after=after, limit=2, level="WARNING")
        after = page.last
        if not page.records:
            break
        seen += numbers(page.records)
    assert seen == [number for number in range(2, 101) if (number - 1) % 7 == 0]
    assert after == 100


def test_what_is_gone_already_is_counted_as_missed(shelf):
    shelf.fill(MOST_RECORDS + 100)
    page = shelf.logs.page(after=10, limit=2)
    assert (numbers(page.records), page.missed) == ([101, 102], 90)
    assert shelf.logs.page(after=100).missed == 0
    assert shelf.logs.page().missed == 0


def test_filters_may_be_combined(shelf):
    shelf.logger.info("Red light")
    shelf.logger.warning("red light")
    shelf.logger.warning("green light")
    shelf.logger.log(35, "red alarm")
    assert [record.message for record in shelf.logs.page(text="RED", level="WARNING").records] == [
        "red light",
        "red alarm",
    ]
    assert shelf.logs.page(flow="nowhere").records == ()
    assert shelf.logs.page(routine="nobody").records == ()


@pytest.mark.parametrize("level", ["LOUD", "loud", ""])
def test_an_unknown_level_is_a_clear_error(shelf, level):
    with pytest.raises(ValueError, match="level"):
        shelf.logs.page(level=level)


class Unshowable:
    def __str__(self) -> str:
        raise RuntimeError("nothing to see")

    __repr__ = __str__


@pytest.mark.parametrize(
    "log", [(Unshowable(),), ("%s", Unshowable()), ("%d", "text"), ("%s %s", 1), (b"bytes",), (None,)], ids=range(6)
)
def test_a_record_that_cannot_be_shown_is_kept_and_harms_nobody(shelf, log):
    shelf.logger.info(*log)
    shelf.logger.info("the next")
    assert len(shelf.logs.page().records) == 2


def test_a_very_long_message_is_cut(shelf):
    shelf.logger.info("x" * 1_000_000)
    assert len(shelf.logs.page().records[0].message) <= 20_000


def test_who_follows_gets_what_comes_and_is_let_go_when_it_is_closed(shelf):
    shelf.fill(3)
    got: list[LogRecord] = []

    def follow() -> None:
        got.extend(record for record in shelf.logs.follow(after=1, patience=0.01) if record is not None)

    thread = threading.Thread(target=follow)
    thread.start()
    wait_until(lambda: len(got) == 2)
    shelf.fill(500)
    shelf.logs.close()
    thread.join(60.0)
    assert not thread.is_alive()
    assert numbers(got) == list(range(2, 504))


def test_what_came_before_the_close_is_still_given(shelf):
    following = shelf.logs.follow(after=0, patience=0.01)
    shelf.fill(1)
    assert next(following).number == 1
    shelf.fill(3)
    shelf.logs.close()
    assert [record.number for record in following if record is not None] == [2, 3, 4]


def test_who_follows_without_a_number_gets_only_what_is_new(shelf):
    shelf.fill(3)
    following = shelf.logs.follow(patience=0.01)
    assert next(following) is None
    shelf.fill(2)
    assert [next(following).number, next(following).number] == [4, 5]


def test_many_threads_may_log_and_follow(shelf):
    got: list[list[int]] = [[] for _ in range(3)]

    def follow(mine: list[int]) -> None:
        following = shelf.logs.follow(after=0, patience=0.01)
        mine.extend(record.number for record in following if record is not None)

    followers = [threading.Thread(target=follow, args=(mine,)) for mine in got]
    writers = [threading.Thread(target=shelf.fill, args=(400,)) for _ in range(4)]
    for thread in (*followers, *writers):
        thread.start()
    for thread in writers:
        thread.join(60.0)
    wait_until(lambda: all(len(mine) == 1600 for mine in got))
    shelf.logs.close()
    for thread in followers:
        thread.join(60.0)
    assert got == [list(range(1, 1601))] * 3


def test_a_closed_one_keeps_nothing_more_and_closes_twice(shelf):
    shelf.fill(1)
    shelf.logs.close()
    shelf.logs.close()
    shelf.fill(1)
    assert (shelf.logs.last, shelf.logger.handlers, shelf.listeners) == (1, [], [])


def test_a_routine_whose_name_is_the_beginning_of_anothers_keeps_its_own_records(chain):
    logger = logging.getLogger("dots")
    logger.setLevel(logging.INFO)
    with Pipe(inline=True, logger=logger) as pipe:
        first, second = Talks("cam"), Talks("cam.left")
        pipe.create_flow("all", False, first, second, end := CollectingDestination("end"))
        pipe.link(*(Wire(one, end) for one in (first, second)))
        logs = RecentLogs(logger, pipe.log_listeners, lambda: pipe.flow_names)
        pipe.build()
        for flow, name in (("all", "cam"), ("all", "cam.left")):
            pipe.notify_event("SAY", {flow: [name]}, wait=60, level=logging.INFO, text=f"I am {name};")
        assert found(logs, "I am cam;").routine == "cam"
        assert found(logs, "I am cam.left;").routine == "cam.left"
        logs.close()
    logger.setLevel(logging.NOTSET)


# ------------------------------------------------------------------------------------------------ join with a limit


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "processes"])
def test_a_join_that_is_over_too_soon_says_so_and_the_pipe_goes_on(chain, inline):
    with chain(Talks("talks"), seen := CollectingDestination("seen"), inline=inline) as pipe:
        pipe.notify_event("start", wait=60)
        for timeout in (0.0, 0.05, 0.0):
            assert pipe.join(timeout=timeout) is False
        assert pipe.status().state is PipeState.RUNNING
        count = len(seen.items())
        wait_until(lambda: len(seen.items()) > count + 5)
        assert pipe.join(to_kill=True) is True
        assert pipe.join(timeout=0.0) is True
    assert pipe.status().state is PipeState.ENDED


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "processes"])
def test_a_join_in_time_tidies_up_and_says_so(chain, inline):
    with chain(ListSource(range(10), "numbers"), seen := CollectingDestination("seen"), inline=inline) as pipe:
        pipe.notify_event("start", wait=60)
        assert pipe.join(timeout=60.0) is True
        assert pipe.status().state is PipeState.ENDED
    assert seen.items()


def test_a_pipe_that_was_never_built_is_joined_at_once(chain):
    assert chain(Talks("talks"), CollectingDestination("seen")).join(timeout=0.0) is True


def test_several_threads_may_join_with_limits_of_their_own(chain):
    outcomes: list[bool] = []
    with chain(Talks("talks"), CollectingDestination("seen")) as pipe:
        pipe.notify_event("start", wait=60)
        threads = [
            threading.Thread(target=lambda limit=limit: outcomes.append(pipe.join(timeout=limit)))
            for limit in (0.01, 30.0, 30.0)
        ]
        for thread in threads:
            thread.start()
        threads[0].join(60.0)
        assert outcomes == [False]
        pipe.notify_event("kill")
        for thread in threads:
            thread.join(60.0)
    assert outcomes == [False, True, True]
