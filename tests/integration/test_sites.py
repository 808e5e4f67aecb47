"""Streams over several sites that end, and begin again when a site was lost, tried without a cluster."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from pipert2 import MiddleRoutine, Pipe, PipeState, Wire
from pipert2.cli.tables import waiting_lines
from pipert2.control.health import health_of
from pipert2.engine.link import Ingress
from pipert2.testing import CollectingDestination, ListSource, wait_until
from tests.ray_nodes import HAVE_RAY
from tests.sites_here import LosableSite, sites_here
from tests.sources import Counting

pytestmark = pytest.mark.skipif(not HAVE_RAY, reason='an engine needs Ray and Zenoh: pip install "pipert2[cluster]"')


class Passes(MiddleRoutine):
    def main_logic(self, number: int) -> int:
        return number


def two_sites(*, lossless: bool) -> tuple[Pipe, Counting, Passes, CollectingDestination]:
    """Counting and what collects them here; at another site what could pass them on, and has finished."""
    numbers, passes, seen = Counting("numbers"), Passes("passes"), CollectingDestination("seen")
    few, aside = ListSource([-1], "few"), CollectingDestination("aside")
    pipe = Pipe("two", engine="ray", lossless=lossless)
    pipe.create_flow("here", False, numbers, aside)
    pipe.create_flow("there", False, few, passes, host="there")
    pipe.create_flow("back", False, seen)
    pipe.link(Wire(numbers, aside), Wire(few, passes), Wire(passes, seen))
    return pipe, numbers, passes, seen


def lose(pipe: Pipe, site: LosableSite) -> None:
    """Let a site be lost, and wait until it runs again."""
    site.lose()

    def runs() -> bool:
        here = next(one for one in pipe.status().sites if one.name == site.name)
        return (here.restarts, here.state) == (1, "running")

    wait_until(runs)


@contextlib.contextmanager
def lost_after(site: LosableSite, verb: str, pipe: Pipe) -> Iterator[None]:
    """The site is lost when it has just done this for the first time, before whoever asked it hears of that."""
    ask, begun = site.ask, pipe._begun_anew
    lost, told = threading.Event(), threading.Event()

    def asked(what: str, args: tuple[Any, ...], options: Mapping[str, Any], timeout: float) -> Any:
        value = ask(what, args, options, timeout)
        if what == verb and not lost.is_set():
            lost.set()
            site.lose()
            told.wait(1.0)  # what it is told now, if that does not wait, does not hold of the change
        return value

    def begun_anew(name: str) -> None:
        begun(name)
        told.set()

    with mock.patch.object(site, "ask", asked), mock.patch.object(pipe._cluster.sites, "_begun_anew", begun_anew):
        yield
        assert lost.is_set()
        wait_until(told.is_set)


@pytest.mark.parametrize("lossless", [True, False])
def test_a_way_that_was_laid_and_is_out_of_use_keeps_no_pipe_from_ending_when_a_site_was_lost(lossless: bool) -> None:
    found: dict[str, LosableSite] = {}
    with sites_here(found):
        pipe, numbers, passes, seen = two_sites(lossless=lossless)
        with pipe:
            pipe.notify_event("start", wait=60)
            wait_until(lambda: pipe.status().routine("passes").finished)
            pipe.link(Wire(numbers, passes))
            wait_until(lambda: len(seen.items()) > 20)
            pipe.unlink(numbers, passes)
            wait_until(lambda: pipe.status().routine("seen").finished)
            wait_until(lambda: pipe._cluster.sites.records["there"].progress.drained)
            lose(pipe, found["there"])
            pipe.notify_event("END", wait=60)
            assert pipe.join(timeout=60)


def test_a_way_that_was_laid_is_there_again_when_its_site_was_lost() -> None:
    found: dict[str, LosableSite] = {}
    with sites_here(found):
        pipe, numbers, passes, seen = two_sites(lossless=True)
        with pipe:
            pipe.notify_event("start", wait=60)
            pipe.link(Wire(numbers, passes))
            wait_until(lambda: len(seen.items()) > 20)
            lose(pipe, found["there"])
            count = len(seen.items())
            wait_until(lambda: len(seen.items()) > count + 20)
            pipe.notify_event("END", wait=60)
            assert pipe.join(timeout=60)
        got = {item for item in seen.items() if item > 0}
        assert got == set(range(min(got), max(got) + 1))


def test_a_site_that_had_finished_when_it_was_lost_takes_part_in_streams_that_reach_it_later() -> None:
    found: dict[str, LosableSite] = {}
    with sites_here(found):
        pipe, numbers, passes, seen = two_sites(lossless=True)
        with pipe:
            pipe.notify_event("start", wait=60)
            wait_until(lambda: pipe.status().routine("seen").finished)
            wait_until(lambda: pipe._cluster.sites.records["there"].progress.drained)
            lose(pipe, found["there"])
            pipe.link(Wire(numbers, passes))
            wait_until(lambda: len(seen.items()) > 20)
            pipe.notify_event("END", wait=60)
            assert pipe.join(timeout=60)


def test_a_wire_that_comes_while_its_site_begins_anew_is_there() -> None:
    found: dict[str, LosableSite] = {}
    with sites_here(found):
        pipe, numbers, passes, seen = two_sites(lossless=True)
        with pipe:
            pipe.notify_event("start", wait=60)
            wait_until(lambda: pipe.status().routine("aside").received > 0)
            with lost_after(found["there"], "link_wire", pipe):
                pipe.link(Wire(numbers, passes))
            wait_until(lambda: len(seen.items()) > 20)
            pipe.notify_event("END", wait=60)
            assert pipe.join(timeout=60)


def test_a_wire_that_goes_while_its_site_begins_anew_is_gone() -> None:
    found: dict[str, LosableSite] = {}
    with sites_here(found):
        pipe, numbers, passes, _ = two_sites(lossless=True)
        pipe.link(Wire(numbers, passes), Wire(passes, more := CollectingDestination("more")))
        pipe.create_flow("more", False, more, host="there")
        with pipe:
            pipe.notify_event("start", wait=60)
            wait_until(lambda: pipe.status().routine("more").received > 0)
            with lost_after(found["there"], "unlink_wire", pipe):
                pipe.unlink(passes, more)
            wait_until(lambda: pipe.status().routine("more").finished)
            pipe.notify_event("END", wait=60)
            assert pipe.join(timeout=60)


def test_what_was_killed_stays_so_when_its_site_begins_anew() -> None:
    found: dict[str, LosableSite] = {}
    with sites_here(found):
        pipe, *_ = two_sites(lossless=True)
        with pipe:
            pipe.notify_event("start", wait=60)
            pipe.notify_event("kill", {"there": ["few"]}, wait=60)
            lose(pipe, found["there"])
            wait_until(lambda: pipe.status().routine("few").state == "killed")
            pipe.notify_event("END", wait=60)
            assert pipe.join(timeout=60)


def test_a_pipe_that_is_killed_while_a_site_is_lost_ends() -> None:
    found: dict[str, LosableSite] = {}
    with sites_here(found):
        pipe, *_ = two_sites(lossless=True)
        with pipe:
            pipe.notify_event("start", wait=60)
            site = found["there"]
            with mock.patch.object(site, "_make", lambda make=site._make: (killed.wait(60), make())[1]):
                killed = threading.Event()
                losing = threading.Thread(target=site.lose, daemon=True)
                losing.start()
                wait_until(lambda: pipe.status().sites[1].reason is not None)
                pipe.notify_event("kill", wait=10)
                killed.set()
                assert pipe.join(timeout=60)
                losing.join(60)


@pytest.mark.parametrize("lost", ["a", "b"])
def test_a_pipe_ends_that_has_lost_a_site_after_all_was_handed_out_to_its_replicas(lost: str) -> None:
    found: dict[str, LosableSite] = {}
    with sites_here(found):
        few, numbers = ListSource(list(range(50)), "few"), Counting("numbers")
        passes, seen, aside = Passes("passes"), CollectingDestination("seen"), CollectingDestination("aside")
        pipe = Pipe("handed-out", engine="ray", lossless=True)
        pipe.create_flow("few", False, few, host="a")
        pipe.create_flow("passes", False, passes, host="a+b", replicas=2)
        pipe.create_flow("seen", False, seen)
        pipe.create_flow("numbers", False, numbers, host=lost)  # so that its site has not finished
        pipe.create_flow("aside", False, aside)
        pipe.link(Wire(few, passes), Wire(passes, seen), Wire(numbers, aside))
        with pipe:
            pipe.notify_event("start", wait=60)
            wait_until(lambda: pipe.status().routine("seen").finished)
            lose(pipe, found[lost])
            pipe.notify_event("END", wait=60)
            assert pipe.join(timeout=60)
        assert set(seen.items()) == set(range(50))


@pytest.mark.parametrize("lossless", [True, False])
def test_a_pipe_ends_whose_replicas_are_at_two_sites_that_both_have_work_for_them(lossless: bool) -> None:
    with sites_here({}):
        one, other = ListSource([("one", number) for number in range(50)], "one"), ListSource(["other"], "other")
        passes, seen = Passes("passes"), CollectingDestination("seen")
        pipe = Pipe("both", engine="ray", lossless=lossless)
        pipe.create_flow("one", False, one, host="a")
        pipe.create_flow("other", False, other, host="b")
        pipe.create_flow("passes", False, passes, host="a+b", replicas=2)
        pipe.create_flow("seen", False, seen)
        pipe.link(Wire(one, passes), Wire(other, passes), Wire(passes, seen))
        with pipe:
            pipe.notify_event("start", wait=60)
            assert pipe.join(timeout=60)
        if lossless:
            assert sorted(map(str, seen.items())) == sorted(
                map(str, [("one", number) for number in range(50)] + ["other"])
            )


def test_a_pipe_that_had_finished_and_is_started_again_is_waited_for() -> None:
    with sites_here({}):
        few, seen = ListSource(list(range(200)), "few"), CollectingDestination("seen")
        pipe = Pipe("again", engine="ray", lossless=True)
        pipe.create_flow("few", False, few, host="there")
        pipe.create_flow("seen", False, seen)
        pipe.link(Wire(few, seen))
        with pipe:
            for _ in range(3):
                pipe.notify_event("start")
                wait_until(lambda: pipe.status().state is PipeState.FINISHED)
            assert pipe.join(timeout=60)
        assert seen.items() == 3 * list(range(200))


class LeavesBadly(Ingress):
    """Its session does not close in time, the first time."""

    marker = ""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.left = Path(self.marker)

    def cleanup(self) -> None:
        super().cleanup()
        if not self.left.exists():
            self.left.touch()
            raise RuntimeError("close operation timed out!")


@pytest.mark.expects_errors
def test_a_session_that_does_not_close_in_time_keeps_no_pipe_from_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LeavesBadly, "marker", str(tmp_path / "left"))
    monkeypatch.setattr("pipert2.engine.site_pipe.Ingress", LeavesBadly)
    monkeypatch.setattr("pipert2.engine.site_links.LINKS_LOOK", 0.1)
    with sites_here({}):
        few, seen = ListSource(list(range(50)), "few"), CollectingDestination("seen")
        pipe = Pipe("busy", engine="ray", lossless=True)
        pipe.create_flow("few", False, few, host="there")
        pipe.create_flow("seen", False, seen)
        pipe.link(Wire(few, seen))
        summary = pipe.run(timeout=60)
        assert summary.reason == "finished"
        assert seen.items() == list(range(50))
        assert (tmp_path / "left").exists()


def counting_at_another_site(**options: bool) -> tuple[Pipe, CollectingDestination]:
    """Counting made and collected here, passed on at another site."""
    numbers, passes, seen = Counting("numbers"), Passes("passes"), CollectingDestination("seen")
    pipe = Pipe("stranded", engine="ray", **options)
    pipe.create_flow("here", False, numbers)
    pipe.create_flow("there", False, passes, host="there")
    pipe.create_flow("back", False, seen)
    pipe.link(Wire(numbers, passes), Wire(passes, seen))
    return pipe, seen


LACKS = "a host with 1 GPU"


def lose_for_now(pipe: Pipe, seen: CollectingDestination, found: dict[str, LosableSite]) -> None:
    pipe.notify_event("start", wait=60)
    wait_until(lambda: len(seen.items()) > 20)
    found["there"].lose(LACKS)
    wait_until(lambda: pipe.status().flow("there").waits_for)


def test_a_pipe_whose_host_is_lost_says_what_it_waits_for_and_goes_on_when_that_is_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found: dict[str, LosableSite] = {}
    with sites_here(found):
        pipe, seen = counting_at_another_site(lossless=True)
        with pipe, caplog.at_level(logging.WARNING):
            lose_for_now(pipe, seen, found)
            status = pipe.status()
            flow, (_, site) = status.flow("there"), status.sites
            assert (flow.state, flow.host, flow.waits_for) == ("restarting", "there", (LACKS,))
            assert (site.state, site.reason) == ("restarting", f"it was lost; it waits for {LACKS}")
            assert LACKS in (status.reason or "")
            assert waiting_lines(status) == [f"flow there waits for {LACKS}"]
            assert any(LACKS in problem for problem in health_of(status).problems)
            assert not pipe.join(timeout=0.3)
            count = len(seen.items())
            wait_until(lambda: pipe.status().wire("numbers", "passes").blocked, 60)
            (told,) = [record.getMessage() for record in caplog.records if LACKS in record.getMessage()]
            assert told.startswith(f"flow 'there' waits for {LACKS}: no host is left for what ran at there.")
            assert "ray start --address=10.0.0.1:6379 --num-gpus=1" in told
            found["there"].begin()
            wait_until(lambda: len(seen.items()) > count + 300)
            assert pipe.status().flow("there").waits_for == ()
            pipe.notify_event("END", wait=60)
            assert pipe.join(timeout=60)
        assert set(seen.items()) == set(range(1, max(seen.items()) + 1))


def test_a_pipe_whose_host_is_lost_stops_without_waiting_for_it_and_loses_nothing() -> None:
    found: dict[str, LosableSite] = {}
    with sites_here(found):
        pipe, seen = counting_at_another_site(lossless=True)
        pipe.settings = replace(pipe.settings, drain_timeout=3600.0)
        with pipe:
            lose_for_now(pipe, seen, found)
            results = pipe.notify_event("stop", wait=60)
            assert [results[name].error for name in ("numbers", "seen")] == [None, None]
            assert {one.name: one.state for one in pipe.status().routines if one.name != "passes"} == {
                "numbers": "idle",
                "seen": "idle",
            }
            found["there"].begin()
            wait_until(lambda: pipe.status().sites[1].state == "running")
            pipe.notify_event("start", wait=60)
            count = len(seen.items())
            wait_until(lambda: len(seen.items()) > count + 100)
            pipe.notify_event("END", wait=60)
            assert pipe.join(timeout=60)
        assert set(seen.items()) == set(range(1, max(seen.items()) + 1))


@pytest.mark.parametrize("lossless", [True, False])
def test_a_pipe_whose_host_is_lost_ends_when_it_is_killed(lossless: bool) -> None:
    found: dict[str, LosableSite] = {}
    with sites_here(found):
        pipe, seen = counting_at_another_site(lossless=lossless)
        with pipe:
            lose_for_now(pipe, seen, found)
            pipe.notify_event("kill", wait=60)
            assert pipe.join(timeout=60)
            assert pipe.status().state.value == "ended"


def test_a_run_whose_host_is_lost_says_at_its_timeout_what_it_waited_for() -> None:
    found: dict[str, LosableSite] = {}
    with sites_here(found):
        pipe, seen = counting_at_another_site(lossless=True)
        with pipe:
            lose_for_now(pipe, seen, found)
            summary = pipe.run(timeout=0.3)
        assert (summary.ok, summary.reason) == (False, f"timeout, flow 'there' still waits for {LACKS}")
