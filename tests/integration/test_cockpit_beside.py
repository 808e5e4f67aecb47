"""A cockpit beside one pipe, in the same program."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

from pipert2 import Pipe
from pipert2.cockpit.beside import cockpit_beside
from pipert2.cockpit.server.server import CockpitServer
from pipert2.cockpit.settings import CockpitSettings
from pipert2.testing import CollectingDestination, ListSource, wait_until
from tests.integration.cockpit_browser import Browser, FakePipe, ask
from tests.ports import free_port


def _pipe(name: str) -> Pipe:
    pipe = Pipe(name, logger=logging.getLogger(name), inline=True)
    pipe.create_flow("all", True, ListSource([1], repeat=True), CollectingDestination())
    return pipe


def test_a_pipe_with_a_cockpit_beside_it_can_be_driven_there(tmp_path: Path) -> None:
    pipe = _pipe("beside")
    with (
        pipe,
        cockpit_beside(pipe, CockpitSettings(port=0, database=tmp_path / "c.db")) as page,
        Browser(page.partition("/?")[0]) as browser,
    ):
        (summary,) = wait_until(lambda: browser.get("/api/pipes")["pipes"], what="the pipe")
        assert browser.command(summary["id"], "start", wait=60)["reply"]["ok"]
        assert pipe.status().state == "running"


def test_a_second_pipe_goes_to_the_cockpit_that_is_there(tmp_path: Path) -> None:
    settings = CockpitSettings(port=free_port(), database=tmp_path / "c.db")
    first, second = _pipe("first"), _pipe("second")
    with first, second, cockpit_beside(first, settings) as page, cockpit_beside(second, settings) as other:
        url = page.removesuffix("/?pipe=first")
        assert other == f"{url}/?pipe=second"
        wait_until(lambda: len(ask(url, "/api/pipes")[1]["pipes"]) == 2, what="both")


def test_a_pipe_that_was_lost_while_it_was_let_in_is_not_taken_for_connected(tmp_path: Path) -> None:
    with CockpitServer(CockpitSettings(port=0, keep_days=1e5, database=tmp_path / "c.db")) as server:
        for _ in range(20):
            pipe = FakePipe(server.url)
            pipe.client.connect(server.url, auth=pipe.auth, transports=["websocket"], namespaces=["/pipe"], wait=False)
            pipe.client.eio.ws.sock.shutdown(socket.SHUT_RDWR)  # to close it would wait for who reads it
        wait_until(lambda: [one["connected"] for one in ask(server.url, "/api/pipes")[1]["pipes"]] in ([], [False]))
