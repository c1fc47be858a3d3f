"""The waiting list: joining, the place and its reasons, an offer and what becomes of it."""

from __future__ import annotations

import pytest

from engine.errors import OutcomeUnknown
from tests.api.world import Event, World
from tests.web.reading import elements, fields, page, send, words
from tests.web.test_me import user_of
from tests.web.test_visitors import signed_in
from tests.web.test_ways_in import mistakes
from usecases import waitlist


async def full(world: World, count: int = 1, **told: object) -> tuple[Event, str, str]:
    """Publish an event and sell it out; return it, the booking, and its buyer's token."""
    house = await world.organizer()
    event = await world.event(count, name="Full", token=house, **told)
    taken = await world.book(event, house, (1, count))
    assert 201 == taken.status, taken.text
    return event, taken.body["id"], house


async def joined(world: World, event: Event, quantity: int = 1) -> str:
    """Join by the page; return where the entry is shown."""
    form = fields((await page(world, f"/e/{event['id']}/wait")).text)
    given = form | {"tier_id": event["tiers"][0]["id"], "quantity": str(quantity)}
    answer = await send(world, f"/e/{event['id']}/wait", given)
    assert 303 == answer.status, words(answer.text)
    # The same form sent again leads to the same entry.
    again = await send(world, f"/e/{event['id']}/wait", given)
    assert answer.headers["Location"] == again.headers["Location"]
    return answer.headers["Location"]


@pytest.mark.page("place, offer", "waiting", "left (why)")
@pytest.mark.page("join a waiting list", "categories", "waits already")
async def test_joining_and_leaving(world: World) -> None:
    """From the event's page one joins, sees place, parties and places ahead, and how the list is
    led; and leaves; a second entry of the same tier is refused with the way to the first."""
    await signed_in(world)
    event, _, _ = await full(world, 4, waitlist_policy="skip")
    shown = await page(world, f"/e/{event['id']}")
    assert f'href="/e/{event["id"]}/wait"' in shown.text
    other = await world.call(
        "POST",
        f"/v1/events/{event['id']}/waitlist",
        token=world.token(),
        key="w-1",
        json={"tier_id": event["tiers"][0]["id"], "quantity": 3},
    )
    assert 201 == other.status
    at = await joined(world, event, 2)
    entry = words((await page(world, at)).text)
    for said in ("Place 2", "Parties ahead of you 1", "Places that they need 3", "is passed by"):
        assert said in entry
    assert "Too little has come back lately to tell." in entry
    form = fields((await page(world, f"/e/{event['id']}/wait")).text)
    given = form | {"tier_id": event["tiers"][0]["id"], "quantity": "1"}
    second = await send(world, f"/e/{event['id']}/wait", given)
    assert (409, ["#tier_id"]) == (second.status, mistakes(second.text))
    assert 'href="/me/waiting"' in second.text
    left = await send(world, at, fields((await page(world, at)).text) | {"do": "leave"})
    assert (303, at) == (left.status, left.headers["Location"])
    assert "You left the list." in (await page(world, at)).text


@pytest.mark.parametrize("given", [{"quantity": "x"}, {"quantity": "11"}, {"tier_id": "tier_x"}])
@pytest.mark.page("join a waiting list", "mistake")
async def test_what_is_wrong_is_said(world: World, given: dict[str, str]) -> None:
    """A mistake leads to its field, and changes nothing."""
    await signed_in(world)
    event, _, _ = await full(world)
    form = fields((await page(world, f"/e/{event['id']}/wait")).text)
    asked = form | {"tier_id": event["tiers"][0]["id"], "quantity": "1"} | given
    answer = await send(world, f"/e/{event['id']}/wait", asked)
    assert (422, [f"#{next(iter(given))}"]) == (answer.status, mistakes(answer.text))


@pytest.mark.page("join a waiting list", "places free")
async def test_nobody_has_to_wait_where_places_are(world: World) -> None:
    """While there are places the page says so; of an event that is not there, nothing."""
    await signed_in(world)
    event = await world.event(5)
    assert "nobody has to wait" in (await page(world, f"/e/{event['id']}/wait")).text
    for path in ("/e/x/wait", "/wait/x", "/wait/wl_x"):
        assert 404 == (await page(world, path)).status


async def offered(world: World) -> tuple[str, Event]:
    """Join, and have the places come back; return where the entry is shown, and the event."""
    event, taken, house = await full(world)
    at = await joined(world, event)
    await world.cancel(taken, house)
    return at, event


@pytest.mark.page("place, offer", "offered", "accepted")
async def test_an_offer_is_accepted(world: World) -> None:
    """An offer says what, until when and what declining does; accepted it leads to the booking,
    however often it is sent; the entry of others is not there (S8)."""
    email = await signed_in(world)
    at, _ = await offered(world)
    shown = await page(world, at)
    assert "1 place is kept for you" in words(shown.text)
    assert "the next who waits gets them at once" in words(shown.text)
    [clock] = [one for one in elements(shown.text, "p") if "data-until" in one.attributes]
    assert clock.attributes["data-now"]
    assert "1 Platz ist für Sie reserviert" in words((await page(world, at, "de")).text)
    form = fields(shown.text) | {"do": "accept"}
    for _ in range(2):
        answer = await send(world, at, form)
        assert (303, "/b/bk_") == (answer.status, answer.headers["Location"][:6])
    assert "You accepted the offer" in (await page(world, at)).text
    assert await user_of(world, email)
    await signed_in(world)
    assert 404 == (await page(world, at)).status


@pytest.mark.page("place, offer", "declined")
async def test_an_offer_is_declined(world: World) -> None:
    """Declined, the entry says so, and accepting is over; one may join again."""
    await signed_in(world)
    at, event = await offered(world)
    form = fields((await page(world, at)).text)
    answer = await send(world, at, form | {"do": "decline"})
    assert (303, at) == (answer.status, answer.headers["Location"])
    shown = await page(world, at)
    assert "You declined the offer." in shown.text
    assert f'href="/e/{event["id"]}/wait"' in shown.text
    late = await send(world, at, form | {"do": "accept"})
    assert late.status in {409, 410}
    assert "<title>Error:" in late.text


@pytest.mark.page("join a waiting list", "not known yet")
async def test_nobody_knows_yet(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is not known what became of it, the page asks again by itself, with the same key."""
    await signed_in(world)
    event, _, _ = await full(world)
    form = fields((await page(world, f"/e/{event['id']}/wait")).text)
    given = form | {"tier_id": event["tiers"][0]["id"], "quantity": "1"}

    async def lost(*_: object) -> None:
        raise OutcomeUnknown

    with monkeypatch.context() as patched:
        patched.setattr(waitlist, "join", lost)
        answer = await send(world, f"/e/{event['id']}/wait", given)
    assert 503 == answer.status
    to = answer.headers["Refresh"].partition("url=")[2]
    async with world.client.get(to, allow_redirects=False) as done:
        first = done.headers["Location"]
    again = await send(world, f"/e/{event['id']}/wait", given)
    assert first == again.headers["Location"]
