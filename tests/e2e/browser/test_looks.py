"""Readable in light and dark, usable at 1280 px, on a tablet and on a phone."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

SIZES = {"desk": (1280, 800), "tablet": (820, 1180), "wide": (1920, 1080), "phone": (390, 844)}
VIEWS = {
    "chooser": "",
    "graph": "?pipe=stripes",
    "routine": "?pipe=stripes&routine=brighten&range=5m",
    "logs": "?pipe=stripes&view=logs",
    "problems": "?pipe=stripes&view=problems",
}

CONTRAST = Path(__file__).with_name("contrast.js").read_text("utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_each_view_fits_and_is_readable(new_page, cockpit, pipe, shoot, size, scheme) -> None:
    width, height = SIZES[size]
    page = new_page(width, height, scheme, touch=size in ("tablet", "phone"))
    for name, query in VIEWS.items():
        page.goto(f"{cockpit.url}/{query}")
        expect(page.get_by_text("live", exact=True).first).to_be_visible()
        ready = {"graph": ".routine-node", "routine": ".chart canvas", "logs": ".log-row", "problems": "h2"}
        expect(page.locator(ready.get(name, ".pipe-card")).first).to_be_visible()
        shoot(page, f"{name}-{size}-{scheme}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert page.evaluate(CONTRAST) == [], name


def test_the_colours_can_be_chosen_and_stay(page, cockpit, pipe) -> None:
    page.goto(f"{cockpit.url}/")
    page.get_by_label("Colours").select_option("dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
