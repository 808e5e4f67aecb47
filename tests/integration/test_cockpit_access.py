"""Who may see and drive what, over HTTP and over websockets, and what pages of others cannot do."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipert2.cockpit.server.server import CockpitServer
from pipert2.cockpit.settings import CockpitSettings
from pipert2.cockpit.store import accounts as accounts_module
from pipert2.cockpit.store.accounts import Accounts, Role
from pipert2.cockpit.store.database import Database
from pipert2.errors import ControlError
from pipert2.testing import wait_until
from tests.integration.cockpit_browser import Browser, FakePipe, ask, client, log_in, record

TOKEN = "a-token-that-nobody-guesses"
MARKUP = "<script>alert(1)</script>"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "cockpit.db"


@pytest.fixture
def accounts(database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Accounts]:
    monkeypatch.setattr(accounts_module, "HASHING", "scrypt:256:8:1")  # quickly
    opened = Database(database)
    made = Accounts(opened)
    made.add("vera", "only looking", Role.VIEWER)
    made.add("otto", "may do things", Role.OPERATOR)
    yield made
    opened.close()


@pytest.fixture
def server(database: Path) -> Iterator[CockpitServer]:
    with CockpitServer(CockpitSettings(port=0, keep_days=1e5, database=database)) as serving:
        yield serving


READS = ["/api/me", "/api/pipes", "/api/audit"] + [
    f"/api/pipes/fake{path}" for path in ("/structure", "/logs", "/logs/export", "/logs/histogram", "/metrics?flow=in")
]


def test_with_accounts_nothing_is_shown_before_a_login(accounts: Accounts, server: CockpitServer) -> None:
    with FakePipe(server.url) as pipe:
        pipe.log(record(1, "secret"))
        for path in READS:
            status, body, _ = ask(server.url, path)
            assert (status, body if isinstance(body, str) else body["error"]["code"]) == (401, "unauthorized"), path
        assert ask(server.url, "/api/pipes/fake", method="DELETE")[0] == 401
        for cookie in (None, "pipert2_session=guess", "pipert2_session=" + "x" * 3_000, "=;;"):
            browser = Browser(server.url, cookie)
            with pytest.raises(Exception, match="failed to connect"):
                browser.__enter__()
            assert browser.refusal["message"] == "unauthorized"


def test_a_viewer_sees_everything_and_changes_nothing(accounts: Accounts, server: CockpitServer) -> None:
    cookie = log_in(server.url, "vera", "only looking")
    with FakePipe(server.url) as pipe, Browser(server.url, cookie) as browser:
        assert browser.got["hello"][0]["role"] == "viewer"
        assert browser.get("/api/me") == {"user": "vera", "role": "viewer", "login": True, "version": _version()}
        pipe.answer = {"reply": {"fine": True}}
        for verb in (
            "start",
            "kill",
            "event",
            "set_parameters",
            "link",
            "log_level",
            "preview",
            "restart_flow",
            "join",
        ):
            answer = browser.command("fake", verb)
            assert answer["error"]["code"] == "forbidden", verb
        assert pipe.commands == []
        assert browser.command("fake", "status") == {"reply": {"fine": True}}
        assert ask(server.url, "/api/pipes/fake", method="DELETE", cookie=cookie)[0] == 403
        browser.watch("fake", None, [("camera", "output")])
        wait_until(lambda: any(one["verb"] == "preview" for one in pipe.commands), what="a preview for a viewer")
        refused = wait_until(lambda: [one for one in browser.get("/api/audit")["entries"] if one["verb"] == "kill"])
        assert [(one["user"], one["outcome"]) for one in refused] == [("vera", "forbidden")]


def _version() -> str:
    import pipert2

    return pipert2.__version__


def test_an_operator_drives_and_is_named_in_the_trail(accounts: Accounts, server: CockpitServer) -> None:
    cookie = log_in(server.url, "otto", "may do things")
    with FakePipe(server.url) as pipe, Browser(server.url, cookie) as browser:
        assert browser.command("fake", "stop", flow="in") == {"reply": None}
        assert pipe.commands == [{"verb": "stop", "arguments": {"flow": "in"}}]
        entry = wait_until(lambda: [one for one in browser.get("/api/audit")["entries"] if one["verb"] == "stop"])[0]
        assert (entry["user"], entry["pipe_name"], entry["arguments"]) == ("otto", "fake", {"flow": "in"})


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(accounts: Accounts, server: CockpitServer) -> None:
    _, _, headers = ask(server.url, "/login", {"user": "vera", "password": "only looking"})
    parts = [part.strip() for part in headers["set-cookie"].split(";")]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(parts)
    assert "secret" not in headers["set-cookie"]


def test_who_logs_out_or_loses_the_account_is_disconnected(accounts: Accounts, server: CockpitServer) -> None:
    first, second = (log_in(server.url, "vera", "only looking") for _ in range(2))
    with Browser(server.url, first) as one, Browser(server.url, second) as other:
        assert ask(server.url, "/logout", {}, cookie=first)[0] == 204
        wait_until(lambda: not one.client.connected, what="the browser that logged out is cut")
        assert other.client.connected
        accounts.remove("vera")
        wait_until(lambda: not other.client.connected, what="the browser whose account is gone is cut")
    assert ask(server.url, "/api/me", cookie=second)[0] == 401


def test_guessing_passwords_is_slowed_down(accounts: Accounts, server: CockpitServer) -> None:
    codes = [ask(server.url, "/login", {"user": "vera", "password": f"guess {n}"})[0] for n in range(6)]
    assert codes == [401] * 5 + [429]
    status, _, headers = ask(server.url, "/login", {"user": "vera", "password": "only looking"})
    assert status == 429
    assert int(headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"user": "vera"}, 422),
        ({"user": 1, "password": []}, 422),
        ([], 422),
        ({"user": "x", "password": "y" * 2000}, 422),
    ],
)
def test_a_login_that_is_none_is_refused(accounts: Accounts, server: CockpitServer, body: Any, status: int) -> None:
    assert ask(server.url, "/login", body)[0] == status


def test_without_accounts_anybody_on_this_machine_is_an_operator(server: CockpitServer) -> None:
    assert ask(server.url, "/api/me")[1] == {"user": None, "role": "operator", "login": False, "version": _version()}
    with FakePipe(server.url), Browser(server.url) as browser:
        assert "reply" in browser.command("fake", "stop")


def test_with_the_first_account_those_who_are_there_without_one_are_cut(server: CockpitServer, database: Path) -> None:
    with Browser(server.url) as browser:
        opened = Database(database)
        Accounts(opened).add("ann", "long enough", Role.VIEWER)
        opened.close()
        assert ask(server.url, "/api/pipes")[0] == 401
        wait_until(lambda: not browser.client.connected, what="cut")


def test_beyond_loopback_it_wants_an_account_and_a_token(database: Path) -> None:
    with pytest.raises(ControlError, match=r"an account .* and a token"):
        CockpitServer(CockpitSettings(host="0.0.0.0", port=0, keep_days=1e5, database=database)).start()
    opened = Database(database)
    Accounts(opened).add("ann", "long enough", Role.VIEWER)
    opened.close()
    with pytest.raises(ControlError, match="needs a token"):
        CockpitServer(CockpitSettings(host="0.0.0.0", port=0, keep_days=1e5, database=database)).start()
    with CockpitServer(
        CockpitSettings(host="0.0.0.0", port=0, keep_days=1e5, database=database, token=TOKEN)
    ) as server:
        assert ask(server.url, "/api/me")[0] == 401


def test_where_a_token_is_wanted_pipes_have_to_show_it(database: Path) -> None:
    with CockpitServer(CockpitSettings(port=0, keep_days=1e5, database=database, token=TOKEN)) as server:
        for token in (None, "", "another-token-of-good-length"):
            pipe = FakePipe(server.url, token=token)
            with pytest.raises(Exception, match="failed to connect"):
                pipe.__enter__()
            assert "wants a token" in pipe.refusal["message"]
        with FakePipe(server.url, token=TOKEN) as pipe:
            assert pipe.log(record(1)) == {"last": 1}
        old = client()
        with pytest.raises(Exception, match="failed to connect"):
            old.connect(server.url, transports=["websocket"], wait_timeout=60)


FOREIGN = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Host": "evil.example"},
    {"Host": "127.0.0.1.evil.example:80"},
    {"Sec-Purpose": "prefetch"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_pages_of_others_get_nothing_over_http(server: CockpitServer, headers: dict[str, str]) -> None:
    for path, body, method in (
        ("/api/pipes", None, "GET"),
        ("/login", {"user": "a", "password": "b"}, "POST"),
        ("/api/pipes/x", None, "DELETE"),
        ("/socket.io/?EIO=4&transport=polling", None, "GET"),
    ):
        status, _, answered = ask(server.url, path, body, method=method, headers=headers)
        assert status in (403, 421), path
        assert "access-control-allow-origin" not in answered


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_pages_of_others_get_no_websocket(server: CockpitServer, headers: dict[str, str]) -> None:
    lines = {"Host": f"127.0.0.1:{server.port}", "Upgrade": "websocket", "Connection": "Upgrade", **headers}
    lines |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n{head}\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 403")


def test_a_link_on_another_site_opens_the_page_but_nothing_else(server: CockpitServer) -> None:
    clicked = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert ask(server.url, "/", headers=clicked)[0] in (200, 503)
    assert ask(server.url, "/api/pipes", headers=clicked)[0] == 403
    assert ask(server.url, "/", headers={**clicked, "Sec-Fetch-Dest": "iframe"})[0] == 403


def test_browsers_and_pipes_cannot_come_by_polling(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipert2.cockpit.server.sockets.PING_INTERVAL", 0.3)
    monkeypatch.setattr("pipert2.cockpit.server.sockets.PING_TIMEOUT", 0.3)
    with CockpitServer(CockpitSettings(port=0, database=database)) as server:
        _come_by_polling(server)


def _come_by_polling(server: CockpitServer) -> None:
    for namespace, auth in (("/ui", None), ("/pipe", FakePipe(server.url).auth)):
        poller = client()
        with pytest.raises(Exception, match="failed to connect"):
            poller.connect(server.url, auth=auth, transports=["polling"], namespaces=[namespace], wait_timeout=60)


def test_a_pipes_names_are_only_data(server: CockpitServer) -> None:
    with FakePipe(server.url, name=MARKUP, identity="m1") as pipe, Browser(server.url) as browser:
        pipe.send("structure", {"name": MARKUP, "routines": [], "wires": [], "flows": [MARKUP], "version": 1})
        pipe.log(record(1, MARKUP, routine=MARKUP, extra={MARKUP: MARKUP}))
        assert browser.get("/api/pipes/m1/logs")["records"][0]["message"] == MARKUP
        assert browser.get("/api/pipes")["pipes"][0]["name"] == MARKUP
        _, text, headers = ask(server.url, "/api/pipes/m1/logs/export?format=csv")
        assert MARKUP in text
        assert headers["content-disposition"].startswith('attachment; filename="_script_alert_1___script_-')
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["/../pyproject.toml", "/assets/../../server.py", "/%2e%2e/server.py", "/not-built.txt"]
)
def test_only_the_apps_files_are_served(server: CockpitServer, path: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        assert b" 404 " in connection.recv(1000).split(b"\r\n")[0]
