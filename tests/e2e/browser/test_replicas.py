"""What flows wait for, and how many replicas they have, on the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.browser.conftest import CockpitProcess, Running, script_beside


@pytest.fixture
def market(cockpit: CockpitProcess, tmp_path: Path) -> Iterator[Running]:
    """The pipe ``market``, which waits for its price."""
    with script_beside(cockpit, tmp_path, "waiting_pipe.py", "market", state="built") as running:
        yield running


def test_a_flow_that_waits_is_a_problem_and_its_replicas_are_counted_and_changed(page, cockpit, market, shoot) -> None:
    page.goto(f"{cockpit.url}/?pipe=market&view=problems")
    problem = page.locator('.problem[data-problem="flow-waits counter"]')
    expect(problem).to_contain_text("Flow counter waits for parameter 'price'")
    expect(problem).to_contain_text("pipert2 params price=VALUE")
    expect(page.locator(".problem")).to_have_count(3)
    shoot(page, "waits")
    problem.get_by_role("button", name="In the graph").click()
    head = page.locator(".flow-node").filter(has_text="counter")
    expect(head).to_contain_text("waits for parameter 'price'")
    expect(head.locator("[data-replicas]")).to_have_attribute("data-replicas", "1")

    panel = page.get_by_role("complementary", name="flow counter")
    expect(panel).to_contain_text("waits for parameter 'price'")
    assert market.process.stdin is not None
    market.process.stdin.write("0.004\n")
    market.process.stdin.flush()
    expect(head).not_to_contain_text("waits")
    panel.get_by_role("button", name="One replica more").click()
    expect(head.locator("[data-replicas]")).to_have_attribute("data-replicas", "2")
    expect(panel.get_by_role("group", name="Replicas")).to_contain_text("2 replicas")
    shoot(page, "replicas")
    panel.get_by_role("button", name="One replica fewer").click()
    expect(head.locator("[data-replicas]")).to_have_attribute("data-replicas", "1")
    expect(panel.get_by_role("button", name="One replica fewer")).to_be_disabled()


def test_what_a_pipe_waits_for_is_set_on_the_page_and_a_routine_is_called_there(page, cockpit, market, shoot) -> None:
    page.goto(f"{cockpit.url}/?pipe=market&selection=flow+counter")
    head = page.locator(".flow-node").filter(has_text="counter")
    expect(head).to_contain_text("waits for parameter 'price'")
    page.get_by_role("button", name="Parameters…").click()
    dialog = page.get_by_role("dialog")
    price = dialog.get_by_label("price")
    price.fill('{"a":')
    dialog.get_by_role("button", name="Set").click()
    expect(dialog).to_contain_text("this is not JSON yet")
    price.fill("0.5")
    dialog.get_by_label("Name of another one").fill("shop")
    dialog.get_by_label("Its value").fill("corner")
    shoot(page, "shared-parameters")
    dialog.get_by_role("button", name="Set").click()
    expect(dialog.get_by_label("shop")).to_have_value('"corner"')
    expect(price).to_have_value("0.5")
    dialog.get_by_role("button", name="Close").click()
    expect(head).not_to_contain_text("waits")

    page.locator('[data-routine="scales"]').click()
    call = page.get_by_role("form", name="Call scales")
    call.get_by_label("data").fill("120")
    call.get_by_role("button", name="Call").click()
    expect(call.get_by_role("status")).to_have_text("60")
    shoot(page, "call")
