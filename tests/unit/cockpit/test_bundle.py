"""The app's files, and the page that is there when they are not."""

from __future__ import annotations

from pathlib import Path

import flask
import pytest

from pipert2.cockpit.server.bundle import CSP, REASON, Bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "static" / "assets").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret")
    return tmp_path / "static"


def test_without_the_app_the_page_says_why(folder: Path) -> None:
    (folder / REASON).write_text("npm <did> not answer")
    page = Bundle(folder).page()
    assert page.status_code == 503
    assert "npm &lt;did&gt; not answer" in page.get_data(as_text=True)
    assert Bundle(folder / "nowhere").page().status_code == 503


def test_the_page_is_asked_for_each_time_and_hashed_files_never_again(folder: Path) -> None:
    (folder / "index.html").write_text("<!doctype html>")
    (folder / "assets" / "app-123.js").write_text("1")
    (folder / "icon.svg").write_text("<svg/>")
    bundle = Bundle(folder)
    page, script, icon = bundle.page(), bundle.file("assets/app-123.js"), bundle.file("icon.svg")
    assert script is not None
    assert icon is not None
    assert (page.status_code, page.headers["Cache-Control"]) == (200, "no-store")
    assert "immutable" in script.headers["Cache-Control"]
    assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert (icon.headers["Cache-Control"], icon.mimetype) == ("no-cache", "image/svg+xml")
    for response in (page, script, icon):
        assert response.headers["Content-Security-Policy"] == CSP


def test_the_policy_allows_nothing_inline_and_nobody_else() -> None:
    assert "default-src 'none'" in CSP
    assert "unsafe" not in CSP
    assert "http" not in CSP
    assert "*" not in CSP


@pytest.mark.parametrize(
    "path", ["../secret.txt", "assets/../../secret.txt", "/etc/passwd", "assets", "", REASON, "nothing"]
)
def test_nothing_else_is_served(folder: Path, path: str) -> None:
    (folder / REASON).write_text("x")
    found: flask.Response | None = Bundle(folder).file(path)
    assert found is None


def test_links_do_not_lead_out(folder: Path) -> None:
    (folder / "link.txt").symlink_to(folder.parent / "secret.txt")
    assert Bundle(folder).file("link.txt") is None
