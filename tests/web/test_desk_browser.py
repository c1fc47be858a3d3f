"""The desk and the admin's pages in a real browser: they fit, and figures move."""

from __future__ import annotations

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page

from tests.api.world import World
from tests.web import test_browser
from tests.web.reading import fields, page, send
from tests.web.test_browser import LOOKS, RULES, Look, browser, looked_at
from tests.web.test_manage import DRAFT, enter, made
from web.cookies import SESSION

__all__ = ["browser"]
pytestmark = test_browser.pytestmark


async def as_signed_in(world: World, browser: Browser, look: Look) -> tuple[Page, list[str]]:
    """Open a page to look by, as who is signed in at the world's own client."""
    found, complaints = await looked_at(browser, look)
    base = str(world.client.make_url("/"))
    [session] = [one for one in world.client.session.cookie_jar if one.key == SESSION]
    await found.context.add_cookies([{"name": SESSION, "value": session.value, "url": base}])
    return found, complaints


@pytest.mark.slow
async def test_the_desk_fits_and_is_accessible(world: World, browser: Browser) -> None:
    """At 320 px and in the dark, each page; the live page follows the sale by itself."""
    own = await enter(world, "admin")
    path = await made(world, own, name_2="Gallery", price_2="2000", capacity_2="5000")
    await made(world, own, name=DRAFT["name"] + " again")
    await send(world, f"{path}/publish", fields((await page(world, path)).text))
    event = (await world.call("GET", f"/v1/events/{path.rpartition('/')[2]}")).body
    await world.book(event, None, (1, 2))
    await world.settle()
    base = str(world.client.make_url("/")).rstrip("/")
    desk = ("/manage", f"/manage/new?o={own}", path, f"{path}/bookings", f"{path}/live")
    wrong = []
    for look in LOOKS[:3]:
        found, complaints = await as_signed_in(world, browser, look)
        for one in (*desk, "/admin", "/admin/users?role=admin"):
            await found.goto(base + one)
            width = await found.evaluate("document.documentElement.scrollWidth")
            if width > look.width:
                wrong.append(f"{look.name}: {one} is {width} wide")
            if look.is_judged:
                results = await Axe().run(found, options=RULES)
                wrong += [
                    f"{look.name}: {one}: {bad['id']} {[node['html'] for node in bad['nodes']]}"
                    for bad in results.response["violations"]
                ]
        # Who leaves the live page ends its stream.
        ended = [said for said in complaints if not said.endswith("/stream")]
        wrong += [f"{look.name}: {said}" for said in ended]
        await found.context.close()
    assert [] == wrong
    found, _ = await as_signed_in(world, browser, LOOKS[0])
    await found.goto(f"{base}{path}/live")
    await world.book(event, None, (1, 3))
    await found.wait_for_selector("td[data-is=sold]:text-is('5')")
    await found.context.close()
