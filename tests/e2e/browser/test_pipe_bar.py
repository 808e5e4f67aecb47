"""The pipe as a whole: started, stopped, killed, sent events, noted in the audit trail."""

from __future__ import annotations

from playwright.sync_api import expect


def test_the_pipe_is_stopped_and_started(page, cockpit, pipe) -> None:
    page.goto(f"{cockpit.url}/?pipe=stripes")
    commands = page.get_by_role("group", name="Pipe commands")
    commands.get_by_role("button", name="Stop").click()
    expect(page.locator('.routine-node[data-state="idle"]')).to_have_count(5)
    commands.get_by_role("button", name="Start").click()
    expect(page.locator('.routine-node[data-state="running"]')).to_have_count(5)


def test_any_event_is_sent_from_the_bar(page, cockpit, pipe, shoot) -> None:
    page.goto(f"{cockpit.url}/?pipe=stripes")
    page.get_by_role("button", name="Event…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("combobox", name="Event").select_option("NOTE")
    dialog.get_by_role("textbox", name="text").fill("to all")
    dialog.get_by_role("button", name="Send NOTE").click()
    expect(dialog.get_by_role("status")).to_contain_text("noted to all 1 times")
    shoot(page, "event-dialog")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_what_was_sent_is_in_the_audit_trail(page, cockpit, pipe, shoot) -> None:
    page.goto(f"{cockpit.url}/?pipe=stripes&routine=camera")
    page.get_by_role("group", name="Routine commands").get_by_role("button", name="Start").click()
    expect(page.get_by_text("camera: start was sent")).to_be_visible()
    page.get_by_role("button", name="Audit").click()
    page.keyboard.press("Escape")
    row = page.locator(".audit tbody tr").first
    expect(row).to_contain_text("start")
    expect(row).to_contain_text('"routine":"camera"')
    expect(row).to_contain_text("done")
    shoot(page, "audit")


def test_killing_is_confirmed_first(page, cockpit, another_pipe, shoot) -> None:
    another_pipe("doomed")
    page.goto(f"{cockpit.url}/?pipe=doomed")
    expect(page.locator('.routine-node[data-state="running"]')).to_have_count(5)
    page.get_by_role("button", name="Kill…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    shoot(page, "kill-confirmed")
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    expect(page.locator('.routine-node[data-state="running"]')).to_have_count(5)
    page.get_by_role("button", name="Kill…").click()
    dialog.get_by_role("button", name="Kill the pipe").click()
    expect(page.locator('.routine-node[data-state="running"]')).to_have_count(0)
