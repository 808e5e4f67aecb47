"""The page over TLS: log in, watch and drive, all of it encrypted."""

from __future__ import annotations

import shutil

import pytest
from playwright.sync_api import expect

from tests.e2e.browser.test_login import log_in
from tests.integration.cockpit_tls import make_certificates


def test_the_page_is_used_over_tls(new_page, own_cockpit, own_pipe, tmp_path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here")
    own_cockpit.certificates = make_certificates(tmp_path)
    own_cockpit.add_user("ada", "correct horse", "operator")
    own_cockpit.start()
    assert own_cockpit.url.startswith("https://")
    page = new_page(any_certificate=True)
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    page.goto(f"{own_cockpit.url}/")
    log_in(page, "ada", "correct horse")
    own_pipe(lambda: page.get_by_role("button", name="stripes").count() == 1)
    assert all(cookie["secure"] for cookie in page.context.cookies())
    page.get_by_role("button", name="stripes").click()
    expect(page.locator('[data-routine="camera"]')).to_have_attribute("data-state", "running")
    page.get_by_role("group", name="Pipe commands").get_by_role("button", name="Stop").click()
    expect(page.locator('[data-routine="camera"]')).to_have_attribute("data-state", "idle")
    assert sockets
    assert all(url.startswith("wss://") for url in sockets)
