"""S20 in a real browser: what people write is shown on every page, and nothing of it runs."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from playwright.async_api import Browser, Page

from engine.ids import new_id
from store import users
from tests.api.world import World
from tests.web.test_browser import browser, pytestmark
from tests.web.test_flow_browser import sign_in
from tests.web.test_visitors import PASSWORD

__all__ = ["browser", "pytestmark"]
#: What runs, if it runs, says so by a dialog and by a name of the window's.
RUN = "alert(ran=20)"
#: Each breaks out of another place: text, attribute, script, title, comment, link, template; short
#: enough for every field.
CORPUS = (
    f"<script>{RUN}</script>",
    f'"><svg onload={RUN}>',
    f"<img src=x onerror={RUN}>",
    f"' autofocus onfocus='{RUN}' x='",
    f"</script><script>{RUN}</script>",
    f"</title></style></textarea><img src=x onerror={RUN}>",
    f"--><details open ontoggle={RUN}>",
    f"javascript:{RUN}",
    f"{{{{ 7 * 7 }}}}${{{RUN}}}<%= 7 %>",
    f"<iframe srcdoc='<script>{RUN}</script>'>",
    f"<math><mtext><img src=x onerror={RUN}>",
)


async def listened_to(browser: Browser) -> tuple[Page, list[str]]:
    """Open a page whose browser tells all that runs, is refused or fails."""
    page, told = await (await browser.new_context()).new_page(), list[str]()
    page.set_default_timeout(20_000)

    async def dismiss(dialog: object) -> None:
        told.append("dialog")
        await dialog.dismiss()  # type: ignore[attr-defined]

    page.on("dialog", dismiss)
    page.on("console", lambda said: told.append(said.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    return page, told


@pytest.mark.parametrize(
    "bad", [*CORPUS[:1], *(pytest.param(one, marks=pytest.mark.slow) for one in CORPUS[1:])]
)
async def test_s20_nothing_that_people_write_runs(world: World, browser: Browser, bad: str) -> None:
    """S20: each text of the corpus, in every field that a page shows, runs nowhere."""
    base = str(world.client.make_url("/")).rstrip("/")
    page, told = await listened_to(browser)
    email = f"{new_id('usr')}@example.org"
    account = {"email": email, "password": PASSWORD, "name": bad}
    made = await world.call("POST", "/v1/auth/register", json=account)
    assert 201 == made.status, made.text
    house = world.token(
        role="organizer", organizer_id=await users.add_organizer(world.database, bad)
    )
    texts = ("name", "summary", "description", "venue", "place", "address", "access_notes")
    rows = [{"name": "A", "seats": 4}]
    event = await world.event(
        token=house,
        tiers=[{"name": bad, "price": {"amount": 1, "currency": "EUR"}}],
        sections=[{"name": bad, "tier": 0, "rows": rows}],
        category=bad,
        slug="s20",
        **dict.fromkeys(texts, bad),
    )
    mine = made.body["access_token"]
    booked = await world.book(event, mine, special_requests=bad, key="k-20")
    assert 201 == booked.status, booked.text
    await world.settle()
    await page.goto(f"{base}/sign-in?next=/me&x={quote(bad)}")
    await sign_in(page, base, email)
    await page.wait_for_url(f"{base}/me*")
    own, at, text = f"/b/{booked.body['id']}", f"/e/{event['id']}", quote(bad, "")
    paths = ["/", f"/events?q={text}&place={text}&category={text}", at, f"{at}/seats", own]
    paths += [f"{at}/seats/1", f"{at}?promo_code={text}", f"{own}/cancel", "/b"]
    paths += ["/me", "/me/settings", "/me/erase", f"/verify?receipt={text}", f"/{text}"]
    for path in paths:
        await page.goto(base + path)
        assert await page.evaluate("window.ran") is None, path
        strange = "iframe, math, main svg, details[ontoggle], [onerror], [onfocus], [onload]"
        assert 0 == await page.locator(strange).count(), path
        schemes = page.locator("[href^='javascript:'], [src^='javascript:']")
        assert 0 == await schemes.count(), path
    # A page that is not there says so on the console, as does a field that cannot be taken.
    assert [] == [one for one in told if "status of 4" not in one]
    await page.context.close()
