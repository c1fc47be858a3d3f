"""What one has: bookings, tickets, gifts and receipts, in each of their states."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from engine.ids import new_id
from tests.api.test_bookings import cut_redis
from tests.api.test_gate import scan
from tests.api.world import Answer, Event, World, from_now
from tests.web.reading import elements, fields, page, send, words
from tests.web.test_order import book
from tests.web.test_visitors import PASSWORD, registered, signed_in


async def sign_in_as(world: World, email: str) -> None:
    """Let the browser be somebody else's."""
    world.client.session.cookie_jar.clear()
    form = await page(world, "/sign-in")
    given = fields(form.text) | {"email": email, "password": PASSWORD}
    assert 303 == (await send(world, "/sign-in", given)).status


async def booked(world: World, event: Event, *counts: int) -> str:
    """Book by the page; return the path of the booking when it is written."""
    answer = await book(world, event, *counts)
    assert 303 == answer.status, words(answer.text)
    await world.settle()
    return answer.headers["Location"]


async def submit(world: World, path: str, **more: str) -> Answer:
    """Send the form of a page, with some fields."""
    shown = await page(world, path)
    assert 200 == shown.status, words(shown.text)
    return await send(world, path, fields(shown.text.partition("<main")[2]) | more)


def ticket_paths(text: str) -> list[str]:
    """Return where the tickets of a booking are shown large."""
    found = [one.attributes["href"] or "" for one in elements(text, "a")]
    return list(
        dict.fromkeys(one for one in found if one.startswith("/t/") and one.count("/") == 2)
    )


@pytest.mark.page("booking", "booked now")
@pytest.mark.page("bookings", "some")
@pytest.mark.page("ticket", "valid")
async def test_confirmed_with_all_there_is(world: World) -> None:
    """The panel, a code for each ticket, papers, calendar, what it costs; found from anywhere."""
    await signed_in(world)
    event = await world.event(10, 10, name="Mahler 2", venue="Philharmonie")
    path = await booked(world, event, 2, 1)
    shown = await page(world, path)
    text = words(shown.text)
    short = path[4:].partition("?")[0][-8:].upper()
    for said in ("Booked", f"{short[:4]}-{short[4:]}", "Total €40.00", "Philharmonie"):
        assert said in text
    assert 3 == len(ticket_paths(shown.text))
    own = path.partition("?")[0]
    pdf = await page(world, f"{own}/tickets.pdf")
    assert ("application/pdf", b"%PDF") == (pdf.headers["Content-Type"], pdf.raw[:4])
    entry = await page(world, f"{own}/event.ics")
    assert ("text/calendar; charset=utf-8", True) == (
        entry.headers["Content-Type"],
        "SUMMARY:Mahler 2" in entry.text,
    )
    for one in ticket_paths(shown.text):
        code = await page(world, f"{one}/qr.svg")
        assert ("image/svg+xml; charset=utf-8", True) == (
            code.headers["Content-Type"],
            code.text.startswith("<svg"),
        )
    again = await page(world, f"{own}?made=again")
    assert "Nothing was booked twice" in words(again.text)
    for here, onward in ((f"/e/{event['id']}", "/me"), ("/", "/me"), ("/me", "/b")):
        links = elements((await page(world, here)).text, "a")
        assert onward in [one.attributes["href"] for one in links]
    assert "Mahler 2" in words((await page(world, "/b")).text)


async def test_bookings_and_tickets_are_their_owners(world: World) -> None:
    """S8: what is another's is not there, whatever is asked of it; nor is what there never was."""
    await signed_in(world)
    event = await world.event(10, name="A")
    path = (await booked(world, event, 1)).partition("?")[0]
    ticket = ticket_paths((await page(world, path)).text)[0]
    await sign_in_as(world, await registered(world))
    assert "Nothing booked yet" in words((await page(world, "/b")).text)
    assert "Mahler" not in words((await page(world, "/b")).text)
    own = fields((await page(world, "/")).text)
    for one in (path, f"{path}/tickets.pdf", f"{path}/event.ics", f"{path}/cancel"):
        assert 404 == (await page(world, one)).status, one
    for one in (ticket, f"{ticket}/ticket.pdf", f"{ticket}/event.ics", f"{ticket}/qr.svg"):
        assert 404 == (await page(world, one)).status, one
    for one in (f"{path}/cancel", f"{ticket}/give", f"/gifts/{new_id('gift')}"):
        assert 404 == (await page(world, one)).status, one
        for do in ("accept", "end", "back", "offer"):
            given = own | {"do": do, "email": "a@example.org"}
            assert 404 == (await send(world, one, given)).status, (one, do)
    world.client.session.cookie_jar.clear()
    for one in (path, ticket, "/b"):
        async with world.client.get(one, allow_redirects=False) as answer:
            assert (303, "/sign-in?next=") == (answer.status, answer.headers["Location"][:14])


@pytest.mark.page("booking", "partly given back", "cancelled")
@pytest.mark.page("giving back", "check")
async def test_some_and_all_are_given_back(world: World) -> None:
    """A page says what follows; some tickets go, then all; a form sent again changes nothing."""
    await signed_in(world)
    event = await world.event(10, name="A")
    path = (await booked(world, event, 3)).partition("?")[0]
    first, second, third = (one[3:] for one in ticket_paths((await page(world, path)).text))
    form = await page(world, f"{path}/cancel")
    assert "go first to those who wait" in words(form.text)
    empty = await submit(world, f"{path}/cancel")
    assert (422, True) == (empty.status, 'href="#which"' in empty.text)
    given = fields(form.text.partition("<main")[2]) | {first: "1"}
    some = await send(world, f"{path}/cancel", given)
    assert f"{path}?did=back" == some.headers["Location"]
    await world.settle()
    shown = words((await page(world, f"{path}?did=back")).text)
    assert "1 of them was given back." in shown
    assert "The places are on sale again." in shown
    again = await send(world, f"{path}/cancel", given | {second: "1"})
    assert path == again.headers["Location"]  # The version has passed.
    all_ = await submit(world, f"{path}/cancel", **{second: "1", third: "1"})
    assert 303 == all_.status
    await world.settle()
    assert "This booking is cancelled" in words((await page(world, path)).text)
    assert "This booking is cancelled" in words((await page(world, f"{path}/cancel")).text)
    assert "lets nobody in" in words((await page(world, f"/t/{first}")).text)


@pytest.mark.page("ticket", "used")
async def test_a_used_ticket_stays(world: World) -> None:
    """Somebody is in on it: pages say so, and it cannot be given back or away."""
    email = await signed_in(world)
    event = await world.event(10, name="A")
    path = (await booked(world, event, 1)).partition("?")[0]
    [ticket] = ticket_paths((await page(world, path)).text)
    user = await world.database.fetchval("SELECT id FROM users WHERE email = $1", email)
    read = await world.call("GET", f"/v1/bookings/{path[3:]}", token=world.token(user))
    staff = world.token(role="staff", organizer_id=event["organizer_id"])
    code = read.body["tickets"][0]["code"]
    assert 200 == (await scan(world, event, code, staff, gate="North")).status
    await world.settle()
    assert "Used" in words((await page(world, path)).text)
    assert "North" in words((await page(world, ticket)).text)
    refused = await submit(world, f"{path}/cancel", **{ticket[3:]: "1"})
    assert (409, True) == (refused.status, "<title>Error:" in refused.text)
    refused = await submit(world, f"{ticket}/give", email="a@example.org", do="offer")
    assert 409 == refused.status


@pytest.mark.page("ticket", "offered")
@pytest.mark.page("gift", "offered")
@pytest.mark.page("giving away", "check")
async def test_a_ticket_is_given_accepted_and_given_back(world: World) -> None:
    """Offered to an address, accepted by who has proved it, and given back to who booked it."""
    giver = await signed_in(world)
    friend = await registered(world)
    await world.prove(friend)
    event = await world.event(10, name="A")
    path = (await booked(world, event, 2)).partition("?")[0]
    first, second = ticket_paths((await page(world, path)).text)
    bad = await submit(world, f"{first}/give", email="nobody", do="offer")
    assert (422, True) == (bad.status, 'href="#email"' in bad.text)
    own = await submit(world, f"{first}/give", email=giver, do="offer")
    assert 422 == own.status
    # Whether or not the address has an account, what is said is the same (S7).
    said = []
    for ticket, email in ((first, friend), (second, "nobody.at.all@example.org")):
        given = await submit(world, f"{ticket}/give", email=email, do="offer")
        assert f"{ticket}?did=offered" == given.headers["Location"]
        said.append(words((await page(world, f"{ticket}?did=offered")).text)[:200])
    assert said[0] == said[1]
    shown = await page(world, path)
    assert f"It waits for {friend}" in words(shown.text)
    gifts = [
        one.attributes["action"] or ""
        for one in elements(shown.text, "form")
        if (one.attributes["action"] or "").startswith("/gifts/")
    ]
    assert "A ticket that you offer" in words((await page(world, gifts[1])).text)
    assert "/b" == (await submit(world, gifts[1], do="end")).headers["Location"]
    assert "nobody.at.all" not in (await page(world, path)).text
    await sign_in_as(world, friend)
    assert "A ticket for you" in words((await page(world, "/b")).text)
    form = await page(world, gifts[0])
    assert "Ada gives it to you." in words(form.text)
    for _ in range(2):
        accept = fields(form.text.partition("<main")[2]) | {"do": "accept"}
        taken = await send(world, gifts[0], accept)
        assert f"{first}?did=accepted" == taken.headers["Location"]
    await world.settle()
    mine = await page(world, f"{first}?did=accepted")
    assert "data:image/svg+xml;base64," in mine.text
    assert "This ticket is yours now." in words(mine.text)
    assert 404 == (await page(world, path)).status
    await sign_in_as(world, giver)
    assert "Somebody else has it" in words((await page(world, path)).text)
    assert "Its new holder alone has its code." in words((await page(world, first)).text)
    assert "You do not have this ticket now." in words((await page(world, f"{first}/give")).text)
    await sign_in_as(world, friend)
    back = await submit(world, f"{first}/give", do="back")
    assert "/b" == back.headers["Location"]
    await world.settle()
    assert 404 == (await page(world, first)).status


async def test_a_gift_is_declined(world: World) -> None:
    """Who does not want it says so, and it is the giver's as before."""
    giver, friend = await signed_in(world), await registered(world)
    await world.prove(friend)
    event = await world.event(10, name="A")
    path = (await booked(world, event, 1)).partition("?")[0]
    [ticket] = ticket_paths((await page(world, path)).text)
    await submit(world, f"{ticket}/give", email=friend, do="offer")
    await sign_in_as(world, friend)
    [gift] = [
        one.attributes["href"] or ""
        for one in elements((await page(world, "/b")).text, "a")
        if (one.attributes["href"] or "").startswith("/gifts/")
    ]
    assert "/b" == (await submit(world, gift, do="end")).headers["Location"]
    assert 404 == (await page(world, gift)).status
    await sign_in_as(world, giver)
    assert "It waits for" not in words((await page(world, path)).text)


@pytest.mark.page("booking", "event cancelled", "event moved")
async def test_cancelled_and_moved_events_are_told(world: World) -> None:
    """A booking's page says first that its event has another date, or does not take place."""
    await signed_in(world)
    token = await world.organizer()
    event = await world.event(10, name="A", token=token)
    path = (await booked(world, event, 1)).partition("?")[0]
    change = {"starts_at": from_now(days=60)}
    moved = await world.call(
        "PATCH", f"/v1/events/{event['id']}", token=token, json=change, headers={"If-Match": "*"}
    )
    assert 200 == moved.status, moved.text
    await world.settle()
    assert "New date" in words((await page(world, path)).text)
    await world.call("POST", f"/v1/events/{event['id']}/cancel", token=token)
    await world.settle()
    shown = words((await page(world, path, "de")).text)
    assert "Diese Veranstaltung ist abgesagt" in shown


async def receipts(world: World, count: int) -> list[str]:
    """Book many times at once, so that bookings share signatures; return the receipts."""
    event = await world.event(1000, name="R")
    made = await asyncio.gather(*(world.book(event, None, (1, 1)) for _ in range(count)))
    return [one.body["receipt"] for one in made]


def flipped(text: str, bit: int) -> str:
    """Return a receipt with one bit of one of its characters changed."""
    at, shift = divmod(bit, 6)
    changed = text[:at] + chr(ord(text[at]) ^ (1 << shift)) + text[at + 1 :]
    assert changed != text
    return changed


async def verdict(world: World, own: dict[str, str], receipt: str) -> bool:
    """Return what the server says of a receipt."""
    answer = await send(world, "/verify", own | {"receipt": receipt})
    assert 200 == answer.status
    hidden = {
        one.attributes["data-verdict"]: "hidden" in one.attributes
        for one in elements(answer.text, "div")
        if "data-verdict" in one.attributes
    }
    assert hidden["good"] != hidden["bad"]
    return not hidden["good"]


@pytest.mark.page("receipt", "genuine", "not genuine")
async def test_receipts_are_judged_by_the_server(world: World) -> None:
    """Without script the server says the verdict: that of `reconciler verify-receipt`."""
    await signed_in(world)
    event = await world.event(10, name="A")
    path = (await booked(world, event, 2)).partition("?")[0]
    shown = await page(world, path)
    [link] = [
        one.attributes["href"] or ""
        for one in elements(shown.text, "a")
        if (one.attributes["href"] or "").startswith("/verify?receipt=")
    ]
    said = await page(world, link)
    assert path[3:] in words(said.text)
    own = fields(said.text.partition("<main")[2])
    genuine = link.partition("=")[2]
    assert await verdict(world, own, f" {genuine[:20]}\n{genuine[20:]} ")
    draw = random.Random(1)
    for _ in range(20):
        changed = flipped(genuine, draw.randrange(6 * len(genuine)))
        assert not await verdict(world, own, changed), changed
    for text in ("x", ".", genuine + "A", genuine * 9, "é.é"):
        assert not await verdict(world, own, text)


async def test_a_receipt_made_anew_says_the_same(world: World) -> None:
    """The receipt of the page says what that of the answer says, also when some was given back."""
    email = await signed_in(world)
    user = world.token(
        await world.database.fetchval("SELECT id FROM users WHERE email = $1", email)
    )
    event = await world.event(10, 10, name="A")
    first = (await world.book(event, user, (1, 2), (2, 1))).body
    await world.settle()

    async def leaf() -> str:
        shown = await page(world, f"/b/{first['id']}")
        [code] = [one for one in elements(shown.text, "code") if one.text.startswith("eyJ")]
        return code.text.partition(".")[0]

    assert first["receipt"].partition(".")[0] == await leaf()
    given: dict[str, Any] = {
        "items": [{"tier_id": event["tiers"][0]["id"], "quantity": 1}],
        "version": 1,
    }
    path = f"/v1/bookings/{first['id']}/cancel"
    assert 200 == (await world.call("POST", path, token=user, json=given)).status
    assert first["receipt"].partition(".")[0] == await leaf()
    await world.cancel(first["id"], user)
    await world.settle()
    assert "eyJ" not in (await page(world, f"/b/{first['id']}")).text


@pytest.mark.parametrize("language", ["de", "ar"])
async def test_pages_are_in_each_language(world: World, language: str) -> None:
    """No English is left on the pages of bookings."""
    await signed_in(world)
    event = await world.event(10, name="Q")
    path = (await booked(world, event, 1)).partition("?")[0]
    [ticket] = ticket_paths((await page(world, path)).text)
    for one in (path, f"{path}/cancel", ticket, f"{ticket}/give", "/b", "/verify"):
        shown = await page(world, one, language)
        assert 200 == shown.status
        for word in ("Give", "Ticket for", "booking", "receipt is"):
            assert word not in words(shown.text), (one, word)


@pytest.mark.page("booking", "being written")
async def test_while_redis_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A booking that is being written says that it is safe; a form is asked again by itself."""
    await signed_in(world)
    event = await world.event(10, name="A")
    path = (await booked(world, event, 1)).partition("?")[0]
    form = fields((await page(world, f"/e/{event['id']}")).text.partition("<main")[2])
    await cut_redis(world, monkeypatch)
    new = await page(world, f"/b/bk_{event['id'][4:14]}{'0' * 16}")
    assert "Your booking is being written" in words(new.text)
    assert "2" == new.headers["Refresh"]
    assert "Your newest booking is still being written." in words((await page(world, "/b")).text)
    known = words((await page(world, path)).text)
    assert "Valid" in known
    assert "Receipt" not in known
    given = form | {f"n_{event['tiers'][0]['id']}": "1"}
    unsure = await send(world, f"/e/{event['id']}/book", given)
    assert (503, True) == (unsure.status, "Do not start again." in words(unsure.text))
    assert f"; url=/e/{event['id']}/book/again?" in unsure.headers["Refresh"]
