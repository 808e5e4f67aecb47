"""A wire between two pipes keeps the promises of a wire within one: order, no loss or the newest, and an end."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from pipert2 import DestinationRoutine, Pipe, QueueNetwork, SourceRoutine, Wire, events, source
from pipert2.testing import CollectingDestination, FailingRoutine, ListSource, wait_until

zenoh = pytest.importorskip("zenoh", reason='wires between hosts need Zenoh: pip install "pipert2[cluster]"')

from pipert2.engine.link import Egress, Ingress, LinkSettings  # noqa: E402
from tests.ports import free_port  # noqa: E402


@pytest.fixture
def endpoint() -> str:
    """Where nobody listens."""
    return f"tcp/127.0.0.1:{free_port()}"


class Slow(CollectingDestination):
    """Collects, with a pause after each."""

    seconds = 0.001

    def main_logic(self, data: Any) -> None:
        super().main_logic(data)
        time.sleep(self.seconds)


class Counter(SourceRoutine):
    """Sends 1, 2, 3, ..., and waits for ever after the last."""

    def __init__(self, last: int) -> None:
        super().__init__("numbers")
        self.last = last

    def setup(self) -> None:
        self.number = 0

    def main_logic(self) -> Any:
        if self.number == self.last:
            self.wait(30.0)
            return None
        self.number += 1
        return self.number


def chain(inline: bool, lossless: bool, *routines: Any, capacity: int | None = None) -> Pipe:
    """A pipe of routines one behind the other, each in a flow of its own."""
    network = QueueNetwork(max_queue_sizes=capacity) if capacity else None
    pipe = Pipe(inline=inline, lossless=lossless, **({"network": network} if network else {}))
    for routine in routines:
        pipe.create_flow(f"flow of {routine.name}", False, routine)
    pipe.link(*(Wire(one, other) for one, other in pairwise(routines)))
    return pipe


@contextmanager
def running(*pipes: Pipe) -> Iterator[None]:
    with ExitStack() as stack:
        for pipe in pipes:
            stack.enter_context(pipe)
            pipe.notify_event("start")
        yield


def ends(endpoint: str, *, lossless: bool, credit: int | None = None) -> tuple[Egress, Ingress]:
    out = Egress("out", key="k", link=LinkSettings(connect=(endpoint,)), lossless=lossless, credit=credit)
    return out, Ingress("in", key="k", link=LinkSettings(listen=(endpoint,)), lossless=lossless)


def shown(pipe: Pipe, routine: str) -> dict[str, str]:
    """What an end of a link shows, by name."""
    return {one.name.removeprefix("link/"): one.text for one in pipe.results(routine).values}


def has_ended(pipe: Pipe) -> bool:
    return all(routine.finished for routine in pipe.status().routines)


def pid_of(pipe: Pipe, routine: str) -> int:
    found = pipe.status().flow(f"flow of {routine}").pid
    assert found is not None
    return found


def test_a_lossless_link_delivers_everything_in_order_and_its_end(inline: bool, endpoint: str) -> None:
    out, into = ends(endpoint, lossless=True)
    items, got = list(range(1000)), CollectingDestination("got")
    sending, receiving = chain(inline, True, ListSource(items, "items"), out), chain(inline, True, into, got)
    with running(receiving, sending):
        wait_until(lambda: has_ended(sending) and has_ended(receiving), 60.0)
        assert got.items() == items
        assert shown(sending, "out")["sent"] == shown(receiving, "in")["received"] == "1000"


def test_yield_gives_back_what_a_destination_behind_a_link_returned(inline: bool, endpoint: str) -> None:
    @source(name="sums", max_in_flight=1)
    def sums() -> Any:
        total = 0
        for number in range(20):
            total = yield number, total

    class Add(CollectingDestination):
        def main_logic(self, item: Any) -> Any:
            super().main_logic(item)
            return sum(item)

    egress = Egress("egress", key="k", link=LinkSettings(connect=(endpoint,)), lossless=True)
    ingress = Ingress("ingress", key="k", link=LinkSettings(listen=(endpoint,)), lossless=True, returns=True)
    end = Add("end")
    with running(chain(inline, True, sums, egress), chain(inline, True, ingress, end)):
        wait_until(lambda: len(end.items()) == 20, 60)
    assert end.items() == [(number, sum(range(number))) for number in range(20)]


def test_messages_of_two_sources_that_have_the_same_numbers_are_told_apart(inline: bool, endpoint: str) -> None:
    out, into = ends(endpoint, lossless=True)
    one, other = ListSource(list(range(300)), "one"), ListSource(list(range(300, 600)), "other")
    both, got = FailingRoutine(lambda _: False, "both"), Slow("got")
    with Pipe(inline=inline, lossless=True) as sending:
        for routine in (one, other, both, out):
            sending.create_flow(f"flow of {routine.name}", False, routine)
        sending.link(Wire(one, both), Wire(other, both), Wire(both, out))
        with running(chain(inline, True, into, got)):
            sending.notify_event("start")
            wait_until(lambda: has_ended(sending), 60.0)
    assert sorted(got.items()) == list(range(600))


def test_it_does_not_matter_who_is_there_first_or_who_listens(inline: bool, endpoint: str) -> None:
    out = Egress("out", key="k", link=LinkSettings(listen=(endpoint,)), lossless=True)
    into = Ingress("in", key="k", link=LinkSettings(connect=(endpoint,)), lossless=True)
    got = CollectingDestination("got")
    sending, receiving = chain(inline, True, ListSource([1, 2, 3], "items"), out), chain(inline, True, into, got)
    with running(sending):
        wait_until(lambda: sending.status().routine("items").finished)
        with running(receiving):
            wait_until(lambda: has_ended(sending) and has_ended(receiving), 60.0)
            assert got.items() == [1, 2, 3]


def test_a_real_time_link_delivers_the_newest_in_order_and_counts_the_rest(inline: bool, endpoint: str) -> None:
    out, into = ends(endpoint, lossless=False)
    numbers, got = ListSource(list(range(2000)), "items"), Slow("got")
    numbers.set_const_fps(1500)
    sending, receiving = chain(inline, False, numbers, out), chain(inline, False, into, got)
    with running(receiving, sending):
        wait_until(lambda: has_ended(sending) and has_ended(receiving), 60.0)
        items = got.items()
        assert items == sorted(set(items))
        assert items[-1] == 1999  # the end does not overtake it
        status = sending.status()
        taken = status.routine("out").received
        assert status.wire("items", "out").dropped == 2000 - taken
        assert shown(receiving, "in")["received"] == str(taken)
        assert receiving.status().wire("in", "got").dropped == taken - len(items)


def test_frames_arrive_as_they_were_sent(inline: bool, endpoint: str) -> None:
    out, into = ends(endpoint, lossless=True)
    frames = [np.full((200, 300, 3), at, np.uint8) for at in range(20)]
    items = [{"frame": frame, "number": at, "mask": frame[:, :, 0] > 3} for at, frame in enumerate(frames)]
    got = CollectingDestination("got")
    sending, receiving = chain(inline, True, ListSource(items, "items"), out), chain(inline, True, into, got)
    with running(receiving, sending):
        wait_until(lambda: has_ended(receiving), 60.0)
        found = got.items()
    assert [one["number"] for one in found] == list(range(20))
    for one, other in zip(found, items, strict=True):
        np.testing.assert_array_equal(one["frame"], other["frame"])
        np.testing.assert_array_equal(one["mask"], other["mask"])


def test_messages_keep_their_number_and_their_age(inline: bool, endpoint: str) -> None:
    class Looks(CollectingDestination):
        def main_logic(self, data: Any) -> None:
            message = self.message
            super().main_logic((data, message.sequence, message.source, time.time() - message.made))

    out, into = ends(endpoint, lossless=True)
    got = Looks("got")
    sending, receiving = chain(inline, True, ListSource([10, 20, 30], "items"), out), chain(inline, True, into, got)
    with running(receiving, sending):
        wait_until(lambda: has_ended(receiving), 60.0)
        found = got.items()
    assert [one[:3] for one in found] == [(10, 1, "in"), (20, 2, "in"), (30, 3, "in")]
    assert all(-0.01 < one[3] < 30.0 for one in found)


def test_no_more_than_the_credit_is_under_way(endpoint: str) -> None:
    class Holds(DestinationRoutine):
        def setup(self) -> None:
            self.got = 0

        def main_logic(self, data: Any) -> None:
            self.got += 1
            self.wait(60.0)

    out, into = ends(endpoint, lossless=True, credit=3)
    sending = chain(False, True, ListSource(list(range(50)), "items"), out)
    receiving = chain(False, True, into, Holds("holds"))
    with running(receiving, sending):
        wait_until(lambda: shown(receiving, "in").get("received") == "3")
        wait_until(lambda: sending.status().wire("items", "out").queued == 47)
        wait_until(lambda: shown(sending, "out")["under way"] == "3")


@pytest.mark.expects_errors
@pytest.mark.parametrize("who", ["out", "in", "got"])
def test_a_lossless_link_loses_nothing_when_a_process_of_either_pipe_is_killed(who: str, endpoint: str) -> None:
    out, into = ends(endpoint, lossless=True)
    items, got = list(range(1500)), Slow("got")
    sending, receiving = chain(False, True, ListSource(items, "items"), out), chain(False, True, into, got)
    with running(receiving, sending):
        wait_until(lambda: receiving.status().routine("got").received > 100)
        os.kill(pid_of(sending if who == "out" else receiving, who), signal.SIGKILL)
        wait_until(lambda: has_ended(sending) and has_ended(receiving), 60.0)
        found = got.items()
    assert set(found) == set(items)
    if who == "out":
        assert found == items  # what it had sent before is known, and thrown away


def test_a_lossless_link_loses_nothing_when_the_receiving_pipe_is_killed_and_begun_anew(endpoint: str) -> None:
    out, into = ends(endpoint, lossless=True)
    items, first, second = list(range(1500)), Slow("got"), Slow("got")
    sending = chain(False, True, ListSource(items, "items"), out)
    with running(sending):
        receiving = chain(False, True, into, first)
        with running(receiving):
            wait_until(lambda: receiving.status().routine("got").received > 100)
            receiving.join(to_kill=True)
        anew = chain(False, True, ends(endpoint, lossless=True)[1], second)
        with running(anew):
            wait_until(lambda: has_ended(sending) and has_ended(anew), 60.0)
    assert set(first.items() + second.items()) == set(items)


def test_ends_that_are_stopped_and_started_go_on_where_they_were(endpoint: str) -> None:
    out, into = ends(endpoint, lossless=True)
    got = Slow("got")
    sending, receiving = chain(False, True, Counter(2000), out), chain(False, True, into, got)
    with running(receiving, sending):
        for at in range(1, 4):
            wait_until(lambda least=at * 150: receiving.status().routine("got").received > least)
            sending.notify_event("stop", {"flow of out": []}, wait=60.0)
            sending.notify_event("start", {"flow of out": []}, wait=60.0)
            receiving.notify_event("stop", {"flow of in": []}, wait=60.0)
            receiving.notify_event("start", {"flow of in": []}, wait=60.0)
        wait_until(lambda: len(got.items()) >= 2000, 60.0)
        wait_until(lambda: shown(sending, "out").get("under way") == "0")
    assert got.items() == list(range(1, 2001))


@pytest.mark.expects_errors
def test_what_fails_at_the_far_end_is_a_dead_letter_there_and_done_here(endpoint: str) -> None:
    out, into = ends(endpoint, lossless=True)
    fails, got = FailingRoutine(lambda number: number == 5, "fails"), CollectingDestination("got")
    sending = chain(False, True, ListSource(list(range(10)), "items"), out)
    receiving = chain(False, True, into, fails, got)
    with running(receiving, sending):
        wait_until(lambda: has_ended(sending) and has_ended(receiving), 60.0)
        assert got.items() == [0, 1, 2, 3, 4, 6, 7, 8, 9]
        assert receiving.status().routine("fails").dead_letters == 1
        assert not sending.status().routine("out").dead_letters


def test_bytes_that_others_send_on_its_keys_are_counted_and_do_no_harm(
    endpoint: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    out, into = ends(endpoint, lossless=True)
    got = CollectingDestination("got")
    sending, receiving = chain(False, True, Counter(100), out), chain(False, True, into, got)
    with running(receiving), LinkSettings(connect=(endpoint,)).open_session() as stranger:
        publishers = [stranger.declare_publisher(f"pipert2/k/{way}") for way in ("there", "back")]
        wait_until(lambda: publishers[0].matching_status.matching)
        for at in range(200):
            for publisher in publishers:
                publisher.put(os.urandom(at))
                publisher.put(b"pr2l\x01" + os.urandom(at))
        with running(sending):
            wait_until(lambda: len(got.items()) == 100, 60.0)
            wait_until(lambda: float(shown(receiving, "in").get("foreign", "0")) > 0)
    assert got.items() == list(range(1, 101))
    assert any("something else sends on its key" in record.getMessage() for record in caplog.records)


@pytest.mark.expects_errors
def test_an_end_that_cannot_listen_fails_and_says_why(endpoint: str) -> None:
    host, port = endpoint.removeprefix("tcp/").split(":")
    with socket.create_server((host, int(port))):
        receiving = chain(True, False, ends(endpoint, lossless=False)[1], CollectingDestination("got"))
        with receiving:
            receiving.notify_event("start")
            wait_until(lambda: receiving.status().routine("in").state == "failed")
            said = receiving.status().routine("in").last_error
            assert said is not None
            assert f"the link over {endpoint} cannot be opened" in said
            assert "Address already in use" in said
            assert "\n" not in said


def test_a_pipe_whose_other_end_never_comes_can_be_ended(inline: bool, endpoint: str) -> None:
    for lossless in (True, False):
        out, into = ends(endpoint, lossless=lossless)
        sending = chain(inline, lossless, ListSource([1, 2, 3], "items", repeat=not lossless), out)
        receiving = chain(inline, lossless, into, CollectingDestination("got"))
        for pipe in (sending, receiving):
            with running(pipe):
                pipe.notify_event("stop", wait=60.0)
                pipe.notify_event("start", wait=60.0)


def test_state_and_events_of_an_end_are_those_of_any_routine(endpoint: str) -> None:
    class Listening(Egress):
        @events("HELLO")
        def hello(self) -> str:
            return "here"

    out = Listening("out", key="k", link=LinkSettings(connect=(endpoint,)))
    with running(pipe := chain(False, False, Counter(5), out)):
        assert pipe.notify_event("HELLO", wait=60.0)["out"].value == "here"
        assert pipe.status().routine("out").state == "running"
        wait_until(lambda: shown(pipe, "out").get("state") == "waiting for the other end")
