"""Tickets over HTTP: codes, check-in, undo, giving away, and cancelling some places."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from engine.ids import new_id
from engine.ticket_codes import InvalidCode, TicketCode, TicketCodes
from store import users
from tests.api.world import Event, World, check_problem


@pytest.fixture
async def staff(world: World, event: Event) -> str:
    """Return the token of somebody at the gate of the event."""
    return world.token(role="staff", organizer_id=event["organizer_id"])


async def account(world: World, email: str) -> str:
    """Make an account; return its id."""
    made = await users.add(world.database, email=email, name="N", password_hash="x")
    assert made is not None
    return made


async def booked(world: World, event: Event, user: str) -> dict[str, Any]:
    """Book two places of tier 1 and one of tier 2; return the booking as it is read."""
    made = await world.book(event, user, (1, 2), (2, 1))
    return dict((await world.call("GET", f"/v1/bookings/{made.body['id']}", token=user)).body)


async def scan(
    world: World,
    event: Event,
    code: str,
    token: str,
    verb: str = "check-in",
    key: str | None = None,
    **body: str,
) -> Any:
    """Scan a code at a door of the event."""
    body = {"event_id": event["id"]} | body
    return await world.call("POST", f"/v1/tickets/{code}/{verb}", token=token, key=key, json=body)


async def test_tickets_of_a_booking(world: World, event: Event, user: str) -> None:
    """A booking shows a ticket for each place, with a code each."""
    booking = await booked(world, event, user)
    own = [event["tiers"][n]["id"] for n in (0, 0, 1)]
    assert own == [ticket["tier_id"] for ticket in booking["tickets"]]
    assert ["valid"] * 3 == [ticket["status"] for ticket in booking["tickets"]]
    assert 3 == len({ticket["code"] for ticket in booking["tickets"]})
    assert 1 == booking["version"]


async def test_code_is_verified_offline(world: World, event: Event, user: str) -> None:
    """The published key alone verifies a code."""
    booking = await booked(world, event, user)
    [key] = (await world.call("GET", "/v1/ticket-key")).body["data"]
    public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["public_key"] + "="))
    code = booking["tickets"][0]["code"]
    raw = base64.urlsafe_b64decode(code + "=" * (-len(code) % 4))
    public.verify(raw[-64:], raw[:-64])
    assert key["key_id"] == raw[1:5].hex()


async def test_check_in_once(world: World, event: Event, user: str, staff: str) -> None:
    """The second scan says when and where the first was; the owner sees it."""
    booking = await booked(world, event, user)
    code = booking["tickets"][2]["code"]
    first = await scan(world, event, code, staff, gate="north-1")
    assert (200, "checked_in", "north-1") == (
        first.status,
        first.body["status"],
        first.body["gate"],
    )
    assert event["tiers"][1]["id"] == first.body["tier_id"]
    second = await scan(world, event, code, staff, gate="south")
    check_problem(second, 409, "already_checked_in")
    assert (first.body["at"], "north-1") == (second.body["checked_in_at"], second.body["gate"])
    await world.settle()
    seen = await world.call("GET", f"/v1/bookings/{booking['id']}", token=user)
    assert ["valid", "valid", "checked_in"] == [t["status"] for t in seen.body["tickets"]]
    assert first.body["at"] == seen.body["tickets"][2]["checked_in_at"]


async def test_undo(world: World, event: Event, user: str, staff: str) -> None:
    """Staff may take a check-in back, and repeat that."""
    code = (await booked(world, event, user))["tickets"][0]["code"]
    check_problem(await scan(world, event, code, staff, "undo"), 409, "not_checked_in")
    await scan(world, event, code, staff)
    undone = await scan(world, event, code, staff, "undo")
    assert (200, "valid") == (undone.status, undone.body["status"])
    again = await scan(world, event, code, staff, "undo")
    assert (200, "true") == (again.status, again.headers["Idempotent-Replayed"])
    assert undone.body["at"] == again.body["at"]
    assert 200 == (await scan(world, event, code, staff)).status


async def test_who_may_scan(world: World, event: Event, user: str, staff: str) -> None:
    """Staff and organizers of the event, and admins; to others a code is unknown, or forbidden."""
    codes = [ticket["code"] for ticket in (await booked(world, event, user))["tickets"]]
    before = await world.state()
    check_problem(await scan(world, event, codes[0], user), 403, "forbidden")
    for role in ("staff", "organizer"):
        stranger = world.token(role=role, organizer_id=new_id("org"))
        check_problem(await scan(world, event, codes[0], stranger), 404, "not_found")
    assert before == await world.state()
    organizer = world.token(role="organizer", organizer_id=event["organizer_id"])
    tokens = (staff, organizer, world.token(role="admin"))
    for code, token in zip(codes, tokens, strict=True):
        assert 200 == (await scan(world, event, code, token)).status


async def test_forged_codes(world: World, event: Event, user: str, staff: str) -> None:
    """A code that is changed, cut, or signed by another key is unknown and changes nothing."""
    booking = await booked(world, event, user)
    code = booking["tickets"][0]["code"]
    other = TicketCodes("o" * 43).issue(TicketCode(event["id"], booking["id"], 1, 1, 1))
    before = await world.state()
    swapped = "A" if code[-40] != "A" else "B"
    for forged in (
        other,
        code[:-1],
        code + "A",
        "x",
        "A" * 134,
        code[:-40] + swapped + code[-39:],
        "%FF",
    ):
        check_problem(await scan(world, event, forged, staff), 404, "not_found")
    check_problem(await scan(world, event, code, staff, gate="a b"), 422, "invalid", "/gate")
    check_problem(await scan(world, event, code, staff, gate="-"), 422, "invalid", "/gate")
    check_problem(await scan(world, event, code, staff, door="a"), 422, "invalid", "/door")
    assert before == await world.state()


async def test_cancelled_booking(world: World, event: Event, user: str, staff: str) -> None:
    """No code of a cancelled booking passes, and none is shown."""
    booking = await booked(world, event, user)
    await world.cancel(booking["id"], user)
    check_problem(
        await scan(world, event, booking["tickets"][0]["code"], staff), 410, "ticket_cancelled"
    )
    seen = await world.call("GET", f"/v1/bookings/{booking['id']}", token=user)
    assert [(None, "cancelled")] * 3 == [(t["code"], t["status"]) for t in seen.body["tickets"]]


async def test_transfer(world: World, event: Event, user: str, staff: str) -> None:
    """The new holder has the code that passes; the giver sees none, and may repeat."""
    friend_id = await account(world, f"{new_id('usr')}@x.yz")
    friend = world.token(friend_id)
    booking = await booked(world, event, user)
    ticket = booking["tickets"][1]
    path = f"/v1/tickets/{ticket['id']}/transfer"
    given = await world.call("POST", path, token=user, json={"user_id": friend_id})
    assert 200 == given.status, given.text
    again = await world.call("POST", path, token=user, json={"user_id": friend_id})
    assert (given.body, "true") == (again.body, again.headers["Idempotent-Replayed"])
    check_problem(await scan(world, event, ticket["code"], staff), 410, "ticket_superseded")
    seen = await world.call("GET", f"/v1/bookings/{booking['id']}", token=user)
    assert (None, True) == (
        seen.body["tickets"][1]["code"],
        seen.body["tickets"][1]["is_transferred"],
    )
    [mine] = (await world.call("GET", "/v1/tickets", token=friend)).body["data"]
    assert ticket["id"] == mine["id"]
    assert 200 == (await scan(world, event, mine["code"], staff)).status
    assert [] == (await world.call("GET", "/v1/tickets", token=user)).body["data"]


async def test_pages_of_given_tickets(world: World, event: Event, user: str) -> None:
    """S29: tickets that others gave are listed in pages, each once, the latest first."""
    friend = await account(world, "many@example.org")
    given = []
    for key in ("k-1", "k-2"):
        made = await world.book(event, user, (1, 2), (2, 1), key=key)
        read = await world.call("GET", f"/v1/bookings/{made.body['id']}", token=user)
        for ticket in read.body["tickets"]:
            path = f"/v1/tickets/{ticket['id']}/transfer"
            done = await world.call("POST", path, token=user, json={"user_id": friend})
            assert 200 == done.status, done.text
            given.append(ticket["id"])
    found: list[str] = []
    path = "/v1/tickets?limit=4"
    for has_more in (True, False):
        page = (await world.call("GET", path, token=world.token(friend))).body
        assert (has_more, has_more) == (page["has_more"], page["next_cursor"] is not None)
        found += [ticket["id"] for ticket in page["data"]]
        path = f"/v1/tickets?limit=4&after={page['next_cursor']}"
    assert sorted(given) == sorted(found)
    for query in ("limit=0", "limit=201", "after=x"):
        answer = await world.call("GET", f"/v1/tickets?{query}", token=world.token(friend))
        check_problem(answer, 422, "invalid", f"/query/{query.partition('=')[0]}")


async def test_transfer_on(world: World, event: Event, user: str) -> None:
    """The receiver may give it on, and the first giver no more."""
    first, second = [await account(world, f"{new_id('usr')}@x.yz") for _ in range(2)]
    ticket = (await booked(world, event, user))["tickets"][0]
    path = f"/v1/tickets/{ticket['id']}/transfer"
    given = await world.call("POST", path, token=user, json={"user_id": first})
    assert 200 == given.status, given.text
    body = {"user_id": second}
    check_problem(await world.call("POST", path, token=user, json=body), 404, "not_found")
    assert 200 == (await world.call("POST", path, token=world.token(first), json=body)).status


async def test_bad_transfers(world: World, event: Event) -> None:
    """Nobody, oneself, both or neither is refused by pointer; a stranger's ticket is unknown."""
    user_id = await account(world, f"{new_id('usr')}@x.yz")
    user = world.token(user_id)
    ticket = (await booked(world, event, user))["tickets"][0]
    path = f"/v1/tickets/{ticket['id']}/transfer"
    before = await world.state()
    for body, pointer in (
        ({"email": "no address"}, "/email"),
        ({"user_id": new_id("usr")}, "/user_id"),
        ({"user_id": user_id}, "/user_id"),
        ({}, ""),
        ({"email": "a@b", "user_id": "u"}, ""),
    ):
        answer = await world.call("POST", path, token=user, json=body)
        check_problem(answer, 422, "invalid", pointer)
    body = {"user_id": user_id}
    check_problem(await world.call("POST", path, token=world.token(), json=body), 404, "not_found")
    for own in ("x", "tkt_", ticket["id"] + "0", ticket["id"][:-1] + "11", "tkt_x_1"):
        answer = await world.call("POST", f"/v1/tickets/{own}/transfer", token=user, json=body)
        check_problem(answer, 404, "not_found")
    assert before == await world.state()


async def test_cancel_some_places(world: World, event: Event, user: str, staff: str) -> None:
    """Some places come back, the total follows, and a repetition changes nothing."""
    booking = await booked(world, event, user)
    path = f"/v1/bookings/{booking['id']}/cancel"
    body = {"items": [{"tier_id": event["tiers"][0]["id"], "quantity": 1}], "version": 1}
    first = await world.call("POST", path, token=user, json=body)
    assert 200 == first.status, first.text
    assert (2, "confirmed", 3000) == (
        first.body["version"],
        first.body["status"],
        first.body["total"]["amount"],
    )
    assert [1, 1] == [item["quantity"] for item in first.body["items"]]
    assert ["valid", "cancelled", "valid"] == [t["status"] for t in first.body["tickets"]]
    before = await world.state()
    again = await world.call("POST", path, token=user, json=body)
    assert (first.body, "true") == (again.body, again.headers["Idempotent-Replayed"])
    assert before == await world.state()
    check_problem(
        await scan(world, event, booking["tickets"][1]["code"], staff), 410, "ticket_cancelled"
    )
    rest = {"items": [{"tier_id": t["id"], "quantity": 1} for t in event["tiers"]], "version": 2}
    last = await world.call("POST", path, token=user, json=rest)
    assert (200, "cancelled", 3) == (last.status, last.body["status"], last.body["version"])
    left = await world.call("GET", f"/v1/events/{event['id']}/availability")
    assert [100, 100] == [tier["available"] for tier in left.body["tiers"]]


async def test_cancel_some_places_badly(world: World, event: Event, user: str) -> None:
    """An old version, unknown tiers, too many places: each says what is wrong."""
    booking = await booked(world, event, user)
    path = f"/v1/bookings/{booking['id']}/cancel"
    tier = event["tiers"][0]["id"]
    before = await world.state()

    async def send(version: int | None, *items: tuple[str, int]) -> Any:
        body: dict[str, Any] = {"items": [{"tier_id": t, "quantity": q} for t, q in items]}
        if version is not None:
            body["version"] = version
        return await world.call("POST", path, token=user, json=body)

    check_problem(await send(None, (tier, 1)), 428, "precondition_required", "/version")
    check_problem(await send(2, (tier, 1)), 409, "version_changed")
    check_problem(await send(1, (tier, 3)), 409, "not_in_booking", "/items/0")
    check_problem(await send(1, (new_id("tier"), 1)), 422, "invalid", "/items/0/tier_id")
    check_problem(await send(1, (tier, 1), (tier, 1)), 422, "invalid", "/items/1/tier_id")
    check_problem(await send(1), 422, "invalid", "/items")
    assert before == await world.state()


def test_codes_round_trip() -> None:
    """A code tells all that it was made of, in 134 characters."""
    codes = TicketCodes("k" * 43)
    event_id = new_id("evt")
    booking_id = f"bk_{event_id[4:14]}{'v' * 16}"
    ticket = TicketCode(event_id, booking_id, 10, 100, 65_535)
    code = codes.issue(ticket)
    assert (ticket, 134) == (codes.read(code), len(code))
    with pytest.raises(InvalidCode):
        TicketCodes("l" * 43).read(code)
    with pytest.raises(ValueError, match="32 bytes"):
        TicketCodes("short")
