"""Tickets offered to an address: it tells nobody whose it is, and who has proved it gets them."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from store import gifts, revocations
from tests.api.test_gate import booked, scan
from tests.api.test_sessions import signed_up
from tests.api.world import Answer, Event, World, check_problem
from usecases import gifts as usecase


def an_address() -> str:
    """Make an address that nobody has."""
    return f"{secrets.token_hex(6)}@example.org"


async def offer(world: World, ticket: dict[str, Any], token: str, email: str) -> Answer:
    """Offer a ticket to an address."""
    path = f"/v1/tickets/{ticket['id']}/transfer"
    return await world.call("POST", path, token=token, json={"email": email})


async def accept(world: World, gift_id: str, token: str) -> Answer:
    """Take an offered ticket."""
    return await world.call("POST", f"/v1/gifts/{gift_id}/accept", token=token)


async def offered(world: World, token: str) -> list[dict[str, Any]]:
    """Return the gifts that somebody sees."""
    return list((await world.call("GET", "/v1/gifts", token=token)).body["data"])


async def end(world: World, gift_id: str, token: str) -> Answer:
    """Take an offer back, or decline it."""
    return await world.call("DELETE", f"/v1/gifts/{gift_id}", token=token)


@pytest.fixture
async def staff(world: World, event: Event) -> str:
    """Return the token of somebody at the gate of the event."""
    return world.token(role="staff", organizer_id=event["organizer_id"])


async def test_s7_an_offer_tells_nothing(world: World, event: Event, user: str) -> None:
    """S7: offered to an account, proved or not, or to nobody: answer and later views are alike."""
    proved, unproved = await signed_up(world), await signed_up(world)
    await world.prove(proved["email"])
    booking = await booked(world, event, user)
    answers, views = [], []
    for ticket, email in zip(
        booking["tickets"], (proved["email"], unproved["email"], an_address()), strict=True
    ):
        given = await offer(world, ticket, user, email)
        assert 200 == given.status, given.text
        own = dict(given.body["gift"])
        assert (ticket["id"], email) == (own.pop("ticket_id"), own.pop("email"))
        for drawn in ("id", "made_at"):
            assert own.pop(drawn)
        answers.append((given.headers.keys() - {"Date"}, own, given.body["transferred_at"]))
    seen = await world.call("GET", f"/v1/bookings/{booking['id']}", token=user)
    for before, after in zip(booking["tickets"], seen.body["tickets"], strict=True):
        views.append((before["code"] == after["code"], after["status"], after["is_transferred"]))
    assert answers[0] == answers[1] == answers[2]
    assert [(True, "valid", False)] * 3 == views
    assert 3 == len(await offered(world, user))


async def test_a_gift_is_for_who_proves_the_address(
    world: World, event: Event, user: str, staff: str
) -> None:
    """Registering an address is not enough; who has proved it sees the gift and takes it, once."""
    email = an_address()
    ticket = (await booked(world, event, user))["tickets"][0]
    gift = (await offer(world, ticket, user, email)).body["gift"]
    made = await world.call(
        "POST",
        "/v1/auth/register",
        json={"email": email, "password": "a good password", "name": "Eve"},
    )
    eve = made.body["access_token"]
    stranger = await signed_up(world)
    await world.prove(stranger["email"])
    before = await world.state()
    for token in (eve, stranger["access_token"], user):
        check_problem(await accept(world, gift["id"], token), 404, "not_found")
    assert [] == await offered(world, eve) == await offered(world, stranger["access_token"])
    for token in (eve, stranger["access_token"]):
        check_problem(await end(world, gift["id"], token), 404, "not_found")
    check_problem(await accept(world, "gift_x", eve), 404, "not_found")
    assert before == await world.state()
    await world.prove(email)
    [seen] = await offered(world, eve)
    assert (gift["id"], "offered", event["name"]) == (
        seen["id"],
        seen["direction"],
        seen["event_name"],
    )
    taken = await accept(world, gift["id"], eve)
    assert 200 == taken.status, taken.text
    assert ticket["id"] == taken.body["id"]
    [mine] = (await world.call("GET", "/v1/tickets", token=eve)).body["data"]
    assert 200 == (await scan(world, event, mine["code"], staff)).status
    check_problem(await scan(world, event, ticket["code"], staff), 410, "ticket_superseded")
    assert [] == await offered(world, eve) == await offered(world, user)


async def test_f73_taking_a_gift_again(
    world: World, event: Event, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F73: a process that dies behind the script leaves a gift that is taken again, once."""
    friend = await signed_up(world)
    await world.prove(friend["email"])
    ticket = (await booked(world, event, user))["tickets"][0]
    gift = (await offer(world, ticket, user, friend["email"])).body["gift"]

    async def die(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(gifts, "note_taken", die)
        assert 500 == (await accept(world, gift["id"], friend["access_token"])).status
    first = await accept(world, gift["id"], friend["access_token"])
    again = await accept(world, gift["id"], friend["access_token"])
    for one in (first, again):
        assert (200, "true") == (one.status, one.headers["Idempotent-Replayed"])
    assert first.body == again.body
    listed = await world.call("GET", "/v1/tickets", token=friend["access_token"])
    assert 1 == len(listed.body["data"])


async def test_an_offer_is_taken_back_or_declined(world: World, event: Event, user: str) -> None:
    """Giver and receiver may each end it; then nobody takes it, and the ticket is the giver's."""
    friend = await signed_up(world)
    await world.prove(friend["email"])
    ticket = (await booked(world, event, user))["tickets"][0]
    for token in (user, friend["access_token"]):
        gift = (await offer(world, ticket, user, friend["email"])).body["gift"]
        assert 204 == (await end(world, gift["id"], token)).status
        check_problem(await end(world, gift["id"], token), 404, "not_found")
        check_problem(await accept(world, gift["id"], friend["access_token"]), 404, "not_found")
        assert [] == await offered(world, user) == await offered(world, friend["access_token"])


async def test_an_offer_repeated_and_changed(world: World, event: Event, user: str) -> None:
    """The same offer again is the same; another address takes its place, with one letter each."""
    first, second = an_address(), an_address()
    ticket = (await booked(world, event, user))["tickets"][0]
    made = await offer(world, ticket, user, first)
    again = await offer(world, ticket, user, first.upper())
    assert (made.body, "true") == (again.body, again.headers["Idempotent-Replayed"])
    other = await offer(world, ticket, user, second)
    assert made.body["gift"]["id"] != other.body["gift"]["id"]
    [seen] = await offered(world, user)
    assert second == seen["email"]
    told = await world.database.fetch(
        "SELECT payload ->> 'to' AS email FROM outbox "
        "WHERE kind = 'ticket.offered' AND payload ->> 'event_id' = $1 ORDER BY id",
        event["id"],
    )
    assert [first, second] == [row["email"] for row in told]


async def test_a_gift_of_a_ticket_that_went_elsewhere(
    world: World, event: Event, user: str
) -> None:
    """What was given to an account, or cancelled, since it was offered cannot be taken."""
    friend, other = await signed_up(world), await signed_up(world)
    await world.prove(friend["email"])
    booking = await booked(world, event, user)
    gone, cancelled, _ = booking["tickets"]
    offers = [
        (await offer(world, ticket, user, friend["email"])).body["gift"]
        for ticket in (gone, cancelled)
    ]
    path = f"/v1/tickets/{gone['id']}/transfer"
    given = await world.call("POST", path, token=user, json={"user_id": other["user_id"]})
    assert 200 == given.status, given.text
    cut = {"ticket_ids": [cancelled["id"]], "version": 1}
    path = f"/v1/bookings/{booking['id']}/cancel"
    assert 200 == (await world.call("POST", path, token=user, json=cut)).status
    token = friend["access_token"]
    check_problem(await accept(world, offers[0]["id"], token), 404, "not_found")
    check_problem(await accept(world, offers[1]["id"], token), 410, "ticket_cancelled")
    # The new holder may offer it in their turn, and then it can be taken.
    again = await offer(world, gone, other["access_token"], friend["email"])
    assert 200 == (await accept(world, again.body["gift"]["id"], token)).status


async def test_what_cannot_be_offered(
    world: World, event: Event, user: str, staff: str, organizer: str
) -> None:
    """A ticket that is used, cancelled, not one's own, or of an event without transfers."""
    email = an_address()
    booking = await booked(world, event, user)
    used, cancelled, own = booking["tickets"]
    await scan(world, event, used["code"], staff, gate="north")
    cut = {"ticket_ids": [cancelled["id"]], "version": 1}
    path = f"/v1/bookings/{booking['id']}/cancel"
    assert 200 == (await world.call("POST", path, token=user, json=cut)).status
    await world.settle()
    refused = await offer(world, used, user, email)
    check_problem(refused, 409, "already_checked_in")
    assert ("north", True) == (refused.body["gate"], "checked_in_at" in refused.body)
    check_problem(await offer(world, cancelled, user, email), 410, "ticket_cancelled")
    check_problem(await offer(world, own, world.token(), email), 404, "not_found")
    fixed = await world.event(5, token=organizer, transfers="none")
    made = await world.book(fixed, user)
    ticket = {"id": f"tkt_{made.body['id'][3:]}_1"}
    check_problem(await offer(world, ticket, user, email), 409, "no_transfers")
    me = await signed_up(world)
    mine = (await booked(world, event, me["access_token"]))["tickets"][0]
    answer = await offer(world, mine, me["access_token"], me["email"].upper())
    check_problem(answer, 422, "invalid", "/email")
    assert [] == await offered(world, user)


async def test_s29_pages_of_gifts(world: World, event: Event, user: str) -> None:
    """S29: gifts are listed in pages, each once, the latest first."""
    booking = await booked(world, event, user)
    made = [
        (await offer(world, ticket, user, an_address())).body["gift"]["id"]
        for ticket in booking["tickets"]
    ]
    first = (await world.call("GET", "/v1/gifts?limit=2", token=user)).body
    path = f"/v1/gifts?limit=2&after={first['next_cursor']}"
    second = (await world.call("GET", path, token=user)).body
    assert (True, False) == (first["has_more"], second["has_more"])
    assert made[::-1] == [one["id"] for one in first["data"] + second["data"]]
    for query in ("limit=0", "after=x"):
        answer = await world.call("GET", f"/v1/gifts?{query}", token=user)
        check_problem(answer, 422, "invalid", f"/query/{query.partition('=')[0]}")


async def test_a_gift_ends_with_its_event(world: World, event: Event, user: str) -> None:
    """A day behind the event's end nothing waits any more, and no address is kept."""
    friend = await signed_up(world)
    await world.prove(friend["email"])
    ticket = (await booked(world, event, user))["tickets"][0]
    gift = (await offer(world, ticket, user, friend["email"])).body["gift"]
    ends_at = await world.database.fetchval("SELECT ends_at FROM events WHERE id = $1", event["id"])
    expires_at = await world.database.fetchval(
        "SELECT expires_at FROM gifts WHERE id = $1", gift["id"]
    )
    assert ends_at + usecase.AFTER_END == expires_at
    await world.database.execute(
        "UPDATE gifts SET expires_at = now() - interval '1 s' WHERE id = $1", gift["id"]
    )
    check_problem(await accept(world, gift["id"], friend["access_token"]), 404, "not_found")
    assert [] == await offered(world, user)
    await revocations.tidy(world.database, age_s=10**6)
    assert 0 == await world.database.fetchval(
        "SELECT count(*) FROM gifts WHERE id = $1", gift["id"]
    )
