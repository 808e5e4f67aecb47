"""The graph of a pipe with a hundred routines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser.conftest import CockpitProcess, Running, script_beside

pytestmark = pytest.mark.timeout(360)


@pytest.fixture(scope="module")
def hundred(cockpit: CockpitProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The pipe ``hundred``."""
    with script_beside(cockpit, tmp_path_factory.mktemp("hundred"), "large_pipe.py", "hundred") as running:
        yield running


def open_graph(page: Page, cockpit: CockpitProcess) -> None:
    page.goto(f"{cockpit.url}/")
    page.get_by_role("button", name="hundred").click()
    expect(page.locator(".routine-node[data-state=running]")).to_have_count(100, timeout=120_000)
    expect(page.locator(".graph.far")).to_be_visible()


def test_from_afar_it_shows_names_and_states_and_from_near_numbers(page, cockpit, hundred, shoot) -> None:
    open_graph(page, cockpit)
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


def test_a_routine_that_is_stopped_is_seen_from_afar(page, cockpit, hundred) -> None:
    open_graph(page, cockpit)
    node = page.locator('[data-routine="step 50"]')
    node.click()
    commands = page.get_by_role("group", name="Routine commands")
    commands.get_by_role("button", name="Stop").click()
    expect(node).to_have_attribute("data-state", "idle")
    commands.get_by_role("button", name="Start").click()
    expect(node).to_have_attribute("data-state", "running")


def test_all_of_it_is_shown_beside_the_panel_that_a_click_opens(page, cockpit, hundred) -> None:
    open_graph(page, cockpit)
    page.locator('[data-routine="step 50"]').click()
    panel = page.get_by_role("complementary", name="routine step 50")
    expect(panel).to_be_visible()
    left = panel.bounding_box()["x"]
    expect(page.locator('[data-routine="end 8"]')).to_be_visible()
    page.wait_for_function(
        "left => document.querySelector('[data-routine=\"end 8\"]').getBoundingClientRect().right < left", arg=left
    )


def test_what_the_user_zoomed_to_stays_beside_a_panel_until_all_is_wanted_again(page, cockpit, hundred) -> None:
    open_graph(page, cockpit)
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
