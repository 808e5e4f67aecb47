"""The example with its cockpit: one command, and the page that it prints shows the faces live."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from pipert2.testing import wait_until
from tests.e2e.browser.conftest import ROOT, start

pytestmark = pytest.mark.timeout(480)
PICTURE = ROOT / "docs" / "images" / "cockpit.png"
"""The picture of the README; ``PIPERT2_WRITE_DOCS=1`` has this test take it anew."""


def test_the_page_that_it_prints_shows_the_faces_live(new_page, bundle: None, shoot, tmp_path: Path) -> None:
    write = os.environ.get("PIPERT2_WRITE_DOCS") == "1"
    (tmp_path / ".env").write_text(f"PIPERT2_COCKPIT_PORT=0\nPIPERT2_COCKPIT_DATABASE={tmp_path / 'cockpit.db'}\n")
    command = (str(ROOT / "examples" / "face_watch.py"), "--live", "--cockpit", "--output", "faces.mp4")
    # To make a large film takes a busy machine longer than it lasts, and what is looked at is the page.
    film = ("--duration", "110", "--size", "640x360") if write else ("--duration", "60", "--size", "320x180")
    running = start(*command, *film, log=tmp_path / "face_watch.log")
    try:
        found = wait_until(lambda: re.search(r"http://\S+/\?pipe=\S+", running.log.read_text()), 300.0, "the address")
        page = new_page()
        page.goto(f"{found[0]}&routine=marker&range=5m")
        expect(page.locator('[data-routine="marker"]')).to_have_attribute("data-state", "running")
        page.get_by_role("button", name="Show frames").click()
        output = page.locator(".frame img[alt='output of marker']")
        expect(output).to_be_visible()
        first = output.get_attribute("data-number")
        expect(output).not_to_have_attribute("data-number", str(first))
        expect(page.locator(".chart canvas").first).to_be_visible()
        if write:
            page.wait_for_timeout(15_000)  # so that the charts have something to show
            page.screenshot(path=PICTURE)
        shoot(page, "face-watch")
    finally:
        running.close()
