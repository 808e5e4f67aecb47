"""When something goes wrong: the page says so, and says when it is well again."""

from __future__ import annotations

import os
import re
import signal

from playwright.sync_api import expect


def process_of_flow(page, name: str) -> int:
    page.locator(".flow-chip").filter(has_text=name).click()
    number = page.get_by_role("complementary").locator(".numbers dd").first
    expect(number).to_have_text(re.compile(r"^\d+$"))
    return int(number.inner_text())


def test_a_flow_that_is_killed_from_outside_is_a_problem_until_it_is_back(page, cockpit, another_pipe, shoot) -> None:
    another_pipe("struck")
    page.goto(f"{cockpit.url}/?pipe=struck&view=problems")
    killed = process_of_flow(page, "output")
    page.keyboard.press("Escape")
    os.kill(killed, signal.SIGKILL)
    problem = page.locator('[data-problem="flow-restart output"]')
    expect(problem).to_contain_text("What to do")
    shoot(page, "flow-killed")
    expect(
        page.get_by_role("list", name="Cleared problems").locator('[data-problem="flow-restart output"]')
    ).to_be_visible(timeout=60_000)
    shoot(page, "flow-back")
    page.get_by_role("button", name="Graph", exact=True).click()
    expect(page.locator('[data-routine="report"]')).to_have_attribute("data-state", "running")
    expect(page.locator(".flow-chip").filter(has_text="output")).to_contain_text("↻")


def test_a_failing_routine_is_a_problem_while_it_fails(page, cockpit, pipe) -> None:
    page.goto(f"{cockpit.url}/?pipe=stripes&view=problems&routine=detect")
    page.get_by_role("switch", name="fail").check()
    problem = page.locator('.problem[data-problem="errors detect"]')
    expect(problem).to_contain_text("told to fail")
    page.get_by_role("switch", name="fail").uncheck()
    expect(problem).to_have_count(0)


def test_the_page_says_when_the_server_is_lost_and_goes_on_when_it_is_back(page, own_cockpit, own_pipe, shoot) -> None:
    own_cockpit.start()
    own_pipe()
    page.goto(f"{own_cockpit.url}/?pipe=stripes")
    expect(page.locator('[data-routine="camera"]')).to_have_attribute("data-state", "running")
    own_cockpit.kill()
    expect(page.get_by_role("alert").filter(has_text="disconnected since")).to_be_visible()
    shoot(page, "server-lost")
    own_cockpit.start()
    expect(page.get_by_text("live", exact=True).first).to_be_visible()
    expect(page.locator(".health.good")).to_be_visible()
    page.goto(f"{own_cockpit.url}/?pipe=stripes&view=logs")
    newest = page.locator(".log-row").last
    expect(newest).to_be_visible()
    before = newest.get_attribute("data-number")
    expect(newest).not_to_have_attribute("data-number", str(before))


def test_a_pipe_that_dies_is_shown_as_disconnected_with_its_history(page, cockpit, another_pipe, shoot) -> None:
    running = another_pipe("mortal")
    page.goto(f"{cockpit.url}/?pipe=mortal&view=problems")
    expect(page.locator(".health.good")).to_be_visible()
    running.kill()
    expect(page.locator('[data-problem="disconnected"]')).to_contain_text("Nothing has come from process")
    expect(page.locator(".pipebar")).to_contain_text("disconnected since")
    expect(page.get_by_role("button", name="Start").first).to_be_disabled()
    shoot(page, "pipe-lost")
    page.get_by_role("button", name="Logs", exact=True).click()
    expect(page.locator(".log-row").first).to_be_visible()
