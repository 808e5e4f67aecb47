"""The log: live, searched to the beginning, and never run."""

from __future__ import annotations

from playwright.sync_api import expect

from pipert2.testing import wait_until


def _followed_list(page, cockpit):
    """The list of records, which goes on by itself, and is longer than there is room for."""
    page.goto(f"{cockpit.url}/?pipe=stripes&view=logs")
    list_ = page.get_by_role("region", name="Records", exact=True)
    expect(page.locator(".tail-bar").get_by_text("live")).to_be_visible()
    wait_until(lambda: list_.evaluate("e => e.scrollTop > 200"), 20.0, "more records than there is room for")
    return list_


def test_new_records_come_by_themselves_and_can_be_held_still(page, cockpit, pipe, shoot) -> None:
    page.goto(f"{cockpit.url}/?pipe=stripes&view=logs")
    rows = page.locator(".log-row")
    expect(rows.first).to_be_visible()
    newest = rows.last.get_attribute("data-number")
    expect(rows.last).not_to_have_attribute("data-number", str(newest))
    shoot(page, "logs-live")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("held still,")).to_be_visible()
    held = rows.last.get_attribute("data-number")
    expect(page.get_by_text("held still,")).to_contain_text("new")
    assert rows.last.get_attribute("data-number") == held
    page.get_by_role("button", name="Go on").click()
    expect(rows.last).not_to_have_attribute("data-number", str(held))


def test_a_list_that_is_held_still_stays_so_when_the_browser_tells_late_that_it_moved(page, cockpit, pipe) -> None:
    list_ = _followed_list(page, cockpit)
    list_.evaluate("e => { document.querySelector('.tail-bar button').click(); e.dispatchEvent(new Event('scroll')) }")
    expect(page.get_by_text("held still,")).to_contain_text("new")


def test_a_list_whose_room_becomes_smaller_goes_on(page, cockpit, pipe) -> None:
    list_ = _followed_list(page, cockpit)
    # A line more above it, and the browser tells of an earlier movement of the list only then.
    list_.evaluate("e => { e.style.maxHeight = '120px'; e.dispatchEvent(new Event('scroll')) }")
    newest = page.locator(".log-row").last.get_attribute("data-number")
    expect(page.locator(".log-row").last).not_to_have_attribute("data-number", str(newest))
    expect(page.locator(".tail-bar").get_by_text("live")).to_be_visible()
    wait_until(lambda: list_.evaluate("e => e.scrollTop + e.clientHeight >= e.scrollHeight - 22"), 20.0, "the end")


def test_an_old_line_is_found_and_its_markup_is_shown_not_run(page, cockpit, pipe, shoot) -> None:
    page.goto(f"{cockpit.url}/?pipe=stripes&view=logs")
    page.get_by_label("Search the log").fill("markup is shown")
    row = page.locator(".log-row").first
    expect(row).to_contain_text("<img src=x onerror=")
    expect(row.locator("mark").first).to_have_text("markup")
    expect(page.locator(".log-row").filter(has_not_text="markup is shown")).to_have_count(0)
    row.locator(".log-open").click()
    expect(page.get_by_role("region", name="The record")).to_contain_text("<script>document.title='owned'</script>")
    assert "owned" not in page.title()
    assert "text=markup" in page.url
    shoot(page, "log-search")


def test_a_click_leads_from_a_record_to_its_routine(page, cockpit, pipe) -> None:
    page.goto(f"{cockpit.url}/?pipe=stripes&view=logs&in_routine=report")
    page.get_by_role("button", name="Pause").click()
    page.locator(".log-origin").first.click()
    expect(page.get_by_role("complementary", name="routine report")).to_be_visible()


def test_a_link_carries_the_filters(page, cockpit, pipe) -> None:
    page.goto(f"{cockpit.url}/?pipe=stripes&view=logs&level=ERROR&in_flow=work&text=nothing+like+this")
    expect(page.get_by_label("Level", exact=True)).to_have_value("ERROR")
    expect(page.get_by_label("Flow", exact=True)).to_have_value("work")
    expect(page.get_by_label("Search the log")).to_have_value("nothing like this")
    expect(page.get_by_text("No record fits.")).to_be_visible()
    page.get_by_role("button", name="clear").click()
    expect(page.locator(".log-row").first).to_be_visible()


def test_levels_are_counted_over_time(page, cockpit, pipe) -> None:
    page.goto(f"{cockpit.url}/?pipe=stripes&view=logs")
    expect(page.locator(".total.info")).to_contain_text("INFO")
    page.locator(".bars g:has(.bar)").last.click()
    expect(page.get_by_text("a part of the past")).to_be_visible()
    assert "from=" in page.url
