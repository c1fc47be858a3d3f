"""Booking in a real browser: pages that fit and are accessible, and receipts checked offline."""

from __future__ import annotations

import random

import pytest
from playwright.async_api import Browser, Page

from api.http import SERVICES
from engine.receipts import InvalidReceipt
from tests.api.world import World
from tests.web.test_booking import flipped, receipts, ticket_paths
from tests.web.test_browser import LOOKS, Look, browser, looked_at, pytestmark, wrong_with
from tests.web.test_visitors import PASSWORD, registered
from web.assets import address

__all__ = ["browser", "pytestmark"]
RECEIPTS = 100
ASKED = """async ([path, keys, texts]) => {
  const { verified } = await import(path);
  return Promise.all(texts.map(async (one) => Boolean(await verified(one, keys))));
}"""


async def sign_in(page: Page, base: str, email: str) -> None:
    """Sign in by the form, as people do."""
    await page.fill("#email", email)
    await page.fill("#password", PASSWORD)
    await page.press("#password", "Enter")


@pytest.mark.parametrize(
    "look",
    [LOOKS[0], *(pytest.param(look, marks=pytest.mark.slow) for look in LOOKS[1:])],
    ids=lambda look: look.name,
)
async def test_booking_from_the_event_to_the_gate(
    world: World, browser: Browser, look: Look
) -> None:
    """Choose, sign in, check, hold, book, show the ticket, give it away: each page fits."""
    base = str(world.client.make_url("/")).rstrip("/")
    email = await registered(world)
    rows = [{"name": "A", "seats": 20}]
    long = "Donaudampfschifffahrtsgesellschaftskapitänsmützenverkaufsveranstaltung"
    event = await world.event(
        20,
        name=long,
        venue="Philharmonie",
        tiers=[{"name": "Parkett", "price": {"amount": 123456, "currency": "EUR"}}],
        sections=[{"name": "Großer Saal", "tier": 0, "rows": rows}],
    )
    page, complaints = await looked_at(browser, look)
    wrong: list[str] = []

    async def judge(name: str) -> None:
        wrong.extend(await wrong_with(page, look, name))

    await page.goto(f"{base}/e/{event['id']}")
    await judge("event")
    await page.select_option("select", "2")
    await page.click("form.order button")
    await sign_in(page, base, email)
    await page.wait_for_url("**/book?*")
    await judge("check")
    await page.click("button[value=hold]")
    await page.wait_for_url("**/hold/*")
    await judge("hold")
    assert look.has_scripts == await page.is_visible(".countdown")
    await page.click("button[value=book]")
    await page.wait_for_url("**/b/*")
    await page.wait_for_selector("img.qr")
    await page.wait_for_load_state("networkidle")
    await judge("booking")
    own = page.url.partition("?")[0]
    [first, _] = ticket_paths(await page.content())
    for path in (f"{own}/cancel", f"{base}{first}", f"{base}{first}/give", f"{base}/b"):
        await page.goto(path)
        await judge(path)
    await page.goto(f"{base}/e/{event['id']}")
    await page.select_option("select", "10")
    await page.click("form.order button")
    await page.wait_for_selector(".summary")
    await judge("refused")
    await page.context.close()
    assert [] == wrong
    assert [] == [one for one in complaints if "409" not in one]


async def test_receipts_are_judged_offline(world: World, browser: Browser) -> None:
    """PAGES 5.4: with the network off valid are 100 receipts, and not one with a bit flipped."""
    genuine = await receipts(world, RECEIPTS)
    assert RECEIPTS == len(set(genuine))
    page, complaints = await looked_at(browser, LOOKS[4])
    base = str(world.client.make_url("/")).rstrip("/")
    await page.goto(f"{base}/verify")
    await page.wait_for_selector("[data-here]:not([hidden])")
    keys = await page.evaluate("JSON.parse(document.querySelector('[data-keys]').dataset.keys)")
    # What a browser has imported once it has, whatever becomes of the network.
    assert await page.evaluate(ASKED, [address("verify.js"), keys, genuine[:1]]) == [True]
    await page.context.set_offline(True)
    assert all(await page.evaluate(ASKED, [address("verify.js"), keys, genuine]))
    draw = random.Random(5)
    one = genuine[-1]
    changed = [flipped(one, bit) for bit in range(6 * len(one))]
    changed += [flipped(text, draw.randrange(6 * len(text))) for text in genuine for _ in range(5)]
    assert not any(await page.evaluate(ASKED, [address("verify.js"), keys, changed]))
    # The same as `reconciler verify-receipt` says, which asks `engine.receipts`.
    services = world.client.app[SERVICES]
    assert services.receipts is not None
    for text in genuine:
        assert services.receipts.verified(text)
    for text in changed:
        with pytest.raises(InvalidReceipt):
            services.receipts.verified(text)
    # And as people see it.
    for text, is_good in ((genuine[0], True), (flipped(genuine[0], 99), False), (one, True)):
        await page.fill("#receipt", text)
        await page.click("form[data-keys] button")
        await page.wait_for_selector(f"[data-verdict={'good' if is_good else 'bad'}]")
        assert is_good == await page.is_visible("[data-verdict=good]")
        assert is_good != await page.is_visible("[data-verdict=bad]")
    assert await page.inner_text("[data-said=places]") == "1"
    assert [] == complaints
    await page.context.close()
