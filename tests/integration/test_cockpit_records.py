"""What pipes send is kept, found, exported and shown, whatever they and the browsers do."""

from __future__ import annotations

import csv
import io
import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipert2.cockpit.server.server import CockpitServer
from pipert2.cockpit.settings import CockpitSettings
from pipert2.testing import wait_until
from tests.integration.cockpit_browser import Browser, FakePipe, ask, client, end, record


@pytest.fixture
def server(tmp_path: Path) -> Iterator[CockpitServer]:
    with CockpitServer(CockpitSettings(port=0, keep_days=1e5, database=tmp_path / "cockpit.db")) as serving:
        yield serving


def test_what_was_acknowledged_is_found_and_sent_again_it_is_not_twice_there(server: CockpitServer) -> None:
    with FakePipe(server.url) as pipe:
        assert pipe.log(record(1), record(2)) == {"last": 2}
        assert pipe.log(record(2), record(3)) == {"last": 3}
        assert pipe.log() == {"last": 3}
    with FakePipe(server.url) as pipe:
        assert pipe.log(record(1), record(3)) == {"last": 3}
        found = ask(server.url, "/api/pipes/fake/logs")[1]
    assert [one["number"] for one in found["records"]] == [1, 2, 3]


def test_a_restarted_cockpit_knows_what_it_knew(tmp_path: Path) -> None:
    settings = CockpitSettings(port=0, keep_days=1e5, database=tmp_path / "cockpit.db")
    status = {"name": "fake", "state": "running", "time": 1.0, "routines": [], "wires": [], "flows": []}
    with CockpitServer(settings) as server, FakePipe(server.url) as pipe:
        pipe.log(record(1, "remember me"))
        pipe.send("structure", {"name": "fake", "version": 3})
        pipe.send("status", {"status": status, "health": {"ok": False, "problems": ["hot"]}, "dropped_records": 2})
    with CockpitServer(settings) as server, Browser(server.url) as browser:
        (summary,) = browser.pipes()
        assert (summary["connected"], summary["state"], summary["problems"]) == (False, "running", ["hot"])
        answer = browser.watch("fake", {})
        assert (answer["structure"]["version"], answer["status"]["dropped_records"], answer["after"]) == (3, 2, 1)
        assert browser.get("/api/pipes/fake/logs?text=remem")["records"][0]["message"] == "remember me"
        with FakePipe(server.url) as pipe:
            assert pipe.log(record(1), record(2)) == {"last": 2}
            wait_until(lambda: [one["number"] for one in browser.records()] == [2], what="only the new one")


@pytest.mark.parametrize(
    "data",
    [
        None,
        3,
        {},
        {"records": 1, "dropped": 0},
        {"records": [{}], "dropped": 0},
        {"records": [record(0)], "dropped": 0},
    ],
)
def test_records_that_are_none_are_refused_and_others_go_on(server: CockpitServer, data: Any) -> None:
    with FakePipe(server.url) as pipe:
        assert pipe.send("logs", data)["error"]["code"] == "bad_argument"
        assert pipe.send("status", data)["error"]["code"] == "bad_argument"
        assert pipe.send("frame", data)["error"]["code"] == "bad_argument"
        assert pipe.log(record(1)) == {"last": 1}


@pytest.mark.parametrize(
    "data", [None, 3, {"pipe": 4}, {"pipe": "nobody"}, {"logs": {"level": 3}}, {"frames": [["a"]]}]
)
def test_a_browser_that_asks_for_nonsense_is_told_so(server: CockpitServer, data: Any) -> None:
    with Browser(server.url) as browser:
        assert browser.call("watch", data)["error"]["code"] in ("bad_argument", "unknown_name")
        assert browser.call("command", data)["error"]["code"] in ("bad_argument", "unknown_name")


def test_the_search_and_the_pages_of_the_history(server: CockpitServer) -> None:
    with FakePipe(server.url) as pipe:
        pipe.log(*(record(n, f"word{n % 3}", level="ERROR" if n == 7 else "INFO") for n in range(1, 11)))

        def numbers(query: str) -> list[int]:
            return [one["number"] for one in ask(server.url, f"/api/pipes/fake/logs?{query}")[1]["records"]]

        assert numbers("limit=2") == [9, 10]
        assert numbers("limit=2&before=9") == [7, 8]
        assert numbers("after=3&limit=2") == [4, 5]
        assert numbers("text=word0") == [3, 6, 9]
        assert numbers("level=ERROR") == [7]
        assert numbers("from=1004&to=1005.5") == [4, 5]
        assert ask(server.url, "/api/pipes/fake/logs/histogram?from=1000&to=1020&buckets=2")[1] == {
            "from": 1000.0,
            "to": 1020.0,
            "seconds": 10.0,
            "levels": {"INFO": [8, 1], "ERROR": [1, 0]},
        }
        for query in ("limit=0", "limit=9999", "before=x", "colour=red", "from=nan", "level=" + "x" * 300):
            status, body, _ = ask(server.url, f"/api/pipes/fake/logs?{query}")
            assert (status, body["error"]["code"]) == (422, "bad_argument"), query
        assert ask(server.url, "/api/pipes/nobody/logs")[0] == 404


def test_an_export_has_every_record_that_fits(server: CockpitServer) -> None:
    with FakePipe(server.url) as pipe:
        for start in range(1, 3_001, 500):
            pipe.log(*(record(n, "=1+1, 'quoted' \"text\"\nsecond line") for n in range(start, start + 500)))
        _, text, headers = ask(server.url, "/api/pipes/fake/logs/export")
        lines = [json.loads(line) for line in text.splitlines()]
        assert [one["number"] for one in lines] == list(range(1, 3_001))
        assert headers["content-type"].startswith("application/x-ndjson")
        _, text, _ = ask(server.url, "/api/pipes/fake/logs/export?format=csv&from=1100&to=1199.5")
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        assert [int(row["number"]) for row in rows] == list(range(100, 200))
        assert rows[0]["message"] == "'=1+1, 'quoted' \"text\"\nsecond line"  # no spreadsheet takes it for a formula
        assert ask(server.url, "/api/pipes/fake/logs/export?format=xml")[0] == 422


def test_of_each_pipe_the_newest_records_are_kept(tmp_path: Path) -> None:
    settings = CockpitSettings(port=0, keep_days=1e5, database=tmp_path / "cockpit.db", keep_records=700)
    with CockpitServer(settings) as server, FakePipe(server.url) as pipe, FakePipe(server.url, "few") as few:
        few.log(record(1))
        wait_until(lambda: ask(server.url, "/api/pipes/few/logs")[1]["records"])
        for start in range(1, 5_001, 500):
            pipe.log(*(record(n) for n in range(start, start + 500)))
        wait_until(
            lambda: ask(server.url, "/api/pipes/fake/logs?after=0&limit=1")[1]["records"][0]["number"] > 4_000,
            timeout=60,
            what="the old records are gone",
        )
        assert ask(server.url, "/api/pipes/fake/logs?limit=1")[1]["records"][0]["number"] == 5_000
        assert ask(server.url, "/api/pipes/few/logs")[1]["records"]


def test_the_history_of_a_pipe_that_is_gone_can_be_removed(server: CockpitServer) -> None:
    with FakePipe(server.url) as pipe:
        pipe.log(*(record(n) for n in range(1, 500)))
        status, body, _ = ask(server.url, "/api/pipes/fake", method="DELETE")
        assert (status, body["error"]["code"]) == (409, "bad_state")
    with Browser(server.url) as browser:
        wait_until(lambda: browser.lost("fake"))
        assert ask(server.url, "/api/pipes/fake", method="DELETE")[0] == 204
        wait_until(lambda: browser.pipes() == [], what="it is gone")
        assert ask(server.url, "/api/pipes/fake/logs")[0] == 404


def test_a_pipe_that_comes_back_takes_the_place_of_its_old_connection(server: CockpitServer) -> None:
    with FakePipe(server.url) as old, FakePipe(server.url) as new:
        wait_until(lambda: not old.client.connected, what="the old connection is cut")
        assert new.log(record(1)) == {"last": 1}
        (summary,) = ask(server.url, "/api/pipes")[1]["pipes"]
        assert summary["connected"]


def test_a_command_to_a_pipe_that_is_lost_or_gone_is_answered(server: CockpitServer) -> None:
    with Browser(server.url) as browser:
        with FakePipe(server.url) as pipe:
            assert browser.command("fake", "start") == {"reply": None}
            pipe.answer = "nonsense"
            assert browser.command("fake", "start")["error"]["code"] == "failed"
        wait_until(lambda: browser.lost("fake"))
        answer = browser.command("fake", "start")
        assert answer["error"]["code"] == "unreachable"


def test_a_browser_that_stalls_holds_up_nobody_and_learns_what_it_missed(server: CockpitServer) -> None:
    with (
        FakePipe(server.url) as pipe,
        Browser(server.url) as quick,
        Browser(server.url, acknowledges=False) as stalled,
    ):
        quick.watch("fake", {})
        stalled.watch("fake", {})
        total = 30_000
        for start in range(1, total, 500):
            pipe.log(*(record(n) for n in range(start, start + 500)))

        def told(browser: Browser) -> int:
            return len(browser.records()) + sum(batch["skipped"] for batch in browser.got["logs"])

        wait_until(lambda: told(quick) == total, timeout=60, what="the quick one was told all")
        wait_until(lambda: stalled.got["logs"], what="the stalled one got its first records")
        assert len(stalled.got["logs"]) == 1
        stalled.acknowledges.set()
        wait_until(lambda: told(stalled) == total, what="the stalled one was told what it missed")


def test_a_connection_that_never_says_who_it_is_is_cut(server: CockpitServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipert2.cockpit.server.sockets._STRANGER_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(
            b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 101")
        while connection.recv(1000):
            pass


def test_an_old_pipes_records_are_kept(server: CockpitServer) -> None:
    old = client()
    old.connect(server.url, wait_timeout=60)  # polls first, as PipeRT's did
    for number in range(300):
        text = {
            "time": "21-11-26 10:00:00.123",
            "source": "OldPipe.flow",
            "level": "WARNING",
            "message": f"old {number}",
        }
        old.emit("log", json.dumps(text))
    old.emit("log", '{"source": "OldPipe", "level": "INFO", "message": "it\'s "broken" JSON"}')
    with Browser(server.url) as browser:

        def found() -> Any:
            pipe = next((one for one in browser.get("/api/pipes")["pipes"] if one["name"] == "OldPipe"), None)
            records = browser.get(f"/api/pipes/{pipe['id']}/logs?after=0&limit=2000")["records"] if pipe else []
            return (pipe, records) if len(records) == 301 else None

        pipe, records = wait_until(found, what="all 301")
        assert (records[0]["level"], records[0]["message"], records[0]["logger"]) == (
            "WARNING",
            "old 0",
            "OldPipe.flow",
        )
        assert '"broken"' in records[-1]["message"]
        assert browser.command(pipe["id"], "stop")["error"]["code"] == "unreachable"
    end(old)


def test_nothing_is_said_in_the_log_of_what_works(server: CockpitServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with FakePipe(server.url) as pipe, Browser(server.url) as browser:
        pipe.log(record(1))
        browser.watch("fake", {})
    assert [one.getMessage() for one in caplog.records] == []
