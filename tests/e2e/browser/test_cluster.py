"""A pipe on a cluster on the page: its hosts are shown, and what is on another host is seen and driven as if it were
here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.browser.conftest import CockpitProcess, script_beside
from tests.ray_nodes import HAVE_RAY, RayNodes

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(not HAVE_RAY, reason='a cluster needs Ray and Zenoh: pip install "pipert2[cluster]"'),
]
HERE, THERE = "127.0.0.1", "127.0.0.2"
"""Addresses of this machine: of the driver, and of a node of Ray beside the head, so that there are two hosts."""


@pytest.fixture
def two_hosts(cockpit: CockpitProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The pipe ``two hosts``: camera and report here, the work there."""
    nodes = RayNodes(tmp_path, [{"CPU": 1}, {"CPU": 1, "edge": 1, "address": THERE}])
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", nodes.token)
    try:
        with script_beside(cockpit, tmp_path, "cluster_pipe.py", "two hosts", f"ray://{nodes.address}?listen={HERE}"):
            yield
    finally:
        nodes.close()


def test_what_is_on_another_host_is_seen_and_driven_from_the_page(page, cockpit, two_hosts, shoot) -> None:
    page.goto(f"{cockpit.url}/?pipe=two+hosts")
    for flow, host in (("input", HERE), ("work", THERE), ("output", HERE)):
        expect(page.locator(".flow-node").filter(has_text=flow).locator(".flow-host")).to_have_text(f"on {host}")
    shoot(page, "cluster-graph")

    page.goto(f"{cockpit.url}/?pipe=two+hosts&flow=work")
    panel = page.get_by_role("complementary", name="flow work")
    expect(panel.locator("dt:has-text('host') + dd")).to_have_text(THERE)
    expect(panel.locator("dt:has-text('its clock') + dd")).to_contain_text("ms")
    process = panel.locator("dt:has-text('process') + dd").inner_text()
    shoot(page, "cluster-flow")

    page.goto(f"{cockpit.url}/?pipe=two+hosts&routine=finder")
    form = page.get_by_role("form", name="Event WHERE")
    form.get_by_role("button", name="Send WHERE").click()
    expect(form.get_by_role("status")).to_contain_text(process)

    page.goto(f"{cockpit.url}/?pipe=two+hosts&routine=brighten")
    gain = page.get_by_role("spinbutton", name="gain")
    gain.fill("2.5")
    gain.press("Enter")
    expect(page.get_by_text("brighten: gain = 2.5")).to_be_visible()
    form = page.get_by_role("form", name="Event NOTE")
    form.get_by_role("textbox", name="text").fill("from the page")
    form.get_by_role("button", name="Send NOTE").click()
    expect(form.get_by_role("status")).to_contain_text("noted from the page 1 times with gain 2.5")
    page.get_by_role("button", name="Show frames").click()
    after = page.get_by_alt_text("output of brighten")
    first = after.get_attribute("data-number")
    expect(after).not_to_have_attribute("data-number", str(first))
    expect(page.get_by_alt_text("input of brighten")).to_be_visible()
    after.scroll_into_view_if_needed()
    shoot(page, "cluster-frames")

    page.goto(f"{cockpit.url}/?pipe=two+hosts&view=logs&in_routine=brighten")
    expect(page.get_by_text("noted: from the page")).to_be_visible()
    page.goto(f"{cockpit.url}/?pipe=two+hosts&view=logs&in_flow=work")
    expect(page.get_by_text("found in a picture of 172800 bytes").first).to_be_visible()
    shoot(page, "cluster-logs")
