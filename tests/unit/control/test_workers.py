"""Workers: threads that carry requests out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError

import pytest

from pipert2.control.http.workers import MOST_IDLE, Workers
from pipert2.testing import wait_until


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers("pipert2-test")
    yield made
    assert made.close(5.0)


def _alive() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("pipert2-test")]


def test_results_and_errors_come_back(workers: Workers) -> None:
    assert workers.submit(pow, 2, 5).result(5) == 32
    with pytest.raises(ZeroDivisionError):
        workers.submit(lambda: 1 // 0).result(5)


def test_a_request_that_exits_ends_nobody_but_itself(workers: Workers) -> None:
    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(RuntimeError, match="the request raised SystemExit"):
        workers.submit(leave).result(5)
    assert workers.submit(pow, 2, 2).result(5) == 4


def test_many_that_wait_do_not_keep_others_waiting_and_most_threads_end_afterwards(workers: Workers) -> None:
    go = threading.Event()
    waiting = [workers.submit(go.wait, 10) for _ in range(50)]

    assert workers.submit(pow, 3, 2).result(5) == 9
    go.set()
    assert all(one.result(5) for one in waiting)
    wait_until(lambda: len(_alive()) <= MOST_IDLE + 1)


def test_all_workers_are_daemons(workers: Workers) -> None:
    go = threading.Event()
    waiting = [workers.submit(go.wait, 10) for _ in range(3)]
    found = [thread.daemon for thread in threading.enumerate() if thread.name.startswith("pipert2-test")]
    go.set()

    assert found
    assert all(found)
    assert all(one.result(5) for one in waiting)


def test_close_tells_of_those_who_still_work_and_they_end_when_it_is_done() -> None:
    workers, go = Workers("pipert2-test"), threading.Event()
    waiting = workers.submit(go.wait, 10)

    assert not workers.close(0.05)
    go.set()
    assert waiting.result(5)
    assert workers.close(5.0)
    assert not _alive()


def test_close_waits_for_a_worker_that_is_just_being_started(monkeypatch: pytest.MonkeyPatch) -> None:
    workers, begun, go, start = Workers("pipert2-test"), threading.Event(), threading.Event(), threading.Thread.start

    def start_late(thread: threading.Thread) -> None:
        if thread.name.startswith("pipert2-test"):
            begun.set()
            assert go.wait(60)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_late)
    asked = workers.submit(pow, 2, 2)
    assert begun.wait(60)
    with ThreadPoolExecutor(1) as other:
        closing = other.submit(workers.close, 0.0)
        with pytest.raises(FutureTimeoutError):
            closing.result(0.2)
        go.set()
        closing.result(60)
    assert asked.result(60) == 4
    assert workers.close(60.0)
    assert not _alive()


def test_nothing_can_be_submitted_after_close() -> None:
    workers = Workers("pipert2-test")
    workers.close(5.0)

    with pytest.raises(RuntimeError, match="closed"):
        workers.submit(pow, 1, 1)
    workers.shutdown()


def test_each_worker_prepares_itself_first() -> None:
    own = threading.local()

    def prepare() -> None:
        own.prepared = True

    workers, go = Workers("pipert2-test", prepare), threading.Event()
    seen = [workers.submit(lambda: go.wait(10) and own.prepared) for _ in range(3)]
    go.set()

    assert [one.result(5) for one in seen] == [True, True, True]
    assert workers.close(5.0)
