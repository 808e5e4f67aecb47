"""Dead letters on the page: named as a problem, seen to by operators, kept in the audit trail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.browser.conftest import CockpitProcess, script_beside
from tests.e2e.browser.test_login import log_in


@pytest.fixture
def bakery(cockpit: CockpitProcess, tmp_path: Path) -> Iterator[str]:
    """The name of a pipe whose kitchen gives up each of three orders; one of its own, as the audit trail has all."""
    with script_beside(cockpit, tmp_path, "giving_up_pipe.py", tmp_path.name, tmp_path.name):
        yield tmp_path.name


def test_they_are_a_problem_until_somebody_has_seen_to_them(page, cockpit, bakery, shoot) -> None:
    page.goto(f"{cockpit.url}/?pipe={bakery}&view=problems")
    problem = page.locator('.problem[data-problem="dead-letters kitchen"]')
    expect(problem).to_contain_text("Routine kitchen has given up 3 messages")
    expect(problem).to_contain_text("What to do")
    letters = problem.locator("[data-letter]")
    expect(letters).to_have_count(3)
    expect(letters.nth(2)).to_contain_text("no oven for <b>old</b>")
    letters.first.locator("summary").click()
    expect(letters.first).to_contain_text('{"cake":"plum","eggs":6}')
    shoot(page, "dead-letters")

    letters.first.get_by_role("button", name="Requeue").click()
    expect(page.get_by_text("failed on event 'dead letter 1'")).to_be_visible()
    expect(letters).to_have_count(3)

    problem.get_by_role("button", name="Show routine kitchen").click()
    panel = page.get_by_role("complementary", name="routine kitchen")
    panel.get_by_role("switch", name="oven").check()
    expect(page.get_by_text("kitchen: oven = true")).to_be_visible()  # the switch shows at once what is still under way
    expect(panel.locator("[data-letter]")).to_have_count(3)
    letters.first.get_by_role("button", name="Requeue").click()
    expect(page.get_by_text("dead letter 1 was done")).to_be_visible()
    expect(problem).to_contain_text("has given up 2 messages")
    letters.filter(has_text="old").get_by_role("button", name="Drop").click()
    expect(letters).to_have_count(1)
    letters.first.get_by_role("button", name="Requeue").click()
    expect(problem).to_have_count(0)
    page.keyboard.press("Escape")
    cleared = page.get_by_role("list", name="Cleared problems")
    expect(cleared).to_contain_text("Routine kitchen has given up")

    page.get_by_role("button", name="Audit").click()
    rows = page.locator(".audit tbody tr").filter(has_text=bakery)
    expect(rows.filter(has_text="drop_dead_letter")).to_contain_text('"number":3')
    expect(rows.filter(has_text="requeue_dead_letter")).to_have_count(3)
    shoot(page, "dead-letters-audit")


def test_all_of_a_routine_are_requeued_or_dropped_at_once(page, cockpit, bakery) -> None:
    page.goto(f"{cockpit.url}/?pipe={bakery}&view=problems")
    buttons = page.get_by_role("group", name="All dead letters of kitchen")
    expect(buttons.get_by_role("button", name="Requeue all 3")).to_be_visible()
    buttons.get_by_role("button", name="Requeue all 3").click()
    expect(page.get_by_text("0 requeued, 3 failed again")).to_be_visible()
    buttons.get_by_role("button", name="Drop all…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    dialog.get_by_role("button", name="Drop them").click()
    expect(page.locator('.problem[data-problem="dead-letters kitchen"]')).to_have_count(0)


def test_viewers_see_them_and_can_do_nothing_about_them(page, own_cockpit, tmp_path) -> None:
    own_cockpit.start()
    with script_beside(own_cockpit, tmp_path, "giving_up_pipe.py", "bakery", "bakery"):
        own_cockpit.add_user("bob", "battery staple", "viewer")
        page.goto(f"{own_cockpit.url}/?pipe=bakery&view=problems")
        log_in(page, "bob", "battery staple")
        problem = page.locator('.problem[data-problem="dead-letters kitchen"]')
        expect(problem.locator("[data-letter]")).to_have_count(3)
        expect(problem.get_by_role("button", name="Requeue")).to_have_count(0)
        expect(problem.get_by_role("button", name="Drop")).to_have_count(0)
