"""A cockpit that is not there, stalls, is killed and comes back: pipes go on, and what was acknowledged is kept."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipert2 import DestinationRoutine, Pipe, SourceRoutine
from pipert2.cockpit.link import link as link_module
from pipert2.cockpit.link.link import CockpitLink
from pipert2.cockpit.server.server import CockpitServer
from pipert2.cockpit.settings import CockpitSettings
from pipert2.testing import wait_until
from tests.integration.cockpit_browser import Browser, FakePipe, ask, record
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]


class Chatty(SourceRoutine):
    """Logs as it goes, some hundred records a second: a link keeps those of an outage of 50 s."""

    def setup(self) -> None:
        self.number = 0

    def main_logic(self) -> int:
        time.sleep(0.005)
        self.number += 1
        self.logger.info("number %d", self.number)
        return self.number


class Forget(DestinationRoutine):
    def main_logic(self, data: Any) -> None:
        pass


@pytest.fixture
def port() -> int:
    return free_port()


class _Cockpit:
    """``pipert2 cockpit`` in a process of its own, which can be killed."""

    def __init__(self, port: int, database: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.database = database
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "pipert2", "cockpit", "--port", str(self._port), "--keep-days", "100000"]
        command += ["--database", str(self.database)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        wait_until(self._answers, timeout=60, what="the cockpit answers")

    def _answers(self) -> bool:
        try:
            return bool(ask(self.url, "/healthz")[0] == 200)
        except OSError:
            return False

    def send(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def cockpit(port: int, tmp_path: Path) -> Iterator[_Cockpit]:
    one = _Cockpit(port, tmp_path / "cockpit.db")
    yield one
    one.kill()


@pytest.fixture
def chatty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Pipe]]:
    monkeypatch.setattr(link_module, "PAUSES", (0.2,))
    made: list[Pipe] = []

    def make(name: str) -> Pipe:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        pipe = Pipe(name, logger=logger)
        pipe.create_flow("all", True, Chatty("chatty"), Forget("forget"))
        made.append(pipe)
        pipe.notify_event("start")
        return pipe

    yield make
    for pipe in made:
        pipe.join(to_kill=True)


def _goes_on(pipe: Pipe) -> None:
    sent = pipe.status().routine("chatty").sent
    wait_until(lambda: pipe.status().routine("chatty").sent > sent + 50, what="the pipe goes on")


def _stored(url: str, identity: str) -> list[dict[str, Any]]:
    """All records of a pipe that the cockpit has."""
    status, text, _ = ask(url, f"/api/pipes/{identity}/logs/export")
    return [json.loads(line) for line in text.splitlines()] if status == 200 else []


def test_records_arrive_when_a_killed_cockpit_is_back_and_the_pipe_never_waits(
    cockpit: _Cockpit, chatty: Callable[[str], Pipe]
) -> None:
    pipe = chatty("outlives")
    with CockpitLink(pipe, cockpit.url) as link:
        _goes_on(pipe)
        cockpit.start()
        assert link.connected.wait(60)
        wait_until(lambda: len(_stored(cockpit.url, link.id)) > 100, what="records")
        cockpit.kill()
        wait_until(lambda: not link.connected.is_set(), what="the link notices")
        _goes_on(pipe)
        cockpit.start()
        assert link.connected.wait(60)
        before = pipe.status().routine("chatty").sent
        wait_until(
            lambda: any(one["message"] == f"number {before}" for one in _stored(cockpit.url, link.id)),
            timeout=60,
            what="what was logged meanwhile",
        )
        numbers = [one["number"] for one in _stored(cockpit.url, link.id)]
        assert numbers == list(range(1, len(numbers) + 1)), "none is missing, none is twice there"
        assert link.feed.dropped == 0


def test_what_a_pipe_cannot_keep_during_an_outage_is_counted(
    cockpit: _Cockpit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "PAUSES", (0.2,))
    logger = logging.getLogger("floods")
    logger.setLevel(logging.INFO)
    pipe = Pipe("floods", logger=logger, inline=True)
    pipe.create_flow("all", True, Chatty("chatty"), Forget("forget"))
    with CockpitLink(pipe, cockpit.url) as link:
        for number in range(12_000):
            logger.info("early %d", number)
        cockpit.start()
        with Browser(cockpit.url) as browser:
            assert link.connected.wait(60)
            wait_until(lambda: len(_stored(cockpit.url, link.id)) == 10_000, timeout=60, what="what was kept")
            browser.watch(link.id, {})
            wait_until(
                lambda: browser.got["status"] and browser.got["status"][-1]["dropped_records"] == 2_000,
                what="the number of those that were dropped",
            )


def test_a_cockpit_that_stalls_holds_nobody_up(
    cockpit: _Cockpit, chatty: Callable[[str], Pipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = chatty("patient")
    cockpit.start()
    with CockpitLink(pipe, cockpit.url) as link:
        assert link.connected.wait(60)
        cockpit.send(signal.SIGSTOP)
        try:
            _goes_on(pipe)
            with monkeypatch.context() as soon:  # a cockpit that works may take longer to answer on a busy machine
                soon.setattr("pipert2.cockpit.link.conversation._ANSWER_SECONDS", 0.5)
                wait_until(lambda: not link.connected.is_set(), timeout=60, what="the link gives it up")
            _goes_on(pipe)
            assert sum(thread.name.startswith("pipert2-cockpit") for thread in threading.enumerate()) < 10
        finally:
            cockpit.send(signal.SIGCONT)
        assert link.connected.wait(60)
        wait_until(lambda: len(_stored(cockpit.url, link.id)) > 200, what="records")


def test_a_link_closes_while_nobody_is_there_and_while_the_cockpit_stalls(
    cockpit: _Cockpit, chatty: Callable[[str], Pipe]
) -> None:
    pipe = chatty("closes")
    CockpitLink(pipe, "http://127.0.0.1:9").start().close()
    cockpit.start()
    link = CockpitLink(pipe, cockpit.url).start()
    assert link.connected.wait(60)
    cockpit.send(signal.SIGSTOP)
    link.close()
    wait_until(lambda: not link.running, what="its thread has ended")
    cockpit.send(signal.SIGCONT)
    _goes_on(pipe)


def test_a_link_ends_with_its_pipe_whether_there_is_a_cockpit_or_not(
    cockpit: _Cockpit, chatty: Callable[[str], Pipe]
) -> None:
    alone = chatty("alone")
    link = CockpitLink(alone, cockpit.url).start()
    alone.join(to_kill=True)
    wait_until(lambda: not link.running, what="the link of the pipe that nobody saw has ended")
    cockpit.start()
    seen = chatty("seen")
    link = CockpitLink(seen, cockpit.url).start()
    assert link.connected.wait(60)
    seen.join(to_kill=True)
    wait_until(lambda: not link.running, what="the link of the other one has ended")

    def gone() -> bool:
        (summary,) = ask(cockpit.url, "/api/pipes")[1]["pipes"]
        return (summary["state"], summary["connected"]) == ("ended", False)

    wait_until(gone, what="the cockpit has seen it end")
    last = [one["message"] for one in _stored(cockpit.url, link.id) if one["routine"] == "chatty"][-1]
    assert last == f"number {seen.status().routine('chatty').sent}"


def test_nothing_that_was_acknowledged_is_lost_when_the_cockpit_is_killed_while_it_writes(cockpit: _Cockpit) -> None:
    acknowledged: dict[str, int] = {}
    for _ in range(3):
        cockpit.start()
        stop = threading.Event()

        def flood(name: str, stop: threading.Event = stop) -> None:
            while not stop.is_set():
                try:
                    with FakePipe(cockpit.url, name) as pipe:
                        pipe.patience = 3.0
                        number = acknowledged.get(name, 0)
                        while not stop.is_set():
                            batch = [record(number + n, f"text {number + n}") for n in range(1, 301)]
                            number = acknowledged[name] = pipe.log(*batch)["last"]
                except Exception:  # the cockpit was killed: that is the point; or it took its time to answer
                    stop.wait(0.05)

        threads = [threading.Thread(target=flood, args=(name,), daemon=True) for name in ("a", "b", "c")]
        goal = sum(acknowledged.values()) + 3_000
        for thread in threads:
            thread.start()
        wait_until(lambda goal=goal: sum(acknowledged.values()) > goal, timeout=60, what="records")
        cockpit.kill()
        stop.set()
        with closing(sqlite3.connect(cockpit.database)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            for name, last in dict(acknowledged).items():
                query = "SELECT count(*) FROM records JOIN pipes ON pipe = pipes.number WHERE pipes.id = ?"
                assert connection.execute(query, (name,)).fetchone()[0] >= last
            query = "SELECT count(*) FROM records_text WHERE records_text MATCH 'text'"
            assert (
                connection.execute(query).fetchone()[0]
                == connection.execute("SELECT count(*) FROM records").fetchone()[0]
            )
        for thread in threads:
            thread.join(60)


def test_a_refused_pipe_goes_on_and_says_so_once(
    tmp_path: Path, chatty: Callable[[str], Pipe], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "_REFUSED_PAUSE", 0.1)
    # A cockpit that could not be reached in between, as it may be on a busy machine, refuses the pipe anew.
    monkeypatch.setattr("pipert2.cockpit.link.client._DIAL_SECONDS", 60.0)
    settings = CockpitSettings(
        port=0, keep_days=1e5, database=tmp_path / "cockpit.db", token="the-token-of-this-cockpit"
    )
    with CockpitServer(settings) as server:
        pipe = chatty("refused")
        with CockpitLink(pipe, server.url, "another-token-than-that"):
            wait_until(lambda: [one for one in caplog.records if "refuses this pipe" in one.getMessage()])
            _goes_on(pipe)
        said = [one for one in caplog.records if one.name.startswith("pipert2.cockpit")]
        assert len(said) == 1
        assert "PIPERT2_COCKPIT_TOKEN" in said[0].getMessage()
        with CockpitLink(pipe, server.url, "the-token-of-this-cockpit") as link:
            assert link.connected.wait(60)


def test_a_browser_that_does_not_read_is_cut_and_costs_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipert2.cockpit.server.sockets.PING_INTERVAL", 1.0)
    monkeypatch.setattr("pipert2.cockpit.server.sockets.PING_TIMEOUT", 1.0)
    with (
        CockpitServer(CockpitSettings(port=0, keep_days=1e5, database=tmp_path / "cockpit.db")) as server,
        FakePipe(server.url) as pipe,
        socket.socket() as dead,
    ):
        dead.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # is soon full
        dead.settimeout(60)
        dead.connect(("127.0.0.1", server.port))
        dead.sendall(
            b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert dead.recv(1000).startswith(b"HTTP/1.1 101")
        assert _serves(dead)  # not later: it may be cut before all that it does not read is said
        for text in (b"40/ui,", b'42/ui,1["watch",{"pipe":"fake","logs":{}}]'):
            dead.sendall(bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text)
        for number in range(1, 10):
            pipe.log(*(record(number * 500 + n, "x" * 1_000) for n in range(500)))
        wait_until(lambda: not _serves(dead), what="it is cut")


def _serves(connection: socket.socket) -> bool:
    """Whether the server, which is in this process, still holds its end of a connection."""
    return any(one.raddr == connection.getsockname() for one in psutil.Process().net_connections("tcp"))
