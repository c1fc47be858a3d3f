"""
Pages of one's own and of seats in a real browser: fit, accessible, alive, by keyboard alone.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from tests.api.test_seats import seated_event
from tests.api.world import World
from tests.web.test_browser import LOOKS, Look, browser, looked_at, pytestmark, wrong_with
from tests.web.test_visitors import PASSWORD, registered
from tests.web.test_waiting import full

__all__ = ["browser", "pytestmark"]
#: Where pictures are written to, if anywhere.
PICTURES = os.environ.get("PAGES_PICTURES", "")


async def sign_in(page: Page, base: str, email: str, to: str = "/me") -> None:
    """Sign in by the page, as somebody types."""
    await page.goto(f"{base}/sign-in?next={to}")
    await page.fill("#email", email)
    await page.fill("#password", PASSWORD)
    await page.click("main .button")
    await page.wait_for_url(f"{base}{to}*")


async def look_at(page: Page, look: Look, base: str, paths: list[str]) -> list[str]:
    """Return what is wrong with pages: wider than the screen, or something that axe objects to."""
    wrong = []
    for path in paths:
        await page.goto(base + path)
        if PICTURES:
            name = f"{look.name} {path.strip('/').replace('/', ' ')}".replace(" ", "-")
            await page.screenshot(path=Path(PICTURES) / f"{name[:60]}.png", full_page=True)
        wrong += await wrong_with(page, look, path)
    return wrong


@pytest.mark.slow
@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
async def test_own_pages_fit_and_are_accessible(world: World, browser: Browser, look: Look) -> None:
    """At each width, in each language and light: no sideways scrolling, no violation (WCAG 2.2)."""
    base = str(world.client.make_url("/")).rstrip("/")
    email = await registered(world)
    mine = world.token(await world.prove(email))
    house = await world.organizer()
    hall = await world.event(token=house, **seated_event())
    await world.book(hall, mine, {"seat_ids": ["s1-2"]})
    event, taken, seller = await full(world, place="Berlin", timezone="Europe/Berlin")
    tier = {"tier_id": event["tiers"][0]["id"], "quantity": 1}
    waits = []
    for number, token in enumerate((mine, world.token())):
        path = f"/v1/events/{event['id']}/waitlist"
        made = await world.call("POST", path, token=token, key=f"w-{number}", json=tier)
        waits.append(made.body["id"])
    await world.cancel(taken, seller)
    other, _, _ = await full(world, 2)
    path = f"/v1/events/{other['id']}/waitlist"
    tier = {"tier_id": other["tiers"][0]["id"], "quantity": 2}
    entry = await world.call("POST", path, token=mine, key="w-9", json=tier)
    open_paths = ["/register", "/reset", "/reset/sent", f"/e/{hall['id']}/seats"]
    own = ["/me", "/me/tickets", "/me/waiting", "/me/settings", "/me/email", "/me/password"]
    own += ["/me/sessions", "/me/erase", f"/e/{hall['id']}/seats/2", f"/e/{hall['id']}/seats/1"]
    own += [f"/wait/{waits[0]}", f"/wait/{entry.body['id']}", f"/e/{other['id']}/wait"]
    page, complaints = await looked_at(browser, look)
    wrong = await look_at(page, look, base, open_paths)
    await sign_in(page, base, email)
    wrong += await look_at(page, look, base, own)
    # What is under way is broken off when the next page is asked for.
    ended = ("/stream", "/icon.svg")
    wrong += [said for said in complaints if not said.endswith(ended)]
    assert [] == wrong


async def test_a_letters_link_proves_the_address(world: World, browser: Browser) -> None:
    """The code stands behind `#`: it waits while one signs in, is sent by itself, and is gone from
    the address; no server has seen it."""
    base = str(world.client.make_url("/")).rstrip("/")
    email = await registered(world)
    token = await world.letter(email, "account.verify")
    page, complaints = await looked_at(browser, LOOKS[0])
    await page.goto(f"{base}/me/verify#token={token}")
    assert page.url.startswith(f"{base}/sign-in?")
    assert token not in page.url
    await page.click("[data-shows]")
    assert "text" == await page.get_attribute("#password", "type")
    await page.fill("#email", email)
    await page.fill("#password", PASSWORD)
    await page.click("main .button")
    await page.wait_for_url(f"{base}/me?done=verified")
    assert [] == complaints
    # A letter for a lost password fills the field in, and leaves the choice of a password.
    await page.goto(f"{base}/reset#token=abc")
    assert "abc" == await page.input_value("#token")
    assert not await page.is_visible("#ask")
    assert page.url == f"{base}/reset"


async def test_seats_come_alive(world: World, browser: Browser) -> None:
    """By keyboard a seat is chosen; one that is sold elsewhere goes while one looks, and is said;
    one that comes back can be chosen again; a second tab is told by the first."""
    base = str(world.client.make_url("/")).rstrip("/")
    email = await registered(world)
    hall = await world.event(token=await world.organizer(), **seated_event())
    page, complaints = await looked_at(browser, LOOKS[0])
    await sign_in(page, base, email)
    at = f"{base}/e/{hall['id']}/seats/1"
    await page.goto(at)
    second = await page.context.new_page()
    await second.goto(at)
    await page.focus("[value=s1-1]")
    await page.keyboard.press("ArrowRight")
    assert "s1-2" == await page.evaluate("document.activeElement.value")
    await page.keyboard.press("Space")
    assert "Row A, seat 2 · €10.00" == await page.text_content("[data-sum]")
    assert "solid" == await page.evaluate(
        "getComputedStyle(document.activeElement.parentElement).outlineStyle"
    )
    buyer = world.token()
    booked = await world.book(hall, buyer, {"seat_ids": ["s1-2", "s1-7"]})
    assert 201 == booked.status, booked.text
    for tab in (page, second):
        await tab.wait_for_selector("[value=s1-2]:disabled", state="attached")
        await tab.wait_for_selector("[value=s1-7]:disabled", state="attached")
    assert "Row A, seat 2: just went" == await page.text_content(".notice[role=status]")
    assert "" == await page.text_content("[data-sum]")
    name = await page.get_attribute("[value=s1-2]", "aria-label")
    assert "Row A, seat 2, taken" == name
    await world.cancel(booked.body["id"], buyer)
    await page.wait_for_selector("[value=s1-2]:enabled", state="attached")
    name = await page.get_attribute("[value=s1-2]", "aria-label")
    assert "Row A, seat 2, €10.00" == name
    await page.close()
    await world.book(hall, buyer, {"seat_ids": ["s1-1"]}, key="k-2")
    await second.wait_for_selector("[value=s1-1]:disabled", state="attached")
    assert [] == complaints
