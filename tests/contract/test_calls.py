"""Calls: a request to a routine and its reply, whatever happens to who is to answer."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipert2 import (
    CallError,
    CallTimeoutError,
    DestinationRoutine,
    MiddleRoutine,
    Pipe,
    PipeStateError,
    SourceRoutine,
    UnknownRoutineError,
    Wire,
    destination,
    events,
    middle,
)
from pipert2.testing import CollectingDestination, ListSource, wait_until


class Upper(DestinationRoutine):
    """A service, and who of its replicas has answered."""

    service = True
    seconds = 0.0

    def main_logic(self, text: Any) -> Any:
        if text == "fail":
            raise ValueError("no letters")
        if text == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        return text.upper(), os.getpid(), threading.get_ident()


def service(inline: bool, routine: Any, *, replicas: int = 1, **options: Any) -> Pipe:
    pipe = Pipe(inline=inline, **options)
    pipe.create_flow("services", False, routine, replicas=replicas)
    return pipe


def test_each_caller_gets_the_reply_to_its_own_request_and_replicas_share_them(inline: bool) -> None:
    """C-8: 200 calls from four clients to two replicas, 30 % each at least."""
    upper = Upper("upper")
    upper.seconds = 0.005
    with service(inline, upper, replicas=2) as pipe:
        pipe.notify_event("start", wait=60)

        together = threading.Barrier(4)  # so that a replica that waits for a processor does not fall far behind

        def client(who: int) -> list[Any]:
            replies = []
            for number in range(50):
                together.wait(60)
                replies.append(pipe.call("upper", f"client {who}, {number}", timeout=60))
            return replies

        with ThreadPoolExecutor(4) as clients:
            found = list(clients.map(client, range(4)))
    for who, replies in enumerate(found):
        assert [text for text, *_ in replies] == [f"CLIENT {who}, {number}" for number in range(50)]
    shares = Counter((pid, thread) for replies in found for _, pid, thread in replies)
    assert len(shares) == 2
    assert min(shares.values()) >= 60


@pytest.mark.expects_errors
def test_what_it_raises_is_raised_at_the_caller_and_the_service_goes_on(inline: bool) -> None:
    """C-8: a handler that raises."""
    with service(inline, Upper("upper")) as pipe:
        pipe.notify_event("start", wait=60)
        with pytest.raises(CallError, match="ValueError: no letters") as failed:
            pipe.call("upper", "fail", timeout=60)
        assert failed.value.routine == "upper"
        assert 'raise ValueError("no letters")' in failed.value.traceback
        assert pipe.call("upper", "a", timeout=60)[0] == "A"
        assert pipe.status().routine("upper").errors == 1


def test_wrong_calls_say_what_is_wrong(inline: bool) -> None:
    """C-8: an unknown name, among others."""
    pipe = service(inline, Upper("upper"))
    with pytest.raises(PipeStateError, match="is not built yet"):
        pipe.call("upper", "a")
    with pipe:
        pipe.notify_event("start", wait=60)
        with pytest.raises(UnknownRoutineError, match="'uper'"):
            pipe.call("uper", "a", timeout=5)
        for timeout in (0, -1, float("nan")):
            with pytest.raises(ValueError, match=r"call\(timeout=...\)"):
                pipe.call("upper", "a", timeout=timeout)
        with pytest.raises(Exception, match="pickle"):
            pipe.call("upper", threading.Lock(), timeout=5)
        assert pipe.call("upper", "still there", timeout=60)[0] == "STILL THERE"
    with pytest.raises(PipeStateError, match="has ended"):
        pipe.call("upper", "a")


def test_what_cannot_be_sent_back_is_an_error_at_the_caller(inline: bool) -> None:
    @destination(name="locks", service=True)
    def locks(_: Any) -> Any:
        return threading.Lock()

    with service(inline, locks) as pipe:
        pipe.notify_event("start", wait=60)
        with pytest.raises(CallError, match=r"cannot .*pickle"):
            pipe.call("locks", 1, timeout=60)


def test_a_service_that_does_not_run_is_told_from_one_that_is_slow(inline: bool) -> None:
    slow = Upper("upper")
    slow.seconds = 1.0
    with service(inline, slow) as pipe:
        pipe.build()
        with pytest.raises(CallTimeoutError, match=r"'upper'.*does not run: start it"):
            pipe.call("upper", "a", timeout=0.1)
        pipe.notify_event("start", wait=60)
        with pytest.raises(CallTimeoutError, match="did not answer in time"):
            pipe.call("upper", "a", timeout=0.1)
        assert pipe.call("upper", "b", timeout=60)[0] == "B"


def test_a_call_waits_for_the_service_to_be_started(inline: bool) -> None:
    with service(inline, Upper("upper")) as pipe, ThreadPoolExecutor(1) as caller:
        pipe.build()
        reply = caller.submit(pipe.call, "upper", "a", timeout=60)
        wait_until(lambda: pipe._supervisor and pipe._supervisor.calls._waiting)
        pipe.notify_event("start", wait=60)
        assert reply.result(60)[0] == "A"


def test_nobody_spins_while_a_call_waits_for_a_service_that_is_not_started(inline: bool) -> None:
    """C-8: no replica: a time-out, and hardly any processor time until then."""
    with service(inline, Upper("upper")) as pipe:
        pipe.build()
        before = time.process_time()
        with pytest.raises(TimeoutError, match="does not run: start it"):
            pipe.call("upper", "a", timeout=2.0)
        assert time.process_time() - before < 0.5, "a wait that spins would take 2 s of processor time"


@pytest.mark.expects_errors
def test_a_call_of_a_service_that_cannot_answer_any_more_fails_at_once(inline: bool) -> None:
    """C-8: nobody waits for the end of a time-out where no answer can come; after a start it comes again."""

    class Fragile(Upper):
        healthy = False

        def setup(self) -> None:
            if not self.healthy:
                raise OSError("no dictionary")

        @events("MEND")
        def mend(self) -> None:
            self.healthy = True

    with service(inline, Fragile("upper")) as pipe, ThreadPoolExecutor(1) as caller:
        pipe.build()
        early = caller.submit(pipe.call, "upper", "a", timeout=1000)
        wait_until(lambda: pipe._supervisor and pipe._supervisor.calls._waiting)
        pipe.notify_event("start", wait=60)
        with pytest.raises(CallError, match=r"does not run.*no dictionary.*start it again"):
            early.result(60)
        with pytest.raises(CallError, match=r"does not run.*no dictionary.*start it again"):
            pipe.call("upper", "a", timeout=1000)
        pipe.notify_event("MEND", wait=60)
        pipe.notify_event("start", wait=60)
        assert pipe.call("upper", "a", timeout=60)[0] == "A"
        pipe.notify_event("kill", wait=60)
        with pytest.raises(CallError, match="it was killed"):
            pipe.call("upper", "a", timeout=1000)


@pytest.mark.expects_errors
def test_calls_of_a_service_whose_flow_is_given_up_fail_at_once() -> None:
    with service(False, Upper("upper"), restart=0) as pipe, ThreadPoolExecutor(3) as callers:
        pipe.notify_event("start", wait=60)
        replies = [callers.submit(pipe.call, "upper", "die", timeout=1000) for _ in range(3)]
        for reply in replies:
            with pytest.raises(CallError, match="died too often"):
                reply.result(60)
        with pytest.raises(CallError, match=r"died too often.*SIGKILL.*restart the flow"):
            pipe.call("upper", "a", timeout=1000)
        pipe.restart_flow("services")
        assert pipe.call("upper", "a", timeout=60)[0] == "A"


def test_a_call_that_nobody_waits_for_any_more_is_not_worked_on(inline: bool, tmp_path: Path) -> None:
    class Counts(DestinationRoutine):
        service = True
        calls = 0

        def main_logic(self, go_on: Path | None) -> int:
            self.calls += 1
            if go_on is not None:
                (tmp_path / "begun").touch()
                wait_until(go_on.exists)
            return self.calls

    with service(inline, Counts("counts")) as pipe:
        pipe.notify_event("start", wait=60)

        def begins() -> bool:
            with pytest.raises(CallTimeoutError):
                pipe.call("counts", tmp_path / "go on", timeout=0.5)
            return (tmp_path / "begun").exists()

        wait_until(begins)
        for _ in range(3):
            with pytest.raises(CallTimeoutError):
                pipe.call("counts", None, timeout=0.05)
        (tmp_path / "go on").touch()
        assert pipe.call("counts", None, timeout=60) == 2


def test_a_stopped_service_does_not_answer_without_its_setup(inline: bool) -> None:
    class Ready(DestinationRoutine):
        service = True

        def setup(self) -> None:
            self.ready = True

        def main_logic(self, _: Any) -> bool:
            return self.ready

        def cleanup(self) -> None:
            self.ready = False

    with service(inline, Ready("ready")) as pipe, ThreadPoolExecutor(4) as callers:
        pipe.notify_event("start", wait=60)
        for _ in range(5):
            replies = [callers.submit(pipe.call, "ready", None, timeout=60) for _ in range(8)]
            pipe.notify_event("stop", wait=60)
            replies += [callers.submit(pipe.call, "ready", None, timeout=60) for _ in range(8)]
            pipe.notify_event("start", wait=60)
            assert all(reply.result(60) is True for reply in replies)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["threads", "coroutines"])
def test_a_crew_answers_several_calls_at_once(inline: bool, asynchronous: bool) -> None:
    class Meets(DestinationRoutine):
        service = True
        concurrency = 4

        def setup(self) -> None:
            self.barrier = threading.Barrier(self.concurrency)
            self.met = 0

        if asynchronous:

            async def main_logic(self, number: int) -> Any:
                self.met += 1
                while self.met % self.concurrency:
                    await asyncio.sleep(0.001)
                return number, self.message
        else:

            def main_logic(self, number: int) -> Any:
                self.barrier.wait(60)
                return number, self.message

    with service(inline, Meets("meets")) as pipe, ThreadPoolExecutor(4) as callers:
        pipe.notify_event("start", wait=60)
        replies = list(callers.map(lambda number: pipe.call("meets", number, timeout=60), range(4)))
    assert replies == [(number, None) for number in range(4)]


def test_a_service_may_get_messages_as_well(inline: bool) -> None:
    class Doubles(MiddleRoutine):
        service = True
        concurrency = 2

        def main_logic(self, number: int) -> Any:
            return number * 2, self.message.sequence if self.message else None

    pipe = Pipe(inline=inline, lossless=True)
    tasks, doubles, results = ListSource(list(range(300)), "tasks"), Doubles("doubles"), CollectingDestination("end")
    pipe.create_flow("first", True, tasks)
    pipe.create_flow("services", True, doubles)
    pipe.create_flow("last", True, results)
    pipe.link(Wire(tasks, doubles, capacity=2), Wire(doubles, results, capacity=1))
    with pipe:
        pipe.notify_event("start", {"services": []}, wait=60)
        pipe.notify_event("start", wait=60)
        replies = []
        while not pipe.status().routine("doubles").finished and len(replies) < 100:
            try:
                replies.append(pipe.call("doubles", 1000 + len(replies), timeout=60))
            except CallError:
                assert pipe.status().routine("doubles").finished
        assert pipe.join(timeout=60)
    assert sorted(results.items()) == [(2 * number, number + 1) for number in range(300)]
    assert replies == [(2 * (1000 + at), None) for at in range(len(replies))]


def test_a_generator_that_is_called_gives_a_list(inline: bool) -> None:
    @middle(name="threads", concurrency=2, service=True)
    def threads(number: int) -> Any:
        yield from range(number)

    @middle(name="single", service=True)
    def single(number: int) -> Any:
        yield from range(number)

    for routine in (threads, single):
        with service(inline, routine) as pipe:
            pipe.notify_event("start", wait=60)
            assert pipe.call(routine, 3, timeout=60) == [0, 1, 2]


class Asks(MiddleRoutine):
    """Calls another routine for each message."""

    def main_logic(self, text: str) -> Any:
        return self.call("upper", text, timeout=60)[0]


class AsksAsync(MiddleRoutine):
    concurrency = 8

    async def main_logic(self, text: str) -> Any:
        found = await asyncio.gather(*(self.call("upper", f"{text}{number}", timeout=60) for number in range(3)))
        return [text for text, *_ in found]


@pytest.mark.parametrize("asks", [Asks, AsksAsync])
def test_routines_call_routines(inline: bool, asks: type[MiddleRoutine]) -> None:
    pipe = Pipe(inline=inline, lossless=True)
    items = [f"text {number} " for number in range(30)]
    results = CollectingDestination("results")
    pipe.create_flow("services", False, Upper("upper"), replicas=2)
    pipe.create_flow("line", True, ListSource(items, "tasks"), asks("asks"), results)
    assert pipe.run(timeout=60).ok
    expected = [text.upper() for text in items]
    if asks is AsksAsync:
        assert sorted(results.items()) == sorted([f"{text}{n}" for n in range(3)] for text in expected)
    else:
        assert results.items() == expected


@pytest.mark.expects_errors
def test_a_routine_that_calls_itself_is_told_so(inline: bool) -> None:
    class Self(DestinationRoutine):
        service = True

        def main_logic(self, depth: int) -> int:
            return 1 + self.call("self", depth - 1)

    pipe = Pipe(inline=inline)
    pipe.create_flow("services", False, Self("self"))
    with pipe:
        pipe.notify_event("start", wait=60)
        with pytest.raises(CallError, match="cannot call itself"):
            pipe.call("self", 3, timeout=60)


def test_frames_travel_in_calls(inline: bool) -> None:
    @destination(name="mean", service=True)
    def mean(frame: np.ndarray) -> Any:
        return frame.mean(), frame[:2]

    with service(inline, mean) as pipe:
        pipe.notify_event("start", wait=60)
        value, top = pipe.call("mean", np.full((1000, 1000), 3, np.uint8), timeout=60)
        assert (value, top.shape) == (3.0, (2, 1000))


@pytest.mark.expects_errors
def test_a_call_whose_replica_is_killed_is_answered_by_another(tmp_path: Path) -> None:
    """C-8: the replica dies in the midst of a call."""

    class Slow(Upper):
        def main_logic(self, text: str) -> Any:
            if text == "long" and not (tmp_path / "begun").exists():
                (tmp_path / "begun").touch()
                self.notify_event("SAY", {"watch": ["watch"]}, pid=os.getpid())
                self.wait(60.0)
            return super().main_logic(text)

    class Watch(DestinationRoutine):
        service = True
        pid = 0

        @events("SAY")
        def say(self, pid: int) -> None:
            self.pid = self.pid or pid

        def main_logic(self, _: Any) -> int:
            return self.pid

    pipe = Pipe()
    pipe.create_flow("watch", False, Watch("watch"))
    pipe.create_flow("services", False, Slow("upper"), replicas=2)
    with pipe, ThreadPoolExecutor(1) as caller:
        pipe.notify_event("start", wait=60)
        reply = caller.submit(pipe.call, "upper", "long", timeout=60)
        victim = wait_until(lambda: pipe.call("watch", None))
        os.kill(victim, signal.SIGKILL)
        text, pid, _ = reply.result(60)
        assert text == "LONG"
        assert pid != victim


@pytest.mark.expects_errors
def test_a_call_that_kills_every_replica_fails_and_others_are_answered() -> None:
    with service(False, Upper("upper"), replicas=2) as pipe:
        pipe.notify_event("start", wait=60)
        with pytest.raises(CallError, match="died"):
            pipe.call("upper", "die", timeout=60)
        assert pipe.call("upper", "a", timeout=60)[0] == "A"


@pytest.mark.expects_errors
def test_calls_from_many_threads_while_replicas_are_killed_end_all_of_them() -> None:
    with service(False, Upper("upper"), replicas=2, restart=100) as pipe, ThreadPoolExecutor(6) as clients:
        pipe.notify_event("start", wait=60)
        ended = threading.Event()

        def client(who: int) -> Counter[str]:
            found: Counter[str] = Counter()
            while not ended.is_set() or not found["answered"]:
                try:
                    assert pipe.call("upper", f"{who}", timeout=60)[0] == f"{who}"
                    found["answered"] += 1
                except CallError:
                    found["failed"] += 1
            return found

        running = [clients.submit(client, who) for who in range(6)]
        for number in range(8):
            name = ("services", "services#2")[number % 2]
            pid = wait_until(
                lambda name=name: (pipe.status().flow(name).state == "running") and pipe.status().flow(name).pid
            )
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda name=name, pid=pid: pipe.status().flow(name).pid not in (pid, None))
        ended.set()
        assert all(one.result(60)["answered"] for one in running)


def test_a_source_may_call(inline: bool) -> None:
    class Polls(SourceRoutine):
        def setup(self) -> None:
            self.left = 3

        def main_logic(self) -> Any:
            from pipert2 import EndOfStream

            if not self.left:
                raise EndOfStream
            self.left -= 1
            return self.call("upper", "x", timeout=60)[0]

    pipe, results = Pipe(inline=inline, lossless=True), CollectingDestination("results")
    pipe.create_flow("services", False, Upper("upper"))
    pipe.create_flow("line", True, Polls("polls"), results)
    assert pipe.run(timeout=60).ok
    assert results.items() == ["X"] * 3
