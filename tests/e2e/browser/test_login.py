"""Accounts: who is asked to log in, and what viewers may."""

from __future__ import annotations

from playwright.sync_api import expect


def log_in(page, user: str, password: str) -> None:
    page.get_by_label("User").fill(user)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_operators_and_viewers_log_in_and_out(page, own_cockpit, shoot) -> None:
    own_cockpit.add_user("ada", "correct horse", "operator")
    own_cockpit.add_user("bob", "battery staple", "viewer")
    own_cockpit.start()
    page.goto(f"{own_cockpit.url}/")
    log_in(page, "ada", "wrong")
    expect(page.get_by_role("alert")).to_contain_text("wrong")
    shoot(page, "login-refused")
    log_in(page, "ada", "correct horse")
    expect(page.get_by_text("ada (operator)")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    log_in(page, "bob", "battery staple")
    expect(page.get_by_text("bob (viewer)")).to_be_visible()
    cookies = page.context.cookies()
    assert all(cookie["httpOnly"] and cookie["sameSite"] == "Strict" for cookie in cookies)
    assert page.evaluate("document.cookie") == ""


def test_a_viewer_sees_a_pipe_but_cannot_drive_it(page, own_cockpit, own_pipe, shoot) -> None:
    own_cockpit.add_user("bob", "battery staple", "viewer")
    own_cockpit.start()
    page.goto(f"{own_cockpit.url}/")
    log_in(page, "bob", "battery staple")
    expect(page.get_by_role("heading", name="No pipe has come yet")).to_be_visible()
    own_pipe(lambda: page.get_by_role("button", name="stripes").count() == 1)
    page.goto(f"{own_cockpit.url}/?pipe=stripes&routine=brighten")
    expect(page.get_by_text("viewer: looking only")).to_be_visible()
    expect(page.get_by_role("spinbutton", name="gain")).to_be_disabled()
    expect(page.get_by_role("button", name="Send NOTE")).to_be_disabled()
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    shoot(page, "viewer")
