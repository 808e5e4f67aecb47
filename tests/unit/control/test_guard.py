"""The guard around the control API, with a client and an app made for the tests."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from pipert2.control.http.answers import Answer, Message, send_answer
from pipert2.control.http.guard import ABORT, Guard, escaped
from pipert2.control.http.rules import HttpRules
from pipert2.control.http.tokens import Tokens
from pipert2.control.verbs import Scope
from pipert2.errors import ControlError

CONTROL = "control-token-of-the-tests"
READ = "read-token-of-the-tests-00"
TOKENS = Tokens([(CONTROL, Scope.CONTROL), (READ, Scope.READ)])
NONE = Tokens.none()


class App:
    """Answers 200 with the body that it got, and remembers that it was reached."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.bodies: list[bytes] = []
        self._failure = failure

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.bodies.append(body)
        if self._failure is not None:
            raise self._failure
        await send_answer(send, Answer(200, [(b"content-type", b"text/plain")], body))


class Exchange:
    """What came of a request."""

    def __init__(self, app: App, sent: list[Message], aborted: bool) -> None:
        self.reached = bool(app.bodies)
        self.bodies = app.bodies
        start = next((message for message in sent if message["type"] == "http.response.start"), None)
        self.status = start["status"] if start else None
        self.headers = {name.decode(): value.decode() for name, value in start["headers"]} if start else {}
        self.body = b"".join(message.get("body", b"") for message in sent)
        self.sent = sent
        self.aborted = aborted

    @property
    def error(self) -> dict[str, Any]:
        return json.loads(self.body)["error"]


def ask(
    rules: HttpRules,
    headers: dict[str, str] | list[tuple[str, str]] | None = None,
    *,
    method: str = "GET",
    path: str = "/api/v1/status",
    query: bytes = b"",
    parts: list[bytes] | None = None,
    kind: str = "http",
    scheme: str = "http",
    server: tuple[str, int] = ("127.0.0.1", 8320),
    failure: Exception | None = None,
    **options: Any,
) -> Exchange:
    """Send a request through a guard. Its body is *parts*; one that ends with None stops in the middle."""
    given = list((headers or {}).items()) if not isinstance(headers, list) else headers
    if not any(name == "host" for name, _ in given):
        given.insert(0, ("host", "127.0.0.1:8320"))
    if parts is not None and not any(name == "content-length" for name, _ in given):
        given.append(("transfer-encoding", "chunked"))
    app, sent, aborted = App(failure), [], []
    scope: Message = {
        "type": kind,
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in given],
        "scheme": scheme,
        "server": server,
        "client": ("127.0.0.1", 5000),
        "state": {ABORT: lambda: aborted.append(True)},
    }
    coming: list[Any] = list(parts) if parts else [b""]

    async def receive() -> Message:
        if kind == "websocket":
            return {"type": "websocket.connect"}
        if not coming:
            return {"type": "http.disconnect"}
        part = coming.pop(0)
        if part is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": part, "more_body": bool(coming)}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(Guard(app, rules, **options)(scope, receive, send))
    return Exchange(app, sent, bool(aborted))


# --- Host: DNS rebinding


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8320",
        "localhost:8320",
        "LOCALHOST:8320",
        "localhost",
        "localhost.:8320",
        "[::1]:8320",
        "127.0.0.1:9000",
    ],
)
def test_who_calls_it_by_its_own_name_is_let_in(host: str) -> None:
    assert ask(HttpRules(NONE), {"host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8320",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "10.0.0.1:8320",
        "",
        "[::1",
        "a b",
        "x@127.0.0.1",
        "127.0.0.1:8320, evil.example",
        "localhost:80:80",
        "localhost:x",
    ],
)
def test_who_calls_it_by_another_name_is_refused_with_421(host: str) -> None:
    found = ask(HttpRules(NONE), {"host": host})

    assert (found.status, found.reached) == (421, False)
    assert "allowed_hosts" in found.error["message"]


def test_two_host_headers_fit_nothing() -> None:
    found = ask(HttpRules(NONE), [("host", "127.0.0.1:8320"), ("host", "evil.example")])

    assert (found.status, found.reached) == (421, False)


def test_the_address_that_the_client_connected_to_is_a_name_of_its_own() -> None:
    assert ask(HttpRules(NONE), {"host": "192.168.1.5:8320"}, server=("192.168.1.5", 8320)).status == 200
    assert ask(HttpRules(NONE), {"host": "192.168.1.5:8320"}, server=("::ffff:192.168.1.5", 8320)).status == 200
    assert ask(HttpRules(NONE), {"host": "192.168.1.6:8320"}, server=("192.168.1.5", 8320)).status == 421


def test_names_can_be_added_with_and_without_a_port() -> None:
    rules = HttpRules(NONE, hosts=["Robot.local", "panel:99", "fe80::1"])

    assert ask(rules, {"host": "robot.local:8320"}).status == 200
    assert ask(rules, {"host": "panel:99"}).status == 200
    assert ask(rules, {"host": "panel:98"}).status == 421
    assert ask(rules, {"host": "[fe80:0::1]:8320"}).status == 200


@pytest.mark.parametrize("bad", ["http://robot.local", "robot local", "", "*"])
def test_a_name_that_is_none_cannot_be_added(bad: str) -> None:
    with pytest.raises(ControlError, match="allowed_hosts"):
        HttpRules(NONE, hosts=[bad])


# --- Origin, Sec-Fetch-Site, prefetching: pages in the operator's browser


def test_a_client_that_is_no_browser_is_let_in() -> None:
    assert ask(HttpRules(NONE), {"user-agent": "curl/8"}).status == 200


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8320", "HTTP://127.0.0.1:8320"])
def test_a_page_of_its_own_is_let_in(origin: str) -> None:
    assert ask(HttpRules(NONE), {"origin": origin, "sec-fetch-site": "same-origin"}).status == 200


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://127.0.0.1:3000",
        "https://127.0.0.1:8320",
        "http://localhost:8320",
        "file://",
        "",
        "http://127.0.0.1:8320, https://evil.example",
        "http://127.0.0.1:8320@evil.example",
        "http://127.0.0.1",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_a_page_of_another_origin_is_refused(origin: str, method: str) -> None:
    found = ask(HttpRules(NONE), {"origin": origin}, method=method, path="/start")

    assert (found.status, found.reached) == (403, False)
    assert "access-control-allow-origin" not in found.headers


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "other"])
def test_what_a_browser_asks_for_another_site_is_refused(site: str) -> None:
    found = ask(HttpRules(NONE), {"sec-fetch-site": site}, path="/start")

    assert (found.status, found.reached) == (403, False)


def test_what_the_operator_types_is_let_in() -> None:
    assert ask(HttpRules(NONE), {"sec-fetch-site": "none"}).status == 200


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("purpose", "Prefetch"),
        ("x-moz", "prefetch"),
    ],
)
def test_prefetching_is_refused(header: str, value: str) -> None:
    found = ask(HttpRules(NONE), {header: value, "sec-fetch-site": "none"}, path="/start")

    assert (found.status, found.reached) == (403, False)


def test_a_page_that_was_named_is_let_in_and_told_so() -> None:
    rules = HttpRules(NONE, origins=["https://panel.example"])

    found = ask(rules, {"origin": "https://panel.example", "sec-fetch-site": "cross-site"})

    assert found.status == 200
    assert found.headers["access-control-allow-origin"] == "https://panel.example"
    assert found.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in found.headers


def test_a_page_that_was_named_may_ask_beforehand_without_a_token() -> None:
    rules = HttpRules(TOKENS, origins=["https://panel.example"])

    found = ask(rules, {"origin": "https://panel.example"}, method="OPTIONS", path="/api/v1/start")

    assert (found.status, found.reached) == (204, False)
    assert "Authorization" in found.headers["access-control-allow-headers"]
    assert "POST" in found.headers["access-control-allow-methods"]


def test_naming_one_page_opens_nothing_for_others() -> None:
    rules = HttpRules(NONE, origins=["https://panel.example"])

    for origin in ("https://evil.example", "http://panel.example", "https://panel.example:444"):
        found = ask(rules, {"origin": origin})
        assert found.status == 403
        assert "access-control-allow-origin" not in found.headers
    assert ask(rules, {"sec-fetch-site": "cross-site"}).status == 403


@pytest.mark.parametrize("bad", ["*", "panel.example", "https://panel.example/path", "null", "ws://panel.example", ""])
def test_an_origin_that_is_none_cannot_be_named(bad: str) -> None:
    with pytest.raises(ControlError, match="allowed_origins"):
        HttpRules(NONE, origins=[bad])


def test_over_tls_its_own_pages_are_those_with_https() -> None:
    rules = HttpRules(NONE)

    assert ask(rules, {"origin": "https://127.0.0.1:8320"}, scheme="https").status == 200
    assert ask(rules, {"origin": "http://127.0.0.1:8320"}, scheme="https").status == 403


# --- tokens


@pytest.mark.parametrize(
    "shown", [None, "", "Bearer", "Bearer ", f"Basic {CONTROL}", CONTROL, "Bearer wrong-wrong-wrong-wrong"]
)
@pytest.mark.parametrize("path", ["/api/v1/status", "/start", "/metrics", "/nothing/here"])
def test_without_a_known_token_nothing_is_told(shown: str | None, path: str) -> None:
    found = ask(HttpRules(TOKENS), {} if shown is None else {"authorization": shown}, path=path)

    assert (found.status, found.reached) == (401, False)
    assert found.headers["www-authenticate"].startswith("Bearer ")
    assert found.error["code"] == "unauthorized"


def test_two_tokens_at_once_are_none() -> None:
    headers = [("authorization", f"Bearer {CONTROL}"), ("authorization", "Bearer wrong")]

    assert ask(HttpRules(TOKENS), headers).status == 401


@pytest.mark.parametrize("word", ["Bearer", "bearer", "BEARER"])
def test_the_control_token_may_do_all(word: str) -> None:
    for method, path in (("GET", "/api/v1/status"), ("POST", "/api/v1/start"), ("GET", "/start")):
        assert ask(HttpRules(TOKENS), {"authorization": f"{word} {CONTROL}"}, method=method, path=path).status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/start"),
        ("GET", "/start"),
        ("HEAD", "/kill"),
        ("GET", "/kill/"),
        ("POST", "/nothing/here"),
        ("GET", "/routines/camera/events/stop/execute"),
        ("PATCH", "/api/v1/routines/camera/parameters"),
    ],
)
def test_the_read_token_may_not_control(method: str, path: str) -> None:
    found = ask(HttpRules(TOKENS), {"authorization": f"Bearer {READ}"}, method=method, path=path)

    assert (found.status, found.reached) == (403, False)
    assert 'scope="control"' in found.headers["www-authenticate"]


def test_the_read_token_may_look() -> None:
    for path in ("/api/v1/status", "/metrics", "/pipe/structure"):
        assert ask(HttpRules(TOKENS), {"authorization": f"Bearer {READ}"}, path=path).status == 200


def test_the_probes_need_no_token_but_are_no_door_for_pages() -> None:
    assert ask(HttpRules(TOKENS), path="/healthz").status == 200
    assert ask(HttpRules(TOKENS), path="/readyz").status == 200
    assert ask(HttpRules(TOKENS), {"host": "evil.example"}, path="/healthz").status == 421


# --- sizes and times


def test_a_body_arrives_whole() -> None:
    assert ask(HttpRules(NONE), method="POST", parts=[b"one ", b"two"]).bodies == [b"one two"]


def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    found = ask(HttpRules(NONE), {"content-length": "11"}, method="POST", parts=[b"x" * 11], largest_body=10)

    assert (found.status, found.reached) == (413, False)
    assert found.error["code"] == "too_large"
    assert found.headers["connection"] == "close"


def test_a_body_that_turns_out_too_large_is_given_up() -> None:
    found = ask(HttpRules(NONE), method="POST", parts=[b"x" * 6, b"x" * 6, b"x" * 6], largest_body=10)

    assert (found.status, found.reached) == (413, False)


def test_a_body_as_large_as_is_allowed_is_read() -> None:
    assert ask(HttpRules(NONE), method="POST", parts=[b"x" * 10], largest_body=10).status == 200


def test_a_body_that_does_not_come_is_given_up_with_408() -> None:
    found = ask(HttpRules(NONE), method="POST", parts=[b"{", None], body_seconds=0.05)  # type: ignore[list-item]

    assert (found.status, found.reached) == (408, False)
    assert found.headers["connection"] == "close"


def test_a_client_that_leaves_in_the_middle_of_its_body_gets_no_answer_and_does_nothing() -> None:
    async def gone() -> list[Message]:
        app, sent = App(), []
        messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]

        async def receive() -> Message:
            return messages.pop(0)

        async def send(message: Message) -> None:
            sent.append(message)

        headers = [(b"host", b"localhost"), (b"content-length", b"9")]
        scope = {"type": "http", "method": "POST", "path": "/start", "query_string": b"", "headers": headers}
        await Guard(app, HttpRules(NONE))({**scope, "scheme": "http", "server": None}, receive, send)
        assert not app.bodies
        return sent

    assert asyncio.run(gone()) == []


@pytest.mark.parametrize(("path", "query"), [("/" + "x" * 3000, b""), ("/start", b"x" * 20_000)])
def test_endless_paths_and_queries_are_refused_with_414(path: str, query: bytes) -> None:
    found = ask(HttpRules(NONE), path=path, query=query)

    assert (found.status, found.reached) == (414, False)


@pytest.mark.parametrize(
    "path",
    [
        "http://evil.example/start",
        "*",
        "",
        "//start",
        "/routines//events/x",
        "/start\n2026 ERROR forged",
        "/a\x00b",
        "/\x1b[2J",
    ],
)
def test_paths_that_are_none_are_refused(path: str) -> None:
    assert ask(HttpRules(NONE), path=path).status == 400


def test_a_client_that_does_not_read_is_cut_off() -> None:
    async def stalled() -> bool:
        cut = asyncio.Event()

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            await cut.wait()  # as the server's send, which returns when the connection is gone

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/",
            "query_string": b"",
            "headers": [(b"host", b"localhost")],
        }
        more = {"scheme": "http", "server": None, "state": {ABORT: cut.set}}
        await asyncio.wait_for(Guard(App(), HttpRules(NONE), read_seconds=0.05)({**scope, **more}, receive, send), 10)
        return cut.is_set()

    assert asyncio.run(stalled())


# --- answers


@pytest.mark.parametrize("path", ["/api/v1/status", "/" + "x" * 3000])
def test_every_answer_carries_the_security_headers(path: str) -> None:
    headers = ask(HttpRules(NONE), path=path).headers

    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.expects_errors
def test_an_app_that_fails_is_answered_for_with_500_and_without_its_words() -> None:
    found = ask(HttpRules(NONE), failure=RuntimeError("the secret"))

    assert found.status == 500
    assert found.error["code"] == "internal"
    assert b"secret" not in found.body


def test_refusals_are_logged_escaped_and_of_each_kind_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        ask(HttpRules(NONE), path="/start\r\n2026 CRITICAL forged \x1b[31m" + "x" * 500)

    (record,) = caplog.records
    line = record.getMessage()
    assert "\n" not in line
    assert "\r" not in line
    assert "\x1b" not in line
    assert len(line) < 300
    assert record.levelno == logging.WARNING


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "\x1b[31m", "ü\u2028x", "%s %d", "'\""])
def test_escaped_text_is_one_plain_line(text: str) -> None:
    line = escaped(text)

    assert line.isascii()
    assert line.isprintable()


# --- websockets go through the same rules


def test_a_websocket_of_a_foreign_page_is_refused_before_it_is_accepted() -> None:
    found = ask(HttpRules(NONE), {"origin": "https://evil.example"}, kind="websocket", scheme="ws")

    assert not found.reached
    assert found.sent == [{"type": "websocket.close", "code": 1008}]


def test_a_websocket_of_its_own_page_gets_through() -> None:
    assert ask(HttpRules(NONE), {"origin": "http://127.0.0.1:8320"}, kind="websocket", scheme="ws").reached
