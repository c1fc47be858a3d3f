"""An organizer's page, calendars, pictures to be shared, the site map's parts, status and help."""

from __future__ import annotations

import datetime as dt

import pytest
from icalendar import Calendar

from api.http import SERVICES
from store import reigns
from tests.api.world import SHARD, World
from tests.web.reading import elements, page, words
from web.pages import files

PNG = b"\x89PNG\r\n\x1a\n"


async def test_organizers_page_and_who_sells(world: World) -> None:
    """Who sells is named on the event's page, and has a page with what is to come alone."""
    organizer = await world.organizer()
    event = await world.event(5, name="<b>A</b>", token=organizer)
    other = await world.event(5, name="Of another")
    draft = await world.draft(organizer, 5, name="A draft")
    shown = await page(world, f"/e/b-a-b-{event['id']}")
    link = f"/o/{event['organizer_id']}"
    [seller] = [one for one in elements(shown.text, "a") if one.attributes.get("href") == link]
    assert "House" == seller.text.strip()
    found = await page(world, link, "de")
    assert "Was bevorsteht" in found.text
    assert event["id"] in found.text
    assert other["id"] not in found.text
    assert draft["id"] not in found.text
    assert f'<link rel="canonical" href="http://tickets.example{link}">' in found.text
    nobody = await world.draft(await world.organizer(), 5)
    empty = await page(world, f"/o/{nobody['organizer_id']}")
    assert "Nothing is to come" in empty.text
    for name in ("org_00000000000000000000000000", "org", "%00"):
        assert 404 == (await page(world, f"/o/{name}")).status


async def test_calendars_are_subscribed_to(world: World) -> None:
    """Each event to come once, under a UID that stays; a cancelled one is told as such."""
    organizer = await world.organizer()
    event = await world.event(5, name="A; B, C", venue="Hall", token=organizer)
    gone = await world.event(5, name="Gone", token=organizer)
    await world.call("POST", f"/v1/events/{gone['id']}/cancel", token=organizer)
    await world.settle()
    for path in (f"/o/{event['organizer_id']}/events.ics", "/events.ics"):
        found = await page(world, path)
        assert "text/calendar" in found.headers["Content-Type"]
        rows = {str(one["uid"]): one for one in Calendar.from_ical(found.text).walk("VEVENT")}
        own = rows[f"{event['id']}@evently"]
        assert ("A; B, C", "CONFIRMED") == (str(own["summary"]), str(own["status"]))
        assert f"/e/a-b-c-{event['id']}" in str(own["description"])
        assert "House" == own["organizer"].params["CN"]
        if f"{gone['id']}@evently" in rows:
            assert "CANCELLED" == str(rows[f"{gone['id']}@evently"]["status"])
    assert 404 == (await page(world, "/o/org_00000000000000000000000000/events.ics")).status


async def test_picture_to_be_shared(world: World) -> None:
    """The page names a picture of itself; what is written in it is no markup; drafts have none."""
    organizer = await world.organizer()
    event = await world.event(5, name='#"*[]$ <b>' + "W" * 150, slug="a", token=organizer)
    shown = await page(world, f"/e/a-{event['id']}")
    [image] = [one for one in elements(shown.text, "meta") if one[1].get("property") == "og:image"]
    address = image.attributes["content"] or ""
    assert f"http://tickets.example/e/a-{event['id']}/card.png" == address
    found = await page(world, address.removeprefix("http://tickets.example"))
    assert (200, "image/png") == (found.status, found.headers["Content-Type"])
    assert (PNG, (1200, 630)) == (
        found.raw[:8],
        (int.from_bytes(found.raw[16:20], "big"), int.from_bytes(found.raw[20:24], "big")),
    )
    draft = await world.draft(organizer, 5)
    for name in (draft["id"], "a"):
        assert 404 == (await page(world, f"/e/{name}/card.png")).status


async def test_site_map_in_parts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are more events than a file may have, parts are named; all of them are all."""
    monkeypatch.setattr(files, "PART_EVENTS", 2)
    made = [await world.event(5, name="A") for _ in range(5)]
    index = await page(world, "/sitemap.xml")
    assert "<sitemapindex" in index.text
    parts = [one.text.strip() for one in elements(index.text, "loc")]
    listed: list[str] = []
    for part in parts:
        found = await page(world, part.removeprefix("http://tickets.example"))
        own = [one.text.strip() for one in elements(found.text, "loc") if "/e/" in one.text]
        assert len(own) <= 2
        listed += own
    assert len(listed) == len(set(listed))
    assert {f"http://tickets.example/e/a-{one['id']}" for one in made} <= set(listed)
    assert 422 == (await page(world, "/sitemap-part.xml?after=x")).status


@pytest.mark.parametrize(
    ("path", "says"), [("/help", "Habe ich doppelt gekauft?"), ("/accessibility", "2.2, Stufe AA")]
)
async def test_help_and_statement(world: World, path: str, says: str) -> None:
    """Each is led to from every page."""
    assert says in words((await page(world, path, "de")).text)
    links = [one.attributes.get("href") for one in elements((await page(world, "/")).text, "a")]
    assert path in links


async def test_status(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether sales are open by what readiness says, since when, and no name of what is below."""
    found = await page(world, "/status")
    assert "Sales are open" in found.text
    since = await reigns.since(world.database)
    assert since is not None
    assert since[0]
    assert since[1].isoformat() in found.text
    assert since[1] < dt.datetime.now(dt.UTC)
    [shard] = world.client.app[SERVICES].engine.shards.values()

    async def is_not_heard() -> bool:
        return False

    monkeypatch.setattr(shard, "is_heard", is_not_heard)
    paused = await page(world, "/status?again")
    assert 'data-status="paused"' in paused.text
    # Redis and PostgreSQL, hosts and shards are nobody's business here.
    for name in ("redis", "shard", "postgres", str(SHARD) + "."):
        assert name not in words(paused.text).lower()
