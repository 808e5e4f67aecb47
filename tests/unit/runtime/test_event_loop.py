"""The event loop of a flow: work from other threads, cancellation, who blocks it, its end."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator

import pytest

from pipert2.runtime.flow import event_loop as module
from pipert2.runtime.flow.event_loop import EventLoop
from pipert2.testing import wait_until


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    made = EventLoop("test")
    yield made
    made.close()


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


async def endless() -> None:
    await asyncio.sleep(3600)


def test_what_a_coroutine_returns_or_raises_comes_to_the_thread_that_waits(loop: EventLoop) -> None:
    async def bad() -> None:
        raise ValueError("no")

    assert loop.run(double(4), "work") == 8
    with pytest.raises(ValueError, match="no"):
        loop.run(bad(), "work")
    assert loop.run(double(5), "work") == 10


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_would_end_a_program_does_not_end_the_loop(loop: EventLoop, error: type[BaseException]) -> None:
    async def bad() -> None:
        raise error

    with pytest.raises(error):
        loop.run(bad(), "work")
    assert loop.run(double(5), "work") == 10


def test_who_waits_may_give_up(loop: EventLoop) -> None:
    with pytest.raises(asyncio.CancelledError):
        loop.run(endless(), "work", lambda: True)


def test_only_what_has_the_name_is_cancelled(loop: EventLoop) -> None:
    lost: list[str] = []
    loop.start(endless(), "one", lambda: lost.append("one"))
    loop.start(endless(), "other", lambda: lost.append("other"))
    wait_until(lambda: len(loop._tasks) == 2)
    loop.cancel("one")
    wait_until(lambda: lost == ["one"])
    assert len(loop._tasks) == 1


def test_the_end_of_the_loop_is_the_end_of_what_runs_in_it_and_of_its_threads() -> None:
    loop = EventLoop("ends")
    lost = threading.Event()
    loop.start(endless(), "work", lost.set)
    wait_until(lambda: loop._tasks)
    loop.close()
    loop.close()
    assert lost.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pipert2-loop")]


def test_work_for_a_loop_that_has_ended_is_lost_and_says_so() -> None:
    loop = EventLoop("ended")
    loop.close()
    lost = threading.Event()
    loop.start(endless(), "work", lost.set)
    assert lost.is_set()
    with pytest.raises(asyncio.CancelledError):
        loop.run(double(1), "work")
    loop.cancel("work")


def test_who_blocks_the_loop_is_named_once_with_the_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gate, inside = threading.Event(), threading.Event()

    async def blocks() -> None:
        inside.set()
        gate.wait(60)

    loop = EventLoop("blocked")
    with caplog.at_level(logging.INFO):
        loop.start(blocks(), "camera", gate.set)
        assert inside.wait(60)
        # Only now: before and afterwards a tenth of a second may be one in which the loop got no processor.
        with monkeypatch.context() as patch:
            patch.setattr(module, "BLOCKED_AFTER", 0.1)
            wait_until(lambda: "has blocked" in caplog.text)
        gate.set()
        wait_until(lambda: "goes on after" in caplog.text)
    loop.close()
    (record,) = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert record.getMessage().startswith("camera has blocked the event loop of its flow for more than 0.1 s")
    assert "gate.wait(60)" in caplog.text or "wait" in record.getMessage()


def test_a_block_that_is_hardly_too_long_is_seen_as_well(caplog: pytest.LogCaptureFixture) -> None:
    async def blocks() -> None:
        time.sleep(module.BLOCKED_AFTER + 3 * module._PROBE_EVERY)  # what it is about: just over a second

    loop = EventLoop("hardly")
    with caplog.at_level(logging.WARNING):
        for _ in range(10):  # who watches may get a processor too late
            loop.run(blocks(), "camera")
            if "camera has blocked the event loop" in caplog.text:
                break
        loop.close()
    assert "camera has blocked the event loop" in caplog.text


def test_a_loop_with_patient_work_is_not_complained_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_PROBE_EVERY", 0.001)
    loop = EventLoop("patient")
    loop.run(asyncio.sleep(0.2), "work")
    loop.close()
    assert not caplog.records


def test_a_blocked_loop_is_closed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_JOIN_TIMEOUT", 0.1)
    gate = threading.Event()

    async def blocks() -> None:
        gate.wait(20)

    loop = EventLoop("stuck")
    loop.start(blocks(), "camera", lambda: None)
    wait_until(lambda: loop._tasks)
    loop.close()
    assert not gate.is_set()  # it has not waited for the routine
    gate.set()
    wait_until(lambda: not loop._thread.is_alive())
