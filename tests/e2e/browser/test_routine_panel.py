"""The panel of a routine: events, parameters, frames, errors."""

from __future__ import annotations

from playwright.sync_api import expect


def test_a_custom_event_with_arguments_is_sent_and_its_result_shown(page, cockpit, pipe, shoot) -> None:
    page.goto(f"{cockpit.url}/?pipe=stripes&routine=brighten")
    form = page.get_by_role("form", name="Event NOTE")
    form.get_by_role("spinbutton", name="times").fill("2")
    form.get_by_role("textbox", name="text").fill("<i>from the page</i>")
    form.get_by_role("button", name="Send NOTE").click()
    expect(form.get_by_role("status")).to_contain_text("noted <i>from the page</i> 2 times")
    form.scroll_into_view_if_needed()
    shoot(page, "event-sent")


def test_arguments_of_the_wrong_type_are_not_sent(page, cockpit, pipe) -> None:
    page.goto(f"{cockpit.url}/?pipe=stripes&routine=brighten")
    form = page.get_by_role("form", name="Event NOTE")
    form.get_by_role("spinbutton", name="times").fill("1.5")
    form.get_by_role("textbox", name="text").fill("x")
    form.get_by_role("button", name="Send NOTE").click()
    expect(form).to_contain_text("a whole number is needed")
    expect(form.get_by_role("status")).to_have_count(0)


def test_what_a_handler_raises_is_shown_with_its_traceback(page, cockpit, pipe, shoot) -> None:
    page.goto(f"{cockpit.url}/?pipe=stripes&routine=brighten")
    form = page.get_by_role("form", name="Event BREAK")
    form.get_by_role("textbox", name="reason").fill("told to break")
    form.get_by_role("button", name="Send BREAK").click()
    expect(form.get_by_role("status")).to_contain_text("ValueError: told to break")
    errors = page.locator(".errors")
    expect(errors).to_contain_text("told to break")
    errors.locator("summary").first.click()
    expect(errors.locator(".traceback").first).to_contain_text("Traceback")
    errors.scroll_into_view_if_needed()
    shoot(page, "last-errors")


def test_a_parameter_changes_what_the_routine_does(page, cockpit, pipe, shoot) -> None:
    page.goto(f"{cockpit.url}/?pipe=stripes&routine=brighten")
    gain = page.get_by_role("spinbutton", name="gain")
    gain.fill("9")
    gain.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="at most 4")).to_be_visible()
    gain.fill("2.5")
    gain.press("Enter")
    expect(page.get_by_text("brighten: gain = 2.5")).to_be_visible()
    form = page.get_by_role("form", name="Event NOTE")
    form.get_by_role("textbox", name="text").fill("now")
    form.get_by_role("button", name="Send NOTE").click()
    expect(form.get_by_role("status")).to_contain_text("with gain 2.5")
    gain.scroll_into_view_if_needed()
    shoot(page, "parameter-changed")
    page.get_by_role("button", name="default").first.click()
    expect(gain).to_have_value("1")


def test_frames_are_shown_live_on_both_sides(page, cockpit, pipe, shoot) -> None:
    page.goto(f"{cockpit.url}/?pipe=stripes&routine=brighten")
    page.get_by_label("mode").select_option("negative")
    page.get_by_role("button", name="Show frames").click()
    before, after = page.get_by_alt_text("input of brighten"), page.get_by_alt_text("output of brighten")
    first = after.get_attribute("data-number")
    expect(after).not_to_have_attribute("data-number", str(first))
    expect(before).to_be_visible()
    brightness = """async (image) => {
        const canvas = document.createElement('canvas')
        canvas.width = canvas.height = 8
        canvas.getContext('2d').drawImage(image, 0, 0, 8, 8)
        const {data} = canvas.getContext('2d').getImageData(0, 0, 8, 8)
        return data.reduce((sum, value, index) => index % 4 < 3 ? sum + value : sum, 0) / 192
    }"""
    page.wait_for_function(f"image => ({brightness})(image).then(value => value > 150)", arg=after.element_handle())
    assert before.evaluate(brightness) < 100
    after.scroll_into_view_if_needed()
    shoot(page, "frames-live")
    page.get_by_label("mode").select_option("plain")
    page.wait_for_function(f"image => ({brightness})(image).then(value => value < 100)", arg=after.element_handle())


def test_charts_show_the_history(page, cockpit, pipe) -> None:
    page.goto(f"{cockpit.url}/?pipe=stripes&routine=camera&range=1m")
    charts = page.locator(".chart")
    expect(charts.first).to_be_visible()
    for number, title in enumerate(("rate", "main_logic", "age of data")):
        expect(charts.nth(number).locator("figcaption")).to_have_text(title)
    expect(charts.first.locator("canvas")).to_be_visible()
    page.get_by_label("Range of the charts").select_option("7d")
    page.wait_for_url("**range=7d**")
    expect(charts.first.locator("canvas")).to_be_visible()


def test_a_chart_is_made_when_it_is_scrolled_to(page, cockpit, pipe) -> None:
    page.goto(f"{cockpit.url}/?pipe=stripes&routine=camera&range=1m")
    expect(page.locator(".chart canvas").first).to_be_visible()
    last = page.locator(".chart").last
    expect(last.locator("canvas")).to_have_count(0)
    last.scroll_into_view_if_needed()
    expect(last.locator("canvas")).to_be_visible()


def test_the_log_level_of_a_routine_is_set(page, cockpit, pipe) -> None:
    page.goto(f"{cockpit.url}/?pipe=stripes&routine=report")
    page.get_by_label("Log level").select_option("ERROR")
    expect(page.get_by_text("report: log level ERROR")).to_be_visible()
    page.get_by_label("Log level").select_option("INFO")
    expect(page.get_by_text("report: log level INFO")).to_be_visible()


def test_a_value_that_was_set_is_shown_at_once(page, cockpit, pipe) -> None:
    page.goto(f"{cockpit.url}/?pipe=stripes&routine=brighten")
    label = page.get_by_role("textbox", name="label")
    label.fill("rear <b>")
    label.press("Enter")
    expect(page.get_by_text("brighten: label = rear <b>")).to_be_visible()
    assert label.input_value() == "rear <b>"
