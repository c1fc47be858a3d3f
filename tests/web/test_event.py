"""The page of an event, in each state of its sale."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import orjson
import pytest

from tests.api.world import World, from_now
from tests.web.reading import elements, page, words
from usecases import told
from usecases.asked import Money
from web.states import State, now_of

NOW = dt.datetime(2026, 12, 1, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


@pytest.mark.page("event", "on sale")
async def test_facts_prices_and_what_must_be_said(world: World) -> None:
    """Time at its place, prices as the language writes them, limits, and how the list works."""
    event = await world.event(
        100,
        name="Mahler 2",
        venue="Philharmonie",
        timezone="Asia/Tokyo",
        starts_at="2030-03-04T10:00:00Z",
        address="Herbert-von-Karajan-Straße 1\n10785 Berlin",
    )
    german = words((await page(world, f"/e/{event['id']}", "de")).text)
    assert "Montag, 4. März 2030, 19:00 (Asia/Tokyo)" in german
    assert "10,00 €" in german
    assert "Eine Person kann 10 Plätze" in german
    assert "Wer zuerst kam" in german
    assert "10785 Berlin" in german


async def test_other_addresses_lead_to_the_one(world: World) -> None:
    """An id alone, or an older slug, leads to the one address; another id is not there."""
    event = await world.event(5, name="Concert")
    for name in (event["id"], f"older-{event['id']}"):
        url = f"/e/{name}?promo_code=A"
        async with world.client.get(url, allow_redirects=False) as answer:
            to = answer.headers["Location"]
            assert (301, f"/e/concert-{event['id']}?promo_code=A") == (answer.status, to)
    for name in ("concert", "evt_00000000000000000000000000"):
        missing = await page(world, f"/e/{name}")
        assert (404, True) == (missing.status, "There is no page here" in missing.text)


@pytest.mark.page("event", "all held", "sold out", "cancelled")
async def test_sold_out_held_and_cancelled(world: World) -> None:
    """What stops a sale is said first, in words; only so many are told as are true."""
    organizer = await world.organizer()
    event = await world.event(2, name="A", token=organizer)
    await world.hold(event, None, (1, 2))
    assert "All places are held" in (await page(world, f"/e/a-{event['id']}")).text
    other = await world.event(1, name="B", token=organizer)
    await world.book(other, None)
    sold = await page(world, f"/e/b-{other['id']}")
    assert "Only a cancellation can bring one back." in sold.text
    await world.call("POST", f"/v1/events/{other['id']}/cancel", token=organizer)
    gone = await page(world, f"/e/b-{other['id']}", "de")
    assert "Diese Veranstaltung ist abgesagt" in gone.text
    assert "EventCancelled" in gone.text


async def test_all_held_says_when_the_first_may_return(world: World) -> None:
    """How many are only held, and until when the first; one press, and the page asks again then."""
    event = await world.event(3, 2, name="A", timezone="Europe/Berlin")
    await world.book(event, None)
    await world.hold(event, None, (2, 2))
    held = await world.hold(event, None, (1, 2))
    at = dt.datetime.fromisoformat(
        (await world.call("GET", f"/v1/events/{event['id']}/availability")).body["tiers"][0][
            "returns_at"
        ]
    )
    assert dt.datetime.fromisoformat(held.body["expires_at"]) == at
    clock = at.astimezone(ZoneInfo("Europe/Berlin")).strftime("%H:%M:%S")
    path = f"/e/a-{event['id']}"
    shown = words((await page(world, path, "de")).text)
    assert "5 sind vergeben, davon 4 nur reserviert." in shown
    assert f"der erste bis {clock}" in shown
    for again in range(2):
        asked = await page(world, f"{path}?again=1")
        assert "asks again by itself" in asked.text, again
        wait_s = (at - dt.datetime.now(dt.UTC)).total_seconds()
        # Not the page of another: everybody comes at a moment of their own.
        assert wait_s < int(asked.headers["Refresh"]) <= wait_s + 7
        assert "private, no-store" == asked.headers["Cache-Control"]
    assert "Refresh" not in (await page(world, path)).headers


async def test_who_waits_is_told_no_time(world: World) -> None:
    """Where people wait, what returns is theirs: no time is told, and there is nothing to ask."""
    event = await world.event(1, name="A")
    await world.hold(event, None)
    lines = {"tier_id": event["tiers"][0]["id"], "quantity": 1}
    joined = await world.call(
        "POST", f"/v1/events/{event['id']}/waitlist", token=world.token(), key="k", json=lines
    )
    assert 201 == joined.status, joined.text
    found = await page(world, f"/e/a-{event['id']}?again=1")
    assert "What comes back is offered to those who wait." in words(found.text)
    assert "Refresh" not in found.headers


@pytest.mark.page("event", "soon")
async def test_soon_counts_down_by_the_servers_clock(world: World) -> None:
    """Before it opens, the page says when and carries the server's time; drafts are not there."""
    organizer = await world.organizer()
    event = await world.event(5, name="A", token=organizer, sale_opens_at=from_now(hours=2))
    found = await page(world, f"/e/a-{event['id']}")
    [clock] = [one for one in elements(found.text, "p") if "data-until" in one.attributes]
    assert clock.attributes["data-now"]
    draft = await world.draft(organizer, 5)
    assert 404 == (await page(world, f"/e/concert-{draft['id']}")).status


async def test_code_box_is_where_codes_are(world: World) -> None:
    """A box for a code stands where there is one, and a code shows the tier that it unlocks."""
    plain = await world.event(5, name="A")
    assert "promo_code" not in (await page(world, f"/e/a-{plain['id']}")).text
    tiers = [
        {"name": name, "price": {"amount": 900, "currency": "EUR"}, "capacity": 5, "is_hidden": hid}
        for name, hid in (("Open", False), ("Friends", True))
    ]
    codes = [{"code": "FRIENDS", "uses_max": 5, "tiers": [1]}]
    event = await world.event(5, name="B", tiers=tiers, promo_codes=codes)
    without = await page(world, f"/e/b-{event['id']}")
    assert 'name="promo_code"' in without.text
    assert "Friends" not in words(without.text)
    unlocked = await page(world, f"/e/b-{event['id']}?promo_code=friends")
    assert "Friends" in words(unlocked.text)


async def test_s20_nothing_that_is_written_becomes_markup(world: World) -> None:
    """S20: names, texts and data for search engines stay text, whatever they look like."""
    bad = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&{{7*7}}"
    event = await world.event(
        5,
        slug="a",
        tiers=[{"name": bad, "price": {"amount": 1, "currency": "EUR"}, "capacity": 5}],
        **dict.fromkeys(
            ("name", "summary", "description", "venue", "place", "address", "access_notes"), bad
        ),
        category=bad[:90],
    )
    for path in (f"/e/a-{event['id']}", "/", f"/events?q={'%3Cscript%3E'}"):
        found = await page(world, path)
        assert 200 == found.status, path
        scripts = [one.attributes.get("type") for one in elements(found.text, "script")]
        assert scripts in (["module", "application/ld+json"], ["module"]), path
        assert not elements(found.text, "img")
        assert not any(name.startswith("on") for one in elements(found.text) for name in one[1])
    shown = await page(world, f"/e/a-{event['id']}")
    blocks = elements(shown.text, "script")
    [block] = [one for one in blocks if one.attributes["type"] == "application/ld+json"]
    assert bad == orjson.loads(block.text)["name"]


async def test_a_change_is_seen_within_a_second(world: World) -> None:
    """A page that is kept is shown again, and no longer than a second."""
    event = await world.event(1, name="A")
    path = f"/e/a-{event['id']}"
    await page(world, path)
    await world.book(event, None)
    found = await page(world, path)
    while "Sold out" not in found.text:
        found = await page(world, path)
    assert "Sold out" in found.text


def _event(**changes: object) -> told.Event:
    fields: dict[str, object] = dict.fromkeys(told.Event.__struct_fields__, "")
    fields |= {
        "status": "published",
        "starts_at": NOW + 24 * HOUR,
        "ends_at": NOW + 27 * HOUR,
        "sale_opens_at": NOW - HOUR,
        "sale_closes_at": NOW + HOUR,
        "postponed_from": None,
        "tiers": [
            told.Tier(
                id="t",
                name="T",
                price=Money(1, "EUR"),
                capacity=100,
                max_per_order=1,
                min_per_order=1,
                max_per_user=None,
                sale_opens_at=None,
                sale_closes_at=None,
                is_hidden=False,
                sells_after_end=False,
            )
        ],
    }
    return told.Event(**(fields | changes))  # type: ignore[arg-type]


def _left(**changes: object) -> told.Availability:
    fields: dict[str, object] = {
        "tier_id": "t",
        "capacity": 100,
        "available": 50,
        "held": 0,
        "sold": 50,
        "waiting": 0,
        "status": "available",
    }
    tier = told.TierAvailability(**(fields | changes))  # type: ignore[arg-type]
    return told.Availability(event_id="e", as_of=NOW, tiers=[tier])


@pytest.mark.parametrize(
    ("event", "left", "state"),
    [
        ({}, {}, State.ON_SALE),
        ({}, {"available": 5}, State.FEW),
        ({}, {"status": "all_held", "available": 0}, State.ALL_HELD),
        ({}, {"status": "all_held", "available": 0, "waiting": 3}, State.WAITLIST),
        ({}, {"status": "kept_for_waitlist"}, State.KEPT),
        ({}, {"status": "sold_out", "available": 0}, State.SOLD_OUT),
        ({}, {"status": "sold_out", "available": 0, "waiting": 1}, State.WAITLIST),
        ({}, None, State.PAUSED),
        ({"sale_opens_at": NOW + HOUR}, {}, State.SOON),
        ({"sale_closes_at": NOW}, {}, State.CLOSED),
        ({"status": "closed"}, {}, State.CLOSED),
        ({"status": "cancelled"}, None, State.CANCELLED),
        ({"status": "draft"}, None, State.DRAFT),
        ({"starts_at": NOW - 3 * HOUR, "ends_at": NOW - HOUR}, {}, State.PAST),
    ],
)
def test_states(event: dict[str, object], left: dict[str, object] | None, state: State) -> None:
    """Each state of a sale has a word of its own."""
    known = None if left is None else _left(**left)
    assert state == now_of(_event(**event), known, NOW).state
