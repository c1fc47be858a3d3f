"""The page of an event comes alive in a browser, over one stream for all its tabs."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, Page

from tests.api.world import World
from tests.web.test_browser import LOOKS, browser, looked_at, pytestmark

__all__ = ["browser", "pytestmark"]

TABS = 8
SPOKEN = "document.querySelector('[data-speaks]').textContent"


async def opened(page: Page, url: str) -> None:
    """Open a page, and wait until its script has found its way."""
    await page.goto(url)
    await page.wait_for_selector("h1")


@pytest.mark.slow
async def test_eight_tabs_share_one_stream(world: World, browser: Browser) -> None:
    """Eight tabs are open and each is told, over one stream; it speaks where a state changes."""
    organizer = await world.organizer()
    event = await world.event(3, 40, name="A", token=organizer)
    url = str(world.client.make_url(f"/e/a-{event['id']}"))
    page, complaints = await looked_at(browser, LOOKS[0])
    streams: list[str] = []
    page.context.on(
        "request", lambda asked: streams.append(asked.url) if "/stream" in asked.url else None
    )
    pages = [page, *[await page.context.new_page() for _ in range(TABS - 1)]]
    for one in pages:
        await opened(one, url)
    await world.book(event, None, (1, 3))
    await page.context.pages[0].bring_to_front()
    for one in pages:
        await one.wait_for_selector(".badge-sold_out")
        assert "Tier 1: Sold out" in await one.evaluate(SPOKEN)
        # The other tier has lost nothing that is to be seen, and nothing is said of it.
        assert "Tier 2" not in await one.evaluate(SPOKEN)
    assert 1 == len(streams)
    assert [] == complaints
    # Who has the stream goes: another of them takes it up.
    await page.close()
    await world.call("POST", f"/v1/events/{event['id']}/cancel", token=organizer)
    for one in pages[1:]:
        await one.wait_for_selector(".notice.bad")


async def test_what_one_is_in_stays(world: World, browser: Browser) -> None:
    """A part that has the focus is not taken away under it."""
    event = await world.event(2, name="A")
    page, _ = await looked_at(browser, LOOKS[0])
    await opened(page, str(world.client.make_url(f"/e/a-{event['id']}")))
    owner = world.token()
    held = await world.hold(event, owner, (1, 2))
    await page.wait_for_selector("text=Ask again at that time")
    await page.focus("text=Ask again at that time")
    await world.call("DELETE", f"/v1/holds/{held.body['id']}", token=owner)
    await page.wait_for_selector(".tier .badge-on_sale, .tier .badge-few")
    assert "Ask again" in await page.evaluate("document.activeElement.textContent")
