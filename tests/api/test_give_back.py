"""What may be given back over HTTP, by whom, and what a key says of what was given back."""

from __future__ import annotations

from typing import Any

import pytest

from engine.ids import new_id
from tests.api.test_gate import account, booked, scan
from tests.api.test_seats import seated_event
from tests.api.world import Event, World, check_problem


@pytest.fixture
async def staff(world: World, event: Event) -> str:
    """Return the token of somebody at the gate of the event."""
    return world.token(role="staff", organizer_id=event["organizer_id"])


@pytest.fixture
async def friend(world: World) -> str:
    """Make an account; return its id."""
    return await account(world, f"{new_id('usr')}@x.yz")


async def give(world: World, ticket: dict[str, Any], token: str, to: str) -> Any:
    """Give a ticket away."""
    path = f"/v1/tickets/{ticket['id']}/transfer"
    return await world.call("POST", path, token=token, json={"user_id": to})


async def back(world: World, ticket: dict[str, Any], token: str) -> Any:
    """Give a ticket back to its buyer."""
    return await world.call("POST", f"/v1/tickets/{ticket['id']}/return", token=token)


async def cut(world: World, booking: dict[str, Any], token: str, version: int, **what: Any) -> Any:
    """Give back some places."""
    path = f"/v1/bookings/{booking['id']}/cancel"
    return await world.call("POST", path, token=token, json=what | {"version": version})


def items(event: Event, *lines: tuple[int, int]) -> list[dict[str, Any]]:
    """Write tiers and quantities as they are sent."""
    return [{"tier_id": event["tiers"][n - 1]["id"], "quantity": q} for n, q in lines]


async def told(world: World) -> list[tuple[str, str, str]]:
    """Return what there is to tell: kind, to whom, of what."""
    return [(one.kind, one.user_id, one.subject_id) for one in await world.told()]


async def test_nobody_is_cancelled_while_inside(
    world: World, event: Event, user: str, staff: str
) -> None:
    """A used ticket keeps its booking: all of it and that place are refused alike."""
    booking = await booked(world, event, user)
    ticket = booking["tickets"][0]
    await scan(world, event, ticket["code"], staff)
    before = await world.state()
    for answer in (
        await world.cancel(booking["id"], user),
        await cut(world, booking, user, 1, ticket_ids=[ticket["id"]]),
        await cut(world, booking, user, 1, items=items(event, (1, 2))),
    ):
        check_problem(answer, 409, "already_checked_in")
        assert (ticket["id"], "") == (answer.body["ticket_id"], answer.body["gate"])
    assert before == await world.state()
    await scan(world, event, ticket["code"], staff, "undo")
    assert 200 == (await world.cancel(booking["id"], user)).status


async def test_cancelled_event_keeps_who_was_in(world: World, user: str, friend: str) -> None:
    """The organizer's cancellation ends all bookings; on record they were in, and all are told."""
    boss = await world.organizer()
    event = await world.event(100, 100, token=boss)
    staff = world.token(role="staff", organizer_id=event["organizer_id"])
    booking = await booked(world, event, user)
    first = await scan(world, event, booking["tickets"][0]["code"], staff, gate="north")
    await give(world, booking["tickets"][1], user, friend)
    await world.call("POST", f"/v1/events/{event['id']}/cancel", token=boss)
    await world.settle()
    seen = (await world.call("GET", f"/v1/bookings/{booking['id']}", token=user)).body
    assert "cancelled" == seen["status"]
    assert ["cancelled"] * 3 == [ticket["status"] for ticket in seen["tickets"]]
    was_in = [(ticket["checked_in_at"], ticket["gate"]) for ticket in seen["tickets"]]
    assert [(first.body["at"], "north"), (None, None), (None, None)] == was_in
    ended = {one[0]: one[1:] for one in await told(world)}
    assert booking["id"] == ended["event.cancelled"][1]
    assert (friend, booking["tickets"][1]["id"]) == ended["ticket.cancelled"]


async def test_group_stays_a_group(world: World, user: str) -> None:
    """Four of five at the price of a group are not given back; three are, or all."""
    tier = {"name": "G", "price": {"amount": 500, "currency": "EUR"}, "capacity": 20}
    event = await world.event(tiers=[tier | {"min_per_order": 2}])
    booking = (await world.book(event, user, (1, 5))).body
    before = await world.state()
    refused = await cut(world, booking, user, 1, items=items(event, (1, 4)))
    check_problem(refused, 409, "below_minimum", "/items/0")
    assert 2 == refused.body["minimum"]
    assert before == await world.state()
    kept = await cut(world, booking, user, 1, items=items(event, (1, 3)))
    assert (200, 2) == (kept.status, kept.body["items"][0]["quantity"])
    gone = await cut(world, booking, user, 2, items=items(event, (1, 2)))
    assert (200, "cancelled") == (gone.status, gone.body["status"])


async def test_ticket_by_its_id(world: World, event: Event, user: str, staff: str) -> None:
    """The ticket that is named is cancelled; the others pass."""
    booking = await booked(world, event, user)
    own = [ticket["id"] for ticket in booking["tickets"]]
    answer = await cut(world, booking, user, 1, ticket_ids=[own[0]])
    assert 200 == answer.status, answer.text
    assert ["cancelled", "valid", "valid"] == [t["status"] for t in answer.body["tickets"]]
    again = await cut(world, booking, user, 1, ticket_ids=[own[0]])
    assert (answer.body, "true") == (again.body, again.headers["Idempotent-Replayed"])
    check_problem(await cut(world, booking, user, 1, ticket_ids=[own[1]]), 409, "version_changed")
    gone = await cut(world, booking, user, 2, ticket_ids=[own[1], own[0]])
    check_problem(gone, 409, "not_in_booking", "/ticket_ids/1")
    codes = [ticket["code"] for ticket in booking["tickets"]]
    check_problem(await scan(world, event, codes[0], staff), 410, "ticket_cancelled")
    assert 200 == (await scan(world, event, codes[1], staff)).status


async def test_bad_names(world: World, event: Event, user: str) -> None:
    """What is no ticket or seat of the booking is named by pointer; one of the three is sent."""
    booking = await booked(world, event, user)
    other = await booked(world, event, world.token())
    own = [ticket["id"] for ticket in booking["tickets"]]
    before = await world.state()
    for what, pointer in (
        ({}, ""),
        ({"ticket_ids": own[:1], "items": items(event, (1, 1))}, ""),
        ({"ticket_ids": [own[0], other["tickets"][0]["id"]]}, "/ticket_ids/1"),
        ({"ticket_ids": ["x"]}, "/ticket_ids/0"),
        ({"ticket_ids": [own[0], own[0]]}, "/ticket_ids/1"),
        ({"ticket_ids": []}, "/ticket_ids"),
        ({"seat_ids": ["1"]}, "/seat_ids/0"),
    ):
        check_problem(await cut(world, booking, user, 1, **what), 422, "invalid", pointer)
    none = await cut(world, booking, user, 1, seat_ids=["s1-1"])
    check_problem(none, 409, "not_in_booking", "/seat_ids/0")
    assert before == await world.state()


async def test_one_of_three_seats(world: World, user: str) -> None:
    """One of three seats goes, by its id or its ticket's, and is sold again at once."""
    boss = await world.organizer()
    made = await world.call("POST", "/v1/events", token=boss, json=seated_event())
    event = (await world.publish(made.body["id"], boss)).body
    seats = ["s1-1", "s1-2", "s1-3"]
    booking = (await world.book(event, user, {"seat_ids": seats})).body
    some = await cut(world, booking, user, 1, items=items(event, (1, 1)))
    check_problem(some, 409, "seats_not_named", "/items/0")
    answer = await cut(world, booking, user, 1, seat_ids=["s1-2"])
    assert 200 == answer.status, answer.text
    assert ["s1-1", "s1-3"] == answer.body["items"][0]["seat_ids"]
    assert ["valid", "cancelled", "valid"] == [t["status"] for t in answer.body["tickets"]]
    other = await world.book(event, None, {"seat_ids": ["s1-2"]})
    assert 201 == other.status, other.text
    last = answer.body["tickets"][2]["id"]
    answer = await cut(world, booking, user, 2, ticket_ids=[last])
    assert ["s1-1"] == answer.body["items"][0]["seat_ids"]
    await world.settle()
    rows = await world.database.fetch(
        "SELECT seat_id FROM tickets WHERE event_id = $1 AND is_live ORDER BY seat_id", event["id"]
    )
    assert ["s1-1", "s1-2"] == [row["seat_id"] for row in rows]
    assert 200 == (await world.cancel(booking["id"], user)).status
    await world.settle()
    live = "SELECT count(*) FROM tickets WHERE event_id = $1 AND is_live"
    assert 1 == await world.database.fetchval(live, event["id"])


async def test_ticket_of_a_friend(
    world: World, event: Event, user: str, friend: str, staff: str
) -> None:
    """By default it is theirs: the buyer cancels their own; the friend gives it back, or comes."""
    assert "holder" == event["transfers"]
    booking, holder = await booked(world, event, user), world.token(friend)
    ticket = booking["tickets"][1]
    assert 200 == (await give(world, ticket, user, friend)).status
    for refused in (
        await world.cancel(booking["id"], user),
        await cut(world, booking, user, 1, ticket_ids=[ticket["id"]]),
        await cut(world, booking, user, 1, items=items(event, (1, 2))),
    ):
        check_problem(refused, 409, "ticket_transferred")
        assert ticket["id"] == refused.body["ticket_id"]
    check_problem(await world.cancel(booking["id"], holder), 404, "not_found")
    answer = await cut(world, booking, user, 1, items=items(event, (1, 1)))
    assert ["cancelled", "valid", "valid"] == [t["status"] for t in answer.body["tickets"]]
    [theirs] = (await world.call("GET", "/v1/tickets", token=holder)).body["data"]
    assert "valid" == theirs["status"]
    check_problem(await back(world, ticket, world.token()), 404, "not_found")
    returned = await back(world, ticket, holder)
    assert 200 == returned.status, returned.text
    again = await back(world, ticket, holder)
    assert (returned.body, "true") == (again.body, again.headers["Idempotent-Replayed"])
    assert [] == (await world.call("GET", "/v1/tickets", token=holder)).body["data"]
    check_problem(await scan(world, event, theirs["code"], staff), 410, "ticket_superseded")
    assert 200 == (await world.cancel(booking["id"], user)).status
    given = [one for one in await told(world) if one[2] == ticket["id"]]
    find_own = "SELECT user_id FROM bookings WHERE id = $1"
    own = await world.database.fetchval(find_own, booking["id"])
    assert [
        ("ticket.transferred", friend, ticket["id"]),
        ("ticket.given", own, ticket["id"]),
        ("ticket.transferred", own, ticket["id"]),
        ("ticket.given", friend, ticket["id"]),
    ] == given


async def test_giver_who_is_not_the_buyer_may_repeat(
    world: World, event: Event, user: str, friend: str
) -> None:
    """Who was given a ticket and gave it on gets the first answer again."""
    other = await account(world, f"{new_id('usr')}@x.yz")
    ticket = (await booked(world, event, user))["tickets"][0]
    await give(world, ticket, user, friend)
    first = await give(world, ticket, world.token(friend), other)
    again = await give(world, ticket, world.token(friend), other)
    assert (200, first.body, "true") == (
        again.status,
        again.body,
        again.headers["Idempotent-Replayed"],
    )


async def test_other_policies(world: World, user: str, friend: str) -> None:
    """The organizer may let the buyer cancel it still, and then the holder is told; or none go."""
    boss = await world.organizer()
    event = await world.event(100, 100, token=boss, transfers="buyer")
    assert "buyer" == event["transfers"]
    booking = await booked(world, event, user)
    await give(world, booking["tickets"][1], user, friend)
    assert 200 == (await world.cancel(booking["id"], user)).status
    assert ("ticket.cancelled", friend, booking["tickets"][1]["id"]) in await told(world)
    event = await world.event(100, 100, token=boss, transfers="none")
    ticket = (await booked(world, event, user))["tickets"][0]
    check_problem(await give(world, ticket, user, friend), 409, "no_transfers")
    seen = await world.call("GET", f"/v1/events/{event['id']}")
    assert "none" == seen.body["transfers"]
    bad = await world.call("POST", "/v1/events", token=boss, json={"transfers": "x"})
    check_problem(bad, 422, "invalid")


async def test_key_of_a_cancelled_booking(world: World, event: Event, user: str) -> None:
    """The key tells what became of its booking: cut, then cancelled, and never live again."""
    made = await world.book(event, user, (1, 2), (2, 1))
    assert 201 == made.status
    await cut(world, made.body, user, 1, items=items(event, (1, 1)))
    again = await world.book(event, user, (1, 2), (2, 1))
    assert (201, "true") == (again.status, again.headers["Idempotent-Replayed"])
    assert (made.body["id"], "confirmed", 2) == tuple(
        again.body[name] for name in ("id", "status", "version")
    )
    assert [1, 1] == [item["quantity"] for item in again.body["items"]]
    assert 3000 == again.body["total"]["amount"]
    cancelled = await world.cancel(made.body["id"], user)
    again = await world.book(event, user, (1, 2), (2, 1))
    assert (200, "true") == (again.status, again.headers["Idempotent-Replayed"])
    for name in ("id", "status", "version", "items", "total", "cancelled_at", "created_at"):
        assert cancelled.body[name] == again.body[name], name
    assert (None, []) == (again.body["receipt"], again.body["tickets"])
    check_problem(await world.book(event, user, (1, 1)), 422, "idempotency_key_reused")
    assert 201 == (await world.book(event, user, (1, 2), (2, 1), key="k-2")).status


async def test_hold_of_a_cancelled_booking(world: World, event: Event, user: str) -> None:
    """Neither the hold's key, nor the hold, nor its confirmation looks live any more."""
    held = await world.hold(event, user, (1, 2))
    path = f"/v1/holds/{held.body['id']}"
    made = await world.call("POST", f"{path}/confirm", token=user)
    assert 201 == made.status
    live = await world.hold(event, user, (1, 2))
    assert ("confirmed", "confirmed") == (live.body["status"], live.body["booking_status"])
    await world.cancel(made.body["id"], user)
    again = await world.call("POST", f"{path}/confirm", token=user)
    assert (200, "cancelled", 2, None) == (
        again.status,
        again.body["status"],
        again.body["version"],
        again.body["receipt"],
    )
    assert "true" == again.headers["Idempotent-Replayed"]
    for seen in (await world.hold(event, user, (1, 2)), await world.call("GET", path, token=user)):
        assert ("confirmed", "cancelled") == (seen.body["status"], seen.body["booking_status"])
    openapi = (await world.call("GET", "/openapi.json")).body["paths"]
    assert {"200", "201"} <= openapi["/v1/holds/{hold_id}/confirm"]["post"]["responses"].keys()


async def test_offer_of_a_cancelled_booking(world: World, user: str) -> None:
    """An offer that was accepted answers with its booking as it is now, and so does its entry."""
    event = await world.event(1)
    seller = world.token()
    booking = (await world.book(event, seller)).body
    entry = await world.call(
        "POST",
        f"/v1/events/{event['id']}/waitlist",
        token=user,
        key="w",
        json={"tier_id": event["tiers"][0]["id"], "quantity": 1},
    )
    await world.cancel(booking["id"], seller)
    path = f"/v1/waitlist/{entry.body['id']}"
    offer = (await world.call("GET", path, token=user)).body["offer"]["id"]
    made = await world.call("POST", f"/v1/offers/{offer}/accept", token=user)
    assert 201 == made.status, made.text
    await world.cancel(made.body["id"], user)
    again = await world.call("POST", f"/v1/offers/{offer}/accept", token=user)
    assert (200, "cancelled") == (again.status, again.body["status"])
    seen = (await world.call("GET", path, token=user)).body
    assert ("accepted", "cancelled") == (seen["status"], seen["booking_status"])
