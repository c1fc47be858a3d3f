"""The organizer's desk: its pages and their states, and that others' events are not there."""

from __future__ import annotations

import re

from engine.ids import new_id
from store import operators, users
from store.acts import Actor
from tests.api.world import World
from tests.web.reading import fields, page, send, words
from tests.web.test_visitors import PASSWORD

BY = Actor("usr_test", "admin", origin="test")
DRAFT = {
    "name": "Mahler 2",
    "venue": "Philharmonie",
    "day": "4",
    "month": "3",
    "year": "2030",
    "time": "19:30",
    "timezone": "Asia/Tokyo",
    "currency": "JPY",
    "name_1": "Stalls",
    "price_1": "4500",
    "capacity_1": "20",
}


async def enter(world: World, role: operators.Role = "organizer", organizer_id: str = "") -> str:
    """Sign in by the page as somebody of a role at an organizer, a new one if none is named."""
    email = f"{new_id('usr')}@example.org"
    given = {"email": email, "password": PASSWORD, "name": "Olivia"}
    made = await world.call("POST", "/v1/auth/register", json=given)
    me = await world.call("GET", "/v1/me", token=made.body["access_token"])
    own = organizer_id or await users.add_organizer(world.database, "House")
    if role != "user":
        await operators.set_role(world.database, BY, me.body["id"], role, own)
    world.client.session.cookie_jar.clear()
    form = await page(world, "/sign-in")
    done = await send(
        world, "/sign-in", fields(form.text) | {"email": email, "password": PASSWORD, "next": "/"}
    )
    assert 303 == done.status, done.text
    return own


async def made(world: World, own: str, **changes: str) -> str:
    """Make a draft by the form; return the path of its page."""
    form = await page(world, f"/manage/new?o={own}")
    answer = await send(world, f"/manage/new?o={own}", fields(form.text) | DRAFT | changes)
    assert 303 == answer.status, words(answer.text)
    return answer.headers["Location"]


async def test_from_a_form_to_a_sale_that_is_closed(world: World) -> None:
    """A draft says what it lacks, is published once it is said what that freezes, and is closed."""
    own = await enter(world)
    assert "There is no event yet." in words((await page(world, "/manage")).text)
    path = await made(world, own)
    listed = words((await page(world, "/manage")).text)
    assert "Mahler 2" in listed
    assert "Lacks: a summary in one sentence, the town, a description" in listed
    draft = await page(world, path)
    assert "it cannot be deleted any more" in words(draft.text)
    assert "Monday, 4 March 2030, 19:30 (Asia/Tokyo)" in words(draft.text)
    assert 404 == (await page(world, f"{path}/live")).status
    published = await send(world, f"{path}/publish", fields(draft.text))
    assert (303, path) == (published.status, published.headers["Location"])
    shown = await page(world, path)
    assert "On sale" in words(shown.text)
    live = await page(world, f"{path}/live", "de")
    assert "Der Verkauf, live" in words(live.text)
    assert f'data-sale="{path.rpartition("/")[2]}"' in live.text
    assert '<noscript><meta http-equiv="refresh" content="10"></noscript>' in live.text
    closed = await send(world, f"{path}/close", fields(shown.text))
    assert 303 == closed.status
    over = words((await page(world, path)).text)
    assert ("Sale closed" in over, "From then on nobody can book" in over) == (True, False)


async def test_a_form_is_done_once_and_names_its_mistakes(world: World) -> None:
    """Sent twice it makes one draft; what is wrong is named at its field, and the rest is kept."""
    own = await enter(world)
    form = fields((await page(world, f"/manage/new?o={own}")).text)
    target = f"/manage/new?o={own}"
    twice = [await send(world, target, form | DRAFT) for _ in range(2)]
    assert 1 == len({one.headers["Location"] for one in twice})
    other = await send(world, target, form | DRAFT | {"name": "Another"})
    assert 422 == other.status
    for changes, said in (
        ({"day": "31", "month": "2"}, "The start must be a day and a time that there are"),
        ({"time": "25:00"}, "The start must be a day and a time that there are"),
        ({"year": "2001"}, "The start must be in the future"),
        ({"timezone": "Mars/Olympus"}, "The time zone must be a name"),
        ({"price_1": "12.50"}, "A price must be an amount"),
        ({"capacity_1": "many"}, "The number of places must be a whole number"),
        ({"currency": "XXX"}, "The currency must be a code"),
        ({"name_1": ""}, "There must be a category of places"),
        ({"name": ""}, "The event must have a name"),
    ):
        fresh = fields((await page(world, target)).text)
        answer = await send(world, target, fresh | DRAFT | changes)
        text = words(answer.text)
        assert (422, True) == (answer.status, said in text), (changes, text)
        assert re.search(r"<title>Error: ", answer.text)
        assert 'value="Philharmonie"' in answer.text


async def test_bookings_are_found(world: World) -> None:
    """By name, address and number; none, none found, and a page at a time."""
    own = await enter(world)
    path = await made(world, own, capacity_1="100")
    await send(world, f"{path}/publish", fields((await page(world, path)).text))
    at = f"{path}/bookings"
    assert "Nobody has booked yet." in words((await page(world, at)).text)
    event_id = path.rpartition("/")[2]
    event = (await world.call("GET", f"/v1/events/{event_id}")).body
    email = f"{new_id('usr')}@example.org"
    account = {"email": email, "password": PASSWORD, "name": "Grace Hopper"}
    buyer = (await world.call("POST", "/v1/auth/register", json=account)).body["access_token"]
    booked = await world.book(event, buyer, (1, 2))
    await world.settle()
    for text in ("", "Grace", email, booked.body["id"]):
        shown = words((await page(world, f"{at}?q={text}")).text)
        assert "Grace Hopper" in shown
        assert "2 × Stalls JP¥9,000" in shown
    none = await page(world, f"{at}?q=nobody-of-that-name")
    assert "No booking is found by that." in words(none.text)


async def test_s8_others_are_not_there(world: World) -> None:
    """No page of another organizer is there, for another owner or a buyer; nothing is done."""
    own = await enter(world)
    path = await made(world, own)
    tails = ("", "/bookings", "/live")
    others: tuple[operators.Role, ...] = ("organizer", "user")
    for role in others:
        await enter(world, role)
        form = fields((await page(world, "/events")).text)
        for tail in tails:
            assert 404 == (await page(world, f"{path}{tail}")).status, (role, tail)
        assert 404 == (await page(world, f"/manage?o={own}")).status
        assert 404 == (await page(world, f"/manage/new?o={own}")).status
        for tail in ("/publish", "/close"):
            assert 404 == (await send(world, f"{path}{tail}", form)).status, (role, tail)
        assert 404 == (await send(world, f"/manage/new?o={own}", form | DRAFT)).status
    nobody = words((await page(world, "/manage")).text)
    assert "You are on no organizer's team." in nobody
    world.client.session.cookie_jar.clear()
    async with world.client.get(path, allow_redirects=False) as answer:
        assert 303 == answer.status
        assert answer.headers["Location"].startswith("/sign-in?next=")
