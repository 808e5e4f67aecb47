"""What a page of somebody else's can do to the cockpit from the browser of one who uses it: nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.browser.conftest import CockpitProcess

ATTACKS = """async ([target, socket, pipe]) => {
    const found = {};
    const attempt = async (name, act) => {
        try { found[name] = await act(); } catch (error) { found[name] = "refused"; }
    };
    const loads = (tag, field, url) => new Promise((done) => {
        const element = document.createElement(tag);
        element.onload = () => done("loaded");
        element.onerror = () => done("refused");
        element[field] = url;
        if (tag === "link") element.rel = "stylesheet";
        document.head.append(element);
    });
    const read = async (url, options) => (await (await fetch(url, options)).text()).slice(0, 80);
    const json = {method: "POST", headers: {"Content-Type": "application/json"}, body: "{}"};
    await attempt("fetch", () => read(target + "/api/pipes"));
    await attempt("fetch with cookies", () => read(target + "/api/me", {credentials: "include"}));
    await attempt("fetch json", () => read(target + "/login", json));
    await attempt("delete", () => read(target + "/api/pipes/" + pipe, {method: "DELETE"}));
    await attempt("image", () => loads("img", "src", target + "/icon.svg"));
    await attempt("script", () => loads("script", "src", target + "/api/pipes"));
    await attempt("style", () => loads("link", "href", target + "/api/pipes"));
    await attempt("module", () => import(target + "/api/pipes").then(() => "loaded"));
    await attempt("events", () => new Promise((done) => {
        const source = new EventSource(target + "/api/pipes");
        source.onopen = () => done("opened");
        source.onerror = () => { source.close(); done("refused"); };
    }));
    const opened = (url) => new Promise((done) => {
        const made = new WebSocket(url);
        made.onopen = () => done("opened");
        made.onerror = () => done("refused");
    });
    await attempt("websocket", () => opened(socket + "/socket.io/?EIO=4&transport=websocket"));
    await attempt("polling", () => read(target + "/socket.io/?EIO=4&transport=polling"));
    const blind = {method: "POST", mode: "no-cors", credentials: "include", body: "user=a&password=b"};
    for (const path of ["/login", "/logout", "/api/pipes/" + pipe])
        await fetch(target + path, blind).catch(() => null);
    navigator.sendBeacon(target + "/logout", "x");
    const ahead = document.createElement("link");
    [ahead.rel, ahead.href] = ["prefetch", target + "/api/pipes?ahead=1"];
    const over = new Promise((done) => { ahead.onload = ahead.onerror = done; setTimeout(done, 2000); });
    document.head.append(ahead);
    await over;
    return found;
}"""


@pytest.fixture
def foreign() -> Iterator[str]:
    """A page of another origin on this machine."""

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<!doctype html><title>elsewhere</title><p>hello"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join(5)


@pytest.fixture
def foreign_page(browser: Browser) -> Iterator[Page]:
    """A page that may complain and ask for whatever it likes."""
    with browser.new_context(bypass_csp=True) as context:
        yield context.new_page()


def test_a_foreign_page_reads_nothing_and_changes_nothing(foreign_page, cockpit, pipe, foreign) -> None:
    before = httpx.get(f"{cockpit.url}/api/audit").json()["entries"]
    (known,) = (one["id"] for one in _pipes(cockpit) if one["name"] == "stripes")
    page = foreign_page
    page.goto(f"{cockpit.url}/")  # as somebody who uses the cockpit
    page.goto(foreign)
    answers: list[tuple[str, int]] = []
    page.on("response", lambda one: answers.append((one.url, one.status)) if one.url.startswith(cockpit.url) else None)
    found = page.evaluate(ATTACKS, [cockpit.url, cockpit.url.replace("http", "ws", 1), known])
    assert set(found.values()) == {"refused"}, found
    assert {status for _, status in answers} <= {403, 421}, answers
    assert httpx.get(f"{cockpit.url}/api/audit").json()["entries"] == before
    assert any(one["id"] == known and one["connected"] for one in _pipes(cockpit))


def _pipes(cockpit: CockpitProcess) -> list[dict[str, Any]]:
    return list(httpx.get(f"{cockpit.url}/api/pipes").json()["pipes"])


@pytest.mark.parametrize("way", ["frame", "form"])
def test_a_foreign_page_can_neither_frame_the_cockpit_nor_send_it_a_form(foreign_page, cockpit, foreign, way) -> None:
    page = foreign_page
    statuses: list[int] = []
    page.on("response", lambda one: statuses.append(one.status) if one.url.startswith(cockpit.url) else None)
    page.goto(foreign)
    if way == "frame":
        with page.expect_response(lambda one: one.url.startswith(cockpit.url)):
            page.evaluate(
                "url => new Promise(done => {const f = document.createElement('iframe'); f.onload = done; f.src = url;"
                " document.body.append(f)})",
                f"{cockpit.url}/",
            )
        assert page.frames[-1].locator("#root").count() == 0
    else:
        with page.expect_navigation():
            page.evaluate(
                "url => {const f = document.createElement('form'); f.method = 'POST'; f.action = url;"
                " document.body.append(f); f.submit()}",
                f"{cockpit.url}/logout",
            )
    assert statuses
    assert all(status in (403, 421) for status in statuses), statuses


def test_a_page_whose_name_was_pointed_at_this_machine_gets_nothing(foreign_page, cockpit) -> None:
    port = cockpit.url.rpartition(":")[2]
    # What it asks for here is of its own origin to the browser, and the policy that comes with a refusal does not bind
    # a page that came before its name was pointed here.
    answer = foreign_page.goto(f"http://evil.example:{port}/")
    assert answer is not None
    assert answer.status == 421
    read = "async (path) => (await fetch(path, {credentials: 'include'})).status"
    assert [foreign_page.evaluate(read, path) for path in ("/", "/api/pipes", "/api/me")] == [421] * 3
    opened = """(address) => new Promise((done) => {
        const made = new WebSocket(address);
        made.onopen = () => done("opened");
        made.onerror = () => done("refused");
    })"""
    address = f"ws://evil.example:{port}/socket.io/?EIO=4&transport=websocket"
    assert foreign_page.evaluate(opened, address) == "refused"


def test_the_pages_policy_allows_no_inline_code_and_no_other_hosts(cockpit) -> None:
    policy = httpx.get(f"{cockpit.url}/").headers["content-security-policy"]
    rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy
    assert all("http" not in rule and "*" not in rule for rule in rules.values())
