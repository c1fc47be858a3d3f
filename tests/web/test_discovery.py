"""The first page, the search, and what search engines ask for."""

from __future__ import annotations

import pytest

from engine.ids import new_id
from tests.api.world import World, from_now
from tests.web.reading import elements, page, words


@pytest.mark.page("first page", "events", "opening soon")
async def test_home_shows_what_opens_soon_first(world: World) -> None:
    """What opens soon stands above what is on sale; each card says how its sale stands."""
    name = new_id("usr")
    await world.event(100, name=f"On {name}", category="Concert")
    await world.event(100, name=f"Soon {name}", sale_opens_at=from_now(days=1))
    text = words((await page(world, f"/events?q={name}")).text)
    assert f"On {name}" in text
    assert text.index("On sale") > 0
    home = await page(world, "/")
    assert 200 == home.status
    headings = [one.text.strip() for one in elements(home.text, "h2")]
    assert ["Opening soon", "What is on"] == headings
    assert "public, max-age=1, stale-while-revalidate=5" == home.headers["Cache-Control"]


@pytest.mark.page("search", "found", "next page")
async def test_search_filters_by_links_and_has_a_next_page(world: World) -> None:
    """Each filter is a link and can be dropped; filtered lists are not for search engines."""
    name = new_id("usr")
    for number in range(25):
        await world.event(5, name=f"{name} {number}", category=name)
    first = await page(world, f"/events?q={name}&category={name}")
    assert 24 == first.text.count('class="card ')
    assert "noindex" in first.text
    links = [one.attributes for one in elements(first.text, "a")]
    assert f"/events?q={name}" in [one["href"] for one in links]
    [onward] = [one["href"] for one in links if one.get("rel") == "next"]
    assert onward is not None
    second = await page(world, onward)
    assert 1 == second.text.count('class="card ')


@pytest.mark.page("search", "nothing found")
async def test_nothing_found_offers_a_way_on(world: World) -> None:
    """An empty list says so, and leads to all events."""
    found = await page(world, "/events?q=nothinghasthisname")
    assert "Nothing found" in words(found.text)
    assert "/events" in [one.attributes["href"] for one in elements(found.text, "a")]


async def test_a_bad_cursor_is_a_page(world: World) -> None:
    """What is not ours in the address is told as a page."""
    found = await page(world, "/events?after=nonsense")
    assert (422, True) == (found.status, found.text.startswith("<!doctype html>"))


async def test_site_map_and_robots(world: World) -> None:
    """Search engines find each event's page by its one address, and are kept from the rest."""
    event = await world.event(5, name="Größe & Maß")
    found = await page(world, "/sitemap.xml")
    assert "application/xml" in found.headers["Content-Type"]
    path = f"/e/grosse-mass-{event['id']}"
    assert f"<loc>http://tickets.example{path}</loc>" in found.text
    shown = await page(world, path)
    assert f'<link rel="canonical" href="http://tickets.example{path}">' in shown.text
    robots = await page(world, "/robots.txt")
    assert "Disallow: /v1/" in robots.text
    assert "Sitemap: http://tickets.example/sitemap.xml" in robots.text
    assert 200 == (await page(world, "/favicon.ico")).status
