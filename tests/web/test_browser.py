"""
Pages in a real browser: nothing to scroll sideways for, and nothing that axe objects to.

Needs Chromium as Debian has it; where there is none the tests are skipped, and say so, but for
`make test-web`, which insists.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright

from tests.api.world import World, from_now
from tests.web.reading import elements

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None and "BROWSER_REQUIRED" not in os.environ,
        reason="no Chromium here: apt-get install chromium",
    ),
    pytest.mark.processes,
]
#: WCAG 2.2 AA, as axe names its rules.
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


class Look(NamedTuple):
    """How somebody looks at pages."""

    name: str
    width: int
    language: str = "en"
    is_dark: bool = False
    has_scripts: bool = True
    #: Whether axe, which takes a second for a page, looks as well.
    is_judged: bool = False


LOOKS = (
    Look("a small phone", 320, is_judged=True),
    Look("a small phone without scripts", 320, has_scripts=False),
    Look("dark, in German", 390, "de", is_dark=True, is_judged=True),
    Look("from right to left", 390, "ar", is_judged=True),
    Look("a desk", 1280),
)
#: What `make test` looks at; `make proofs` at all.
QUICK = (LOOKS[0],)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Start a browser."""
    async with async_playwright() as playwright:
        # In a container Chromium's own sandbox has no rights to be made.
        found = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        await found.close()


async def looked_at(browser: Browser, look: Look) -> tuple[Page, list[str]]:
    """Open a page to look by, and a list of what its browser complains of."""
    context = await browser.new_context(
        viewport={"width": look.width, "height": 800},
        locale=look.language,
        color_scheme="dark" if look.is_dark else "light",
        timezone_id="Asia/Tokyo",
        java_script_enabled=look.has_scripts,
    )
    page, complaints = await context.new_page(), list[str]()
    page.set_default_timeout(20_000)
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.extend(_failures(request.url)))
    return page, complaints


def _failures(url: str) -> list[str]:
    """Return a request that failed; a stream ends with its page, which is no failure."""
    return [] if url.endswith("/stream") else [url]


async def wrong_with(page: Page, look: Look, name: str) -> list[str]:
    """Return what is wrong with a page that is open."""
    wrong = []
    width = await page.evaluate("document.documentElement.scrollWidth")
    if width > look.width:
        wrong.append(f"{look.name}: {name} is {width} wide")
    if look.is_judged:
        results = await Axe().run(page, options=RULES)
        assert len(results.response["passes"]) > 15, "axe has looked at nothing"
        wrong += [
            f"{look.name}: {name}: {one['id']} {[node['html'] for node in one['nodes']]}"
            for one in results.response["violations"]
        ]
    return wrong


async def shop(world: World) -> list[str]:
    """Publish events of several states; return the paths of pages to look at."""
    common = {
        "token": await world.organizer(),
        "venue": "Philharmonie",
        "place": "Berlin",
        "category": "Concert",
        "timezone": "Europe/Berlin",
    }
    long = "Donaudampfschifffahrtsgesellschaftskapitänsmützenverkaufsveranstaltung"
    open_ = await world.event(100, 20, name=long, description="A\nB\n\nC", **common)
    soon = await world.event(100, name="Soon", sale_opens_at=from_now(days=2), **common)
    held = await world.event(2, name="ليلة الموسيقى", **common)
    await world.hold(held, None, (1, 2))
    own = [f"/e/{one['id']}" for one in (open_, soon, held)]
    proof, seller = f"{own[2]}/proof", f"/o/{open_['organizer_id']}"
    return ["/", "/sign-in", "/status", "/help", "/accessibility", *own, proof, seller]


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(look, marks=[pytest.mark.slow] * (look not in QUICK), id=look.name)
        for look in LOOKS
    ],
)
async def test_pages_fit_and_are_accessible(world: World, browser: Browser, look: Look) -> None:
    """At each width, in each language and light: no sideways scrolling, no violation (WCAG 2.2)."""
    paths, base = await shop(world), str(world.client.make_url("/")).rstrip("/")
    page, complaints = await looked_at(browser, look)
    wrong = []
    for path in paths:
        await page.goto(base + path)
        wrong += await wrong_with(page, look, path)
    wrong += [f"{look.name}: {said}" for said in complaints]
    assert [] == wrong


async def test_by_keyboard_alone(world: World, browser: Browser) -> None:
    """The first stop is the link to the content; what has the focus shows it; forms can be sent."""
    base = str(world.client.make_url("/")).rstrip("/")
    page, complaints = await looked_at(browser, LOOKS[0])
    await page.goto(f"{base}/sign-in")
    await page.keyboard.press("Tab")
    assert "#main" == await page.evaluate("document.activeElement.getAttribute('href')")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert "solid" == await page.evaluate(outline)
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    assert "email" == await page.evaluate("document.activeElement.id")
    await page.keyboard.type("nobody@example.org")
    await page.keyboard.press("Tab")
    await page.keyboard.type("wrong-one")
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".summary")
    # The summary has the focus, and leads to the field.
    assert await page.evaluate("document.activeElement.classList.contains('summary')")
    assert [] == [one for one in complaints if "401" not in one]
    assert elements(await page.content(), "html")
