"""The graph: what the pipe is made of, what it does, and what happens when somebody changes it."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

ARCHIVE = "archive <b>bold</b>"


def node(page: Page, name: str) -> Locator:
    return page.locator(".graph[data-ready=true] .routine-node").filter(has_text=name)


def wire(page: Page, source: str, destination: str) -> Locator:
    return page.get_by_role("button", name=f"Wire from {source} to {destination}")


def test_it_shows_flows_routines_and_wires_that_live(page, cockpit, pipe, shoot) -> None:
    page.goto(f"{cockpit.url}/")
    page.get_by_role("button", name="stripes").click()
    for name in ("input", "work", "output"):
        expect(page.locator(".flow-node").filter(has_text=name)).to_be_visible()
    for name in ("camera", "brighten", "detect", "report", ARCHIVE):
        expect(node(page, name)).to_have_attribute("data-state", "running")
    expect(node(page, "camera").locator(".fact").first).to_contain_text("/s")
    expect(wire(page, "brighten", "detect")).to_have_attribute("data-look", "dropping")
    shoot(page, "graph-light")


def test_a_routine_is_stopped_and_started(page, cockpit, pipe, shoot) -> None:
    page.goto(f"{cockpit.url}/?pipe=stripes")
    node(page, "detect").click()
    commands = page.get_by_role("group", name="Routine commands")
    commands.get_by_role("button", name="Stop").click()
    expect(node(page, "detect")).to_have_attribute("data-state", "idle")
    expect(page.get_by_role("complementary").locator(".badge").first).to_have_text("idle")
    shoot(page, "routine-stopped")
    commands.get_by_role("button", name="Start").click()
    expect(node(page, "detect")).to_have_attribute("data-state", "running")


def test_a_blocked_lossless_wire_does_not_look_like_a_dropping_one(page, cockpit, pipe, shoot) -> None:
    page.goto(f"{cockpit.url}/?pipe=stripes&routine=archive+%3Cb%3Ebold%3C/b%3E")
    pause = page.get_by_role("spinbutton", name="pause")
    pause.fill("0.4")
    pause.press("Enter")
    expect(wire(page, "brighten", ARCHIVE)).to_have_attribute("data-look", "blocked")
    expect(wire(page, "camera", "brighten")).to_have_attribute("data-look", "dropping")
    page.get_by_role("button", name="Close the panel").click()
    shoot(page, "blocked-and-dropping")
    page.get_by_role("button", name="Problems").click()
    expect(page.get_by_role("list", name="Problems now")).to_contain_text(f"Wire brighten → {ARCHIVE} is blocked")
    shoot(page, "problems-blocked")
    page.goto(f"{cockpit.url}/?pipe=stripes&routine=archive+%3Cb%3Ebold%3C/b%3E")
    page.get_by_role("button", name="default").click()
    expect(page.get_by_role("spinbutton", name="pause")).to_have_value("0.04")


def test_it_follows_wires_that_are_taken_away_and_added(page, cockpit, pipe, shoot) -> None:
    page.goto(f"{cockpit.url}/?pipe=stripes")
    wire(page, "detect", "report").click()
    page.get_by_role("button", name="Unlink…").click()
    page.get_by_role("dialog").get_by_role("button", name="Unlink").click()
    expect(wire(page, "detect", "report")).to_have_count(0)
    node(page, "detect").click()
    form = page.get_by_role("form", name="Link detect")
    form.get_by_label("Link detect to").select_option("report")
    form.get_by_role("button", name="Link").click()
    expect(wire(page, "detect", "report")).to_be_visible()


def test_search_finds_a_routine(page, cockpit, pipe) -> None:
    page.goto(f"{cockpit.url}/?pipe=stripes")
    expect(node(page, "camera")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("DETE")
    expect(page.get_by_role("search").get_by_role("status")).to_have_text("1 found")
    page.keyboard.press("Enter")
    expect(page.get_by_role("complementary", name="routine detect")).to_be_visible()
    assert "routine=detect" in page.url


def test_it_is_driven_by_keyboard_alone(page, cockpit, pipe) -> None:
    page.goto(f"{cockpit.url}/?pipe=stripes")
    expect(node(page, "report")).to_be_visible()
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.routine") == "report":
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "the focus is not to be seen"
    page.keyboard.press("Enter")
    expect(page.get_by_role("complementary", name="routine report")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("complementary")).to_have_count(0)
    page.keyboard.press("l")
    expect(page.get_by_role("button", name="Logs")).to_have_attribute("aria-current", "page")
