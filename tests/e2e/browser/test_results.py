"""What a reducer publishes, seen in the panel of its routine while the scan goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser.conftest import ROOT, CockpitProcess, NewPage, Running, Shoot, script_beside

PICTURE = ROOT / "docs" / "images" / "results.png"
"""The picture of the documentation; ``PIPERT2_WRITE_DOCS=1`` has this test take it anew."""
WRITE = os.environ.get("PIPERT2_WRITE_DOCS") == "1"
CONTRAST = Path(__file__).with_name("contrast.js").read_text("utf-8")
MARKUP = "steel 12" if WRITE else "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def scan(cockpit: CockpitProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The pipe ``xrd``."""
    with script_beside(cockpit, tmp_path_factory.mktemp("xrd"), "results_pipe.py", "xrd", MARKUP) as running:
        yield running


def open_results(page: Page, cockpit: CockpitProcess) -> None:
    page.goto(f"{cockpit.url}/?pipe=xrd&routine=reduce")
    expect(page.get_by_role("list", name="Results of reduce")).to_be_visible()


def test_numbers_arrays_and_images_grow_while_the_scan_runs(
    new_page: NewPage, cockpit: CockpitProcess, scan: Running, shoot: Shoot
) -> None:
    page = new_page(height=1000)
    open_results(page, cockpit)
    frames = page.locator("[data-result='scan/frames']")
    expect(frames.locator("canvas")).to_be_visible()
    before = int(frames.locator(".result-value").inner_text())
    page.wait_for_function(
        "before => Number(document.querySelector(\"[data-result='scan/frames'] .result-value\").textContent) > before",
        arg=before,
    )
    intensity = page.get_by_role("img", name="scan/intensity over time")
    intensity.scroll_into_view_if_needed()
    expect(intensity.locator("canvas")).to_be_visible()
    expect(page.get_by_role("img", name="elements of profile").locator("canvas")).to_be_visible()
    expect(page.locator("[data-result=profile]")).to_contain_text("96 float64")
    picture = page.get_by_alt_text("map, 60 x 90 float64")
    expect(picture).to_have_js_property("naturalWidth", 90)  # it has its place on the page before it is loaded
    expect(picture).to_have_js_property("naturalHeight", 60)
    expect(picture).to_be_visible()
    address = picture.get_attribute("src")
    expect(picture).not_to_have_attribute("src", str(address))
    expect(page.locator("[data-result='scan/no beam']")).to_contain_text("nan")
    expect(page.locator("[data-result=map_attrs]")).to_have_count(0)
    assert page.title() != "owned"
    sample = page.locator(f"[data-result={json.dumps(f'scan/sample {MARKUP}')}]")
    expect(sample).to_contain_text(f"scan/sample {MARKUP}")
    expect(sample).to_contain_text(f"{MARKUP}, annealed")
    expect(page.locator(".results img[src=x]")).to_have_count(0)
    page.locator(".results").evaluate("list => list.closest('section').scrollIntoView()")
    if WRITE:
        page.wait_for_timeout(20_000)  # so that there is something to see
        page.screenshot(path=PICTURE)
    shoot(page, "results-light")


def test_they_are_there_in_the_dark_and_on_a_tablet(
    new_page: NewPage, cockpit: CockpitProcess, scan: Running, shoot: Shoot
) -> None:
    for name, options in {
        "results-dark": {"height": 1000, "scheme": "dark"},
        "results-tablet": {"width": 834, "height": 1112, "touch": True},
    }.items():
        page = new_page(**options)
        open_results(page, cockpit)
        expect(page.get_by_alt_text("map, 60 x 90 float64")).to_be_visible()
        expect(page.get_by_role("img", name="elements of profile").locator("canvas")).to_be_visible()
        page.locator(".results").evaluate("list => list.closest('section').scrollIntoView()")
        body = page.locator(".panel-body")
        assert body.evaluate("body => body.scrollWidth <= body.clientWidth")
        assert page.evaluate(CONTRAST) == []
        shoot(page, name)


def test_of_many_results_some_are_drawn_and_all_if_wanted(
    page: Page, cockpit: CockpitProcess, scan: Running, shoot: Shoot
) -> None:
    page.goto(f"{cockpit.url}/?pipe=xrd&routine=detector")
    results = page.get_by_role("list", name="Results of detector").get_by_role("listitem")
    expect(results).to_have_count(30)
    expect(results.nth(9)).to_contain_text("row 10")
    page.get_by_role("button", name="Show all 40 results").click()
    expect(results).to_have_count(40)
    results.last.scroll_into_view_if_needed()
    expect(results.last.locator("canvas")).to_be_visible()
    shoot(page, "results-many")


def test_a_routine_that_shows_nothing_has_no_results(page: Page, cockpit: CockpitProcess, scan: Running) -> None:
    page.goto(f"{cockpit.url}/?pipe=xrd&routine=align")
    expect(page.get_by_role("heading", name="Log level")).to_be_visible()
    expect(page.get_by_role("heading", name="Results")).to_have_count(0)
