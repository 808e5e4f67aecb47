"""The graph of a pipe with a hundred routines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from pipert2.testing import wait_until
from tests.e2e.browser.conftest import CockpitProcess, Running, is_up, start

pytestmark = pytest.mark.timeout(360)


@pytest.fixture
def hundred(own_cockpit: CockpitProcess, tmp_path: Path) -> Iterator[Running]:
    """The pipe ``hundred``."""
    own_cockpit.start()
    script = str(Path(__file__).with_name("large_pipe.py"))
    running = start(script, own_cockpit.url, log=tmp_path / "hundred.log", stdin=True)
    try:
        # Ten processes take their time on a busy machine; what is tested is the page.
        wait_until(lambda: is_up(own_cockpit.url, running), 120.0, "the pipe in the cockpit")
        yield running
    finally:
        running.close()


def open_graph(page: Page, cockpit: CockpitProcess) -> None:
    page.goto(f"{cockpit.url}/")
    page.get_by_role("button", name="hundred").click()
    expect(page.locator(".routine-node[data-state=running]")).to_have_count(100, timeout=120_000)
    expect(page.locator(".graph.far")).to_be_visible()


def test_from_afar_it_shows_names_and_states_and_from_near_numbers(page, own_cockpit, hundred, shoot) -> None:
    open_graph(page, own_cockpit)
    expect(page.locator(".react-flow__edge")).to_have_count(99)
    expect(page.locator(".fact")).to_have_count(0)
    shoot(page, "hundred-from-afar")
    for _ in range(5):
        page.get_by_label("Zoom In").click()
    expect(page.locator(".graph.far")).to_have_count(0)
    expect(page.locator('[data-routine="step 50"] .fact').first).to_contain_text("/s")
    shoot(page, "hundred-from-near")
    page.get_by_label("Fit View").click()
    expect(page.locator(".graph.far")).to_be_visible()


def test_a_routine_that_is_stopped_is_seen_from_afar(page, own_cockpit, hundred) -> None:
    open_graph(page, own_cockpit)
    node = page.locator('[data-routine="step 50"]')
    node.click()
    page.get_by_role("group", name="Routine commands").get_by_role("button", name="Stop").click()
    expect(node).to_have_attribute("data-state", "idle")


def test_all_of_it_is_shown_beside_the_panel_that_a_click_opens(page, own_cockpit, hundred) -> None:
    open_graph(page, own_cockpit)
    page.locator('[data-routine="step 50"]').click()
    panel = page.get_by_role("complementary", name="routine step 50")
    expect(panel).to_be_visible()
    left = panel.bounding_box()["x"]
    expect(page.locator('[data-routine="end 8"]')).to_be_visible()
    page.wait_for_function(
        "left => document.querySelector('[data-routine=\"end 8\"]').getBoundingClientRect().right < left", arg=left
    )


def test_what_the_user_zoomed_to_stays_beside_a_panel_until_all_is_wanted_again(page, own_cockpit, hundred) -> None:
    open_graph(page, own_cockpit)
    for _ in range(5):
        page.get_by_label("Zoom In").click()
    expect(page.locator(".graph.far")).to_have_count(0)
    page.locator('[data-routine="step 50"]').dispatch_event("click")
    panel = page.get_by_role("complementary", name="routine step 50")
    expect(panel).to_be_visible()
    expect(page.locator(".graph.far")).to_have_count(0)
    page.get_by_label("Fit View").click()
    expect(page.locator(".graph.far")).to_be_visible()
    panel.get_by_label("Close the panel").click()
    expect(panel).to_have_count(0)
    edges = "[...document.querySelectorAll('.routine-node')].map(node => node.getBoundingClientRect().right)"
    page.wait_for_function(f"() => Math.max(...{edges}) > 0.8 * innerWidth")
