"""A real pipe in a real cockpit, seen and driven by a browser."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipert2 import DestinationRoutine, MiddleRoutine, Parameter, Pipe, SourceRoutine, Wire, events
from pipert2.cockpit.link.link import CockpitLink
from pipert2.cockpit.server.server import CockpitServer
from pipert2.cockpit.settings import CockpitSettings
from pipert2.testing import wait_until
from pipert2.utils.logging_module_modifiers import get_socket_logger
from tests.integration.cockpit_browser import Browser, ask

MARKUP = "<img src=x onerror=alert(1)>"


class Camera(SourceRoutine):
    brightness = Parameter(100, minimum=0, maximum=255)

    def setup(self) -> None:
        self.number = 0

    def main_logic(self) -> Any:
        time.sleep(0.02)
        self.number += 1
        self.logger.info("picture %d", self.number, extra={"picture": self.number})
        self.logger.debug("details of %d", self.number)
        return np.full((48, 64, 3), self.brightness, np.uint8)


class Look(MiddleRoutine):
    @events("SAY")
    def say(self, text: str, times: int = 1) -> str:
        self.logger.warning("said %s", text)
        return text * times

    @events("FAIL")
    def fail(self) -> None:
        raise ValueError(MARKUP)

    def main_logic(self, data: Any) -> Any:
        return data


class Show(DestinationRoutine):
    def main_logic(self, data: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[CockpitServer]:
    with CockpitServer(CockpitSettings(port=0, database=tmp_path / "cockpit.db")) as serving:
        yield serving


@pytest.fixture
def make_pipe() -> Iterator[Callable[..., Pipe]]:
    made: list[Pipe] = []

    def make(**options: Any) -> Pipe:
        pipe = Pipe(**options)
        camera, look, show = Camera("camera"), Look("look"), Show("show")
        pipe.create_flow("in", True, camera)
        pipe.create_flow("out", True, look, show)
        pipe.link(Wire(camera, (look,)))
        made.append(pipe)
        return pipe

    yield make
    for pipe in made:
        pipe.join(to_kill=True)


def _logger(name: str) -> logging.Logger:
    logger = logging.getLogger(name)
    logger.setLevel(logging.INFO)
    return logger


def _shown(browser: Browser, name: str) -> dict[str, Any]:
    """The pipe of this name, when it is connected and has said what it is made of."""

    def found() -> dict[str, Any] | None:
        return next((one for one in browser.get("/api/pipes")["pipes"] if one["name"] == name and one["state"]), None)

    summary: dict[str, Any] = wait_until(found, what=f"pipe {name}")
    wait_until(lambda: ask(browser.url, f"/api/pipes/{summary['id']}/structure")[0] == 200, what="its structure")
    return summary


def test_a_pipe_with_a_socket_logger_appears_with_all_that_is_to_be_known(
    server: CockpitServer, make_pipe: Callable[..., Pipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(f'SOCKET_LOGGER_URL="{server.url}/api/socketio"\n')
    logger = get_socket_logger("watched", logging.INFO)
    logger.info("before there was a pipe")
    pipe = make_pipe(logger=logger)
    with Browser(server.url) as browser:
        pipe.notify_event("start")
        summary = _shown(browser, "watched")
        answer = browser.watch(summary["id"], {})
        assert {one["name"] for one in answer["structure"]["routines"]} == {"camera", "look", "show"}
        status = wait_until(lambda: _running(browser), what="a status of the running pipe")
        wait_until(lambda: len(browser.records()) > 20, what="records")
        assert status["health"] == {"ok": True, "ready": True, "state": "running", "problems": []}
        one = next(one for one in browser.records() if one["message"].startswith("picture"))
        assert (one["flow"], one["routine"], one["level"]) == ("in", "camera", "INFO")
        assert one["extra"] == {"picture": int(one["message"].split()[1])}
        stored = browser.get(f"/api/pipes/{summary['id']}/logs?after=0&limit=2000")["records"]
        assert stored[0]["message"] == "before there was a pipe"
        numbers = [one["number"] for one in stored]
        assert numbers == sorted(set(numbers))
        pipe.join(to_kill=True)
        wait_until(lambda: browser.lost("watched"), what="its end")
        assert browser.pipes()[0]["state"] == "ended"
        last = browser.watch(summary["id"], None)
        assert last["status"]["status"]["state"] == "ended"
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()


def _running(browser: Browser) -> dict[str, Any] | None:
    """The first status in which all of the pipe runs; there may be others from before."""
    found = (one for one in browser.got["status"] if one["status"]["state"] == "running" and one["health"]["ready"])
    return next(found, None)


@pytest.mark.expects_errors
def test_a_pipe_is_driven_from_the_browser(server: CockpitServer, make_pipe: Callable[..., Pipe]) -> None:
    pipe = make_pipe(name="driven", logger=_logger("driven"))
    with CockpitLink(pipe, server.url), Browser(server.url) as browser:
        identity = _shown(browser, "driven")["id"]
        browser.watch(identity, {})
        assert browser.command(identity, "start", wait=60)["reply"]["ok"]
        wait_until(lambda: any(one["routine"] == "camera" for one in browser.records()), what="records")
        assert browser.command(identity, "stop", routine="camera", wait=60)["reply"]["routines"] == ["camera"]
        wait_until(
            lambda: browser.got["status"] and _state(browser.got["status"][-1], "camera") == "idle", what="it stopped"
        )
        browser.command(identity, "start", routine="camera", wait=60)
        said = browser.command(identity, "event", name="SAY", params={"text": MARKUP, "times": 2}, wait=60)
        assert said["reply"]["results"]["look"]["value"] == MARKUP * 2
        failed = browser.command(identity, "event", name="FAIL", wait=60)
        assert MARKUP in failed["reply"]["results"]["look"]["error"]
        changed = browser.command(identity, "set_parameters", routine="camera", values={"brightness": 7})
        assert changed["reply"]["routines"]["camera"][0]["value"] == 7
        unlinked = browser.command(identity, "unlink", source="camera", destination="look")
        assert unlinked["reply"]["changed"]
        wait_until(lambda: [one for one in browser.got["structure"] if len(one["structure"]["wires"]) == 1])
        assert browser.command(identity, "link", source="camera", destination="look")["reply"]["linked"]
        for arguments, code in (({"routine": "camara"}, "unknown_name"), ({"rotine": "camera"}, "bad_argument")):
            assert browser.command(identity, "stop", **arguments)["error"]["code"] == code
        assert browser.command(identity, "stop", routine="camara")["error"]["nearest"] == "camera"
        assert browser.command(identity, "exec", code="1")["error"]["code"] == "unknown_name"
        assert browser.command("nobody", "stop")["error"]["code"] == "unknown_name"
        browser.command(identity, "kill", wait=60)
        trail = wait_until(lambda: _trail_to(browser, "kill"), what="the audit trail")
        verbs = [(one["verb"], one["outcome"]) for one in reversed(trail)]
        assert ("set_parameters", "ok") in verbs
        assert ("stop", "unknown_name") in verbs
        assert {one["address"] for one in trail} == {"127.0.0.1"}


def _trail_to(browser: Browser, verb: str) -> list[dict[str, Any]] | None:
    entries: list[dict[str, Any]] = browser.get("/api/audit")["entries"]
    return entries if entries and entries[0]["verb"] == verb else None


def _state(message: Any, routine: str) -> str:
    return next(str(one["state"]) for one in message["status"]["routines"] if one["name"] == routine)


def test_a_log_level_set_from_the_browser_brings_more_records(
    server: CockpitServer, make_pipe: Callable[..., Pipe]
) -> None:
    pipe = make_pipe(name="levels", logger=_logger("levels"))
    with CockpitLink(pipe, server.url), Browser(server.url) as browser:
        identity = _shown(browser, "levels")["id"]
        browser.watch(identity, {"text": "details"})
        browser.command(identity, "start", wait=60)
        wait_until(lambda: browser.got["status"], what="status")
        assert not browser.records()
        browser.command(identity, "log_level", routine="camera", level="DEBUG")
        wait_until(browser.records, what="details")
        assert {one["level"] for one in browser.records()} == {"DEBUG"}
        wait_until(
            lambda: [
                one
                for one in browser.got["structure"]
                if [routine["log_level"] for routine in one["structure"]["routines"]].count("DEBUG") == 1
            ],
            what="a structure with the new level",
        )


def test_pictures_are_made_while_somebody_watches_and_not_longer(
    server: CockpitServer, make_pipe: Callable[..., Pipe]
) -> None:
    pipe = make_pipe(name="pictures", logger=_logger("pictures"))
    with CockpitLink(pipe, server.url) as link, Browser(server.url) as browser:
        identity = _shown(browser, "pictures")["id"]
        browser.command(identity, "start", wait=60)
        assert not link._commands.shows
        browser.watch(identity, None, [("camera", "output"), ("look", "input")])
        wait_until(lambda: {one["routine"] for one in browser.got["frame"]} == {"camera", "look"}, what="pictures")
        one = browser.got["frame"][-1]
        assert (one["width"], one["height"], one["original"], one["pipe"]) == (64, 48, [48, 64, 3], identity)
        assert one["jpeg"].startswith(b"\xff\xd8")
        with Browser(server.url) as second:
            second.watch(identity, None, [("camera", "output")])
            wait_until(lambda: second.got["frame"], what="the picture for a second one")
            browser.watch(identity, None)
            wait_until(
                lambda: [key for key, _ in link._commands.wanted_pictures()] == [("camera", "output")],
                what="only one is still made",
            )
        wait_until(lambda: not link._commands.shows, what="none is made any more")
        assert pipe.preview_frame("camera") is None


def test_metrics_become_charts(server: CockpitServer, make_pipe: Callable[..., Pipe]) -> None:
    pipe = make_pipe(name="charts", logger=_logger("charts"))
    with CockpitLink(pipe, server.url), Browser(server.url) as browser:
        identity = _shown(browser, "charts")["id"]
        browser.command(identity, "start", wait=60)

        def rate() -> float | None:
            chart = browser.get(f"/api/pipes/{identity}/metrics?routine=camera&points=20")
            means = [one for one in chart["series"]["rate"]["greatest"] if one]
            return max(means) if means else None

        wait_until(lambda: (rate() or 0.0) > 1, what="a rate")
        for key, name in (("wire=camera-%3Elook", "rate"), ("flow=in", "rss")):
            path = f"/api/pipes/{identity}/metrics?{key}"
            wait_until(lambda path=path, name=name: any(browser.get(path)["series"][name]["mean"]), what=key)
        status, body, _ = ask(server.url, f"/api/pipes/{identity}/metrics?points=3")
        assert (status, body["error"]["field"]) == (422, "routine")


def test_a_link_that_is_closed_ends_within_a_moment_and_lets_the_pipe_go_on(
    server: CockpitServer, make_pipe: Callable[..., Pipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipert2.cockpit.link.link._CLOSE_SECONDS", 60.0)  # how long a moment is, is the machine's
    pipe = make_pipe(name="goes-on", logger=_logger("goes-on"))
    link = CockpitLink(pipe, server.url).start()
    pipe.notify_event("start")
    assert link.connected.wait(60)
    link.close()
    link.close()
    assert not link.running
    sent = pipe.status().routine("camera").sent
    wait_until(lambda: pipe.status().routine("camera").sent > sent + 5)


def test_two_pipes_do_not_mix(server: CockpitServer, make_pipe: Callable[..., Pipe]) -> None:
    first, second = (make_pipe(name=name, logger=_logger(name)) for name in ("left", "right"))
    with CockpitLink(first, server.url), CockpitLink(second, server.url), Browser(server.url) as browser:
        left, right = (_shown(browser, name)["id"] for name in ("left", "right"))
        browser.watch(left, {})
        browser.command(left, "start", wait=60)
        browser.command(right, "start", wait=60)
        wait_until(lambda: len(browser.records()) > 10)
        assert {one["logger"].partition(".")[0] for one in browser.records()} == {"left"}
        assert browser.command(left, "stop", wait=60)["reply"]["ok"]
        assert second.status().routine("camera").state == "running"
