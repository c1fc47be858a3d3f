"""
Messages, push and tickets kept offline in a real browser.

Chromium shows no notification of itself where it has no screen, but its worker's registration says
which it was asked to show; a message of a push service is put into the worker by its debugger.
"""

from __future__ import annotations

import asyncio
import json

import pytest
from playwright.async_api import Browser, Page

from store import push
from tests.api.shop import PUSH_KEY, subscription
from tests.api.test_notifications import put
from tests.api.world import World, from_now
from tests.web.test_browser import LOOKS, browser, looked_at, pytestmark
from tests.web.test_me import user_of
from tests.web.test_own_in_browser import look_at, sign_in
from tests.web.test_visitors import registered

__all__ = ["browser", "pytestmark"]
SHOWN = """async () => (await (await navigator.serviceWorker.ready).getNotifications())
  .map((one) => [one.title, one.body, one.lang, one.dir, one.tag, one.data.navigate])"""


@pytest.mark.slow
async def test_pages_of_what_one_is_told_fit(world: World, browser: Browser) -> None:
    """At each width, in each language and light: no sideways scrolling, no violation (WCAG 2.2)."""
    await push.put_keys(world.database, [PUSH_KEY])
    base = str(world.client.make_url("/")).rstrip("/")
    email = await registered(world)
    me = await user_of(world, email)
    event = await world.event(5, name="Concert", sale_opens_at=from_now(days=2))
    for kind in ("booking.confirmed", "ticket.given", "waitlist.offered"):
        await put(world, me, event["id"], kind)
    asked = subscription(PUSH_KEY.id, f"https://a.push.example.org/{me}")
    made = await world.call("POST", "/v1/me/push", token=world.token(me), json=asked)
    assert 200 == made.status, made.text
    own = ["/me/messages", "/me/preferences", "/me/devices", f"/e/{event['id']}/remind"]
    own += [f"/e/concert-{event['id']}", "/me/settings"]
    wrong = []
    for look in LOOKS:
        page, complaints = await looked_at(browser, look)
        wrong += await look_at(page, look, base, ["/unsubscribe?token=x"])
        await sign_in(page, base, email)
        wrong += await look_at(page, look, base, own)
        wrong += [f"{look.name}: {one}" for one in complaints if not _is_expected(one)]
        await page.context.close()
    assert [] == wrong


def _is_expected(said: str) -> bool:
    """Tell whether a complaint is of the link that is none."""
    return "404" in said


async def test_new_messages_are_counted_while_one_looks(world: World, browser: Browser) -> None:
    """What comes while a page is open is counted at its top, in each tab, and the list says so."""
    base = str(world.client.make_url("/")).rstrip("/")
    email = await registered(world)
    me = await user_of(world, email)
    event = await world.event(5)
    page, complaints = await looked_at(browser, LOOKS[0])
    async with page.expect_request("**/me/stream"):
        await sign_in(page, base, email)
    assert not await page.is_visible(".unread")
    second = await page.context.new_page()
    await second.goto(f"{base}/me/messages")
    # From the moment on that the stream follows.
    for _ in range(100):
        await put(world, me, event["id"])
        if await page.is_visible(".unread"):
            break
        await asyncio.sleep(0.2)
    await page.wait_for_selector(".unread:visible")
    await second.wait_for_selector(".unread:visible")
    await second.click("[data-fresh] a")
    await second.wait_for_selector(".rows .new")
    assert [] == complaints


async def registered_worker(page: Page) -> str:
    """Have the page register the worker, by the module that does; return its id for a debugger."""
    debugger = await page.context.new_cdp_session(page)
    found: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def look(told: dict[str, list[dict[str, str]]]) -> None:
        for one in told["registrations"]:
            if not found.done():
                found.set_result(one["registrationId"])

    debugger.on("ServiceWorker.workerRegistrationUpdated", look)
    await debugger.send("ServiceWorker.enable")
    await page.evaluate(
        "async (main) => { await (await import(main)).worker(); }",
        await page.evaluate(
            "document.querySelector('script[type=module]').src.replace('main', 'push')"
        ),
    )
    async with asyncio.timeout(20):
        return await found


async def test_what_is_pushed_is_shown(world: World, browser: Browser) -> None:
    """A message is shown as it says, also while a page is open; one that cannot be read as well,
    under a title of its own."""
    base = str(world.client.make_url("/")).rstrip("/")
    page, complaints = await looked_at(browser, LOOKS[0])
    await page.context.grant_permissions(["notifications"], origin=base)
    await page.goto(base)
    own_id = await registered_worker(page)
    debugger = await page.context.new_cdp_session(page)
    await debugger.send("ServiceWorker.enable")

    async def pushed(data: str, count: int) -> list[list[str]]:
        asked = {"origin": f"{base}/", "registrationId": own_id, "data": data}
        await debugger.send("ServiceWorker.deliverPushMessage", asked)
        for _ in range(100):
            shown: list[list[str]] = await page.evaluate(f"({SHOWN})()")
            if len(shown) == count:
                return shown
            await asyncio.sleep(0.1)
        raise AssertionError(shown)

    told = {
        "title": "عرض لك",
        "body": "Two places",
        "navigate": f"{base}/wait/wl_1",
        "lang": "ar",
        "dir": "rtl",
        "tag": "wl_1",
    }
    message = json.dumps({"web_push": 8030, "notification": told})
    [first] = await pushed(message, 1)
    assert [told[name] for name in ("title", "body", "lang", "dir", "tag", "navigate")] == first
    # The end of an offer takes its place.
    [first] = await pushed(message, 1)
    shown = await pushed("no JSON", 2)
    assert ["Evently", "", "", "auto", "", "/me/messages"] in shown
    assert [] == complaints


async def test_a_ticket_is_kept_offline(world: World, browser: Browser) -> None:
    """By a press a ticket's page is kept: it opens without the network, the newest where there is
    one; by another, and by signing out, it is forgotten."""
    base = str(world.client.make_url("/")).rstrip("/")
    email = await registered(world)
    event = await world.event(5, name="Kept")
    token = world.token(await user_of(world, email))
    booked = await world.book(event, token)
    read = await world.call("GET", f"/v1/bookings/{booked.body['id']}", token=token)
    page, complaints = await looked_at(browser, LOOKS[0])
    paths = [f"/t/{read.body['tickets'][0]['id']}", f"/b/{booked.body['id']}"]
    await sign_in(page, base, email)
    for path in paths:
        await page.goto(base + path)
        await page.click("[data-keep] button")
        await page.wait_for_selector("[data-kept='1']")
        assert "without network" in await page.inner_text("[data-keep]")
    assert [] == complaints
    await page.context.set_offline(True)
    for path in paths:
        await page.goto(base + path)
        assert "Kept" in await page.inner_text("main")
        loaded = "[...document.querySelectorAll('img')].every((one) => one.naturalWidth > 0)"
        await page.evaluate(
            "document.querySelectorAll('img').forEach((one) => { one.loading = 'eager' })"
        )
        await page.wait_for_function(loaded)
    await page.context.set_offline(False)
    await page.goto(base + paths[0])
    await page.wait_for_selector("[data-kept='1']")
    await page.click("[data-keep] button")
    await page.wait_for_selector("[data-kept='']")
    await page.goto(f"{base}/me")
    await page.click("form.on-phone button")
    await page.wait_for_url(f"{base}/")
    await page.wait_for_function(
        "async () => !(await caches.match(arguments[0]))".replace(
            "arguments[0]", json.dumps(paths[1])
        )
    )
