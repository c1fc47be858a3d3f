"""The waitlist over HTTP: join, see one's place, be offered, accept, decline, leave."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from engine import keys
from engine.ids import new_id
from tests.api.world import SHARD, Answer, Event, World, check_problem
from tests.checks import ask


async def full(world: World, capacity: int, **fields: Any) -> tuple[dict[str, Any], str, str]:
    """Sell an event out to one person; return it, the booking's id, and the person's token."""
    event = await world.event(capacity, **fields)
    token = world.token()
    answer = await world.book(event, token, (1, capacity))
    assert 201 == answer.status, answer.text
    return event, answer.body["id"], token


async def join(
    world: World, event: Event, token: str, quantity: int = 1, *, key: str = "k", **fields: Any
) -> Answer:
    """Ask to wait for tier 1."""
    body = {"tier_id": event["tiers"][0]["id"], "quantity": quantity} | fields
    path = f"/v1/events/{event['id']}/waitlist"
    return await world.call("POST", path, token=token, key=key, json=body)


async def entry(world: World, own_id: str, token: str) -> dict[str, Any]:
    """Read an entry."""
    answer = await world.call("GET", f"/v1/waitlist/{own_id}", token=token)
    assert 200 == answer.status, answer.text
    return dict(answer.body)


async def test_whole_story(world: World) -> None:
    """Two wait; a cancellation is offered to the first, who declines; the second accepts."""
    event, booking, seller = await full(world, 2, waitlist_policy="strict")
    first, second = world.token(), world.token()
    made = await join(world, event, first, 2)
    assert 201 == made.status, made.text
    assert f"/v1/waitlist/{made.body['id']}" == made.headers["Location"]
    assert ("waiting", "strict", 1, 0, None, None, None) == tuple(
        made.body[name]
        for name in (
            "status",
            "policy",
            "position",
            "ahead_places",
            "estimate_s",
            "offer",
            "booking_id",
        )
    )
    other = await join(world, event, second, 1)
    assert (2, 2) == (other.body["position"], other.body["ahead_places"])
    await world.cancel(booking, seller)
    got = await entry(world, made.body["id"], first)
    assert ("offered", None) == (got["status"], got["position"])
    declined = await world.call("POST", f"/v1/offers/{got['offer']['id']}/decline", token=first)
    assert (200, "declined") == (declined.status, declined.body["status"])
    got = await entry(world, other.body["id"], second)
    path = f"/v1/offers/{got['offer']['id']}/accept"
    accepted = await world.call("POST", path, token=second)
    assert (201, "confirmed") == (accepted.status, accepted.body["status"])
    again = await world.call("POST", path, token=second)
    assert (201, "true") == (again.status, again.headers["Idempotent-Replayed"])
    got = await entry(world, other.body["id"], second)
    assert ("accepted", accepted.body["id"]) == (got["status"], got["booking_id"])
    await world.settle()
    booked = await world.call("GET", f"/v1/bookings/{accepted.body['id']}", token=second)
    assert accepted.body["items"] == booked.body["items"]
    listed = await world.call("GET", "/v1/waitlist", token=second)
    assert [got] == listed.body["data"]


async def test_f37_repeated_join_is_replayed(world: World) -> None:
    """F37: the same key gives the same entry; another body under it is refused."""
    event, _, _ = await full(world, 1)
    token = world.token()
    first = await join(world, event, token)
    again = await join(world, event, token)
    assert (201, "true", first.body) == (
        again.status,
        again.headers["Idempotent-Replayed"],
        again.body,
    )
    check_problem(await join(world, event, token, 2), 422, "idempotency_key_reused")


async def test_refusals(world: World) -> None:
    """Places that are there, a second entry, and a party too large are refused by name."""
    event = await world.event(2, 0, max_per_user=3)
    token = world.token()
    check_problem(await join(world, event, token), 409, "places_available")
    await world.book(event, token, (1, 2))
    check_problem(await join(world, event, token, 2), 409, "limit_reached")
    large = await join(world, event, world.token(), 3)
    check_problem(large, 409, "party_too_large")
    assert 2 == large.body["max"]
    made = await join(world, event, token)
    problem = await join(world, event, token, key="other")
    check_problem(problem, 409, "already_waiting")
    assert made.body["id"] == problem.body["entry_id"]


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"quantity": 0}, "/quantity"),
        ({"tier_id": "tier_x"}, "/tier_id"),
        ({"after_hold": "bk_1"}, "/after_hold"),
        ({"priority": 1}, ""),
    ],
)
async def test_bad_input(world: World, fields: dict[str, Any], pointer: str) -> None:
    """Bad values are named by their pointer, and unknown fields are forbidden."""
    event, _, _ = await full(world, 1)
    answer = await join(world, event, world.token(), **fields)
    check_problem(answer, 422, "invalid")
    assert pointer in answer.body["errors"][0]["pointer"]


async def test_key_is_required(world: World) -> None:
    """A join without Idempotency-Key is refused."""
    event, _, _ = await full(world, 1)
    body = {"tier_id": event["tiers"][0]["id"], "quantity": 1}
    answer = await world.call(
        "POST", f"/v1/events/{event['id']}/waitlist", token=world.token(), json=body
    )
    check_problem(answer, 400, "idempotency_key_missing")


async def test_foreign_entries_are_not_found(world: World) -> None:
    """S8: another's entry and offer are 404 for reading, leaving, accepting and declining."""
    event, booking, seller = await full(world, 1)
    owner, stranger = world.token(), world.token()
    own_id = (await join(world, event, owner)).body["id"]
    await world.cancel(booking, seller)
    offer = (await entry(world, own_id, owner))["offer"]["id"]
    for method, path in (
        ("GET", f"/v1/waitlist/{own_id}"),
        ("DELETE", f"/v1/waitlist/{own_id}"),
        ("POST", f"/v1/offers/{offer}/accept"),
        ("POST", f"/v1/offers/{offer}/decline"),
        ("GET", f"/v1/waitlist/{new_id('evt')}"),
        ("GET", "/v1/waitlist/x"),
    ):
        check_problem(await world.call(method, path, token=stranger), 404, "not_found")
    assert "offered" == (await entry(world, own_id, owner))["status"]


async def test_leave(world: World) -> None:
    """Leaving may be repeated; after it one may wait anew."""
    event, _, _ = await full(world, 1)
    token = world.token()
    own_id = (await join(world, event, token)).body["id"]
    for _ in range(2):
        answer = await world.call("DELETE", f"/v1/waitlist/{own_id}", token=token)
        assert 204 == answer.status
    assert "left" == (await entry(world, own_id, token))["status"]
    assert 201 == (await join(world, event, token, key="again")).status


async def test_complaint_9_policy_is_shown(world: World) -> None:
    """Complaint 9: the event says how its list is led, and refuses a policy that is none."""
    organizer = await world.organizer()
    made = await world.draft(organizer, 1, waitlist_policy="skip", waitlist_patience_s=60)
    assert ("skip", 60) == (made["waitlist_policy"], made["waitlist_patience_s"])
    assert "strict" == (await world.draft(organizer, 1))["waitlist_policy"]


async def test_declined_offer_cannot_be_accepted(world: World) -> None:
    """Complaint 10: a declined offer answers 410, an accepted one cannot be declined."""
    event, booking, seller = await full(world, 1)
    token = world.token()
    own_id = (await join(world, event, token)).body["id"]
    await world.cancel(booking, seller)
    offer = (await entry(world, own_id, token))["offer"]["id"]
    await world.call("POST", f"/v1/offers/{offer}/decline", token=token)
    answer = await world.call("POST", f"/v1/offers/{offer}/accept", token=token)
    check_problem(answer, 410, "hold_released")


async def test_estimate_comes_from_what_returned(world: World) -> None:
    """The estimate is null until offers were made, and then follows their rate."""
    event = await world.event(4)
    sellers = [world.token() for _ in range(4)]
    bookings = [(await world.book(event, seller)).body["id"] for seller in sellers]
    tokens = [world.token() for _ in range(5)]
    ids = [(await join(world, event, token)).body["id"] for token in tokens]
    assert (await entry(world, ids[4], tokens[4]))["estimate_s"] is None
    for booking, seller in zip(bookings[:3], sellers, strict=False):
        await world.cancel(booking, seller)
    await world.settle()
    got = await entry(world, ids[4], tokens[4])
    assert (2, 1) == (got["position"], got["ahead_places"])
    # Three places within less than a minute count as three a minute.
    assert 40 == got["estimate_s"]


async def test_pages(world: World) -> None:
    """One's list comes newest first, page by page, without other people's entries."""
    token = world.token()
    ids = []
    for _ in range(3):
        event, _, _ = await full(world, 1)
        ids.append((await join(world, event, token)).body["id"])
    await world.settle()
    first = (await world.call("GET", "/v1/waitlist?limit=2", token=token)).body
    rest = (
        await world.call("GET", f"/v1/waitlist?limit=2&after={first['next_cursor']}", token=token)
    ).body
    assert ids[::-1] == [one["id"] for one in first["data"] + rest["data"]]
    assert (True, False) == (first["has_more"], rest["has_more"])


async def test_complaint_14_availability_says_who_waits(world: World) -> None:
    """Complaint 14: free places that belong to the list are told as theirs, by every answer."""
    event = await world.event(4)
    sellers = [world.token() for _ in range(4)]
    bookings = [(await world.book(event, seller)).body["id"] for seller in sellers]
    await join(world, event, world.token(), 3)
    await world.cancel(bookings[0], sellers[0])
    answer = await world.call("GET", f"/v1/events/{event['id']}/availability")
    [tier] = answer.body["tiers"]
    assert (1, 1, "kept_for_waitlist") == (tier["available"], tier["waiting"], tier["status"])
    refused = await world.book(event, world.token())
    check_problem(refused, 409, "kept_for_waitlist", "/items/0")
    assert "Retry-After" not in refused.headers
    assert "retry_after_ms" not in refused.body
    told = await world.call("GET", refused.body["type"])
    assert "/waitlist" in told.text


async def test_f35_expired_hold_leads_to_the_first_place(world: World) -> None:
    """F35: a confirmation that comes too late names the hold that gives the first place."""
    event = await world.event(2)
    late = world.token()
    body = {"items": [{"tier_id": event["tiers"][0]["id"], "quantity": 2}]}
    path = f"/v1/events/{event['id']}/holds"
    hold = (await world.call("POST", path, token=late, key="h", json=body)).body["id"]
    other = world.token()
    other_id = (await join(world, event, other, 2)).body["id"]
    third = (await join(world, event, world.token(), 1)).body["id"]
    names = keys.event(SHARD, event["id"])
    row = (await ask(world.redis, "HGET", names.holds, hold)).decode().split(" ")
    row[8] = "1"
    await ask(world.redis, "HSET", names.holds, hold, " ".join(row))
    await ask(world.redis, "ZADD", names.deadlines, 1, hold)
    answer = await world.call("POST", f"/v1/holds/{hold}/confirm", token=late)
    check_problem(answer, 410, "hold_expired")
    assert hold == answer.body["after_hold"]
    assert "offered" == (await entry(world, other_id, other))["status"]
    made = await join(world, event, late, 2, after_hold=hold)
    assert (1, 0) == (made.body["position"], made.body["ahead_places"])
    assert third


async def test_cancelled_event_is_told_to_who_waits(world: World) -> None:
    """An entry of a cancelled event says so, as does its tier; who waits is told of it."""
    event, booking, seller = await full(world, 1)
    offered, waiting = world.token(), world.token()
    first = (await join(world, event, offered)).body["id"]
    second = (await join(world, event, waiting)).body["id"]
    await world.cancel(booking, seller)
    offer = (await entry(world, first, offered))["offer"]["id"]
    boss = world.token(role="organizer", organizer_id=event["organizer_id"])
    await world.call("POST", f"/v1/events/{event['id']}/cancel", token=boss)
    for own_id, token in ((first, offered), (second, waiting)):
        got = await entry(world, own_id, token)
        assert ["event_cancelled"] * 2 == [got["status"], got["why"]]
        assert (None, None) == (got["position"], got["offer"])
    answer = await world.call("GET", f"/v1/events/{event['id']}/availability")
    [tier] = answer.body["tiers"]
    assert (0, "event_cancelled") == (tier["waiting"], tier["status"])
    accepted = await world.call("POST", f"/v1/offers/{offer}/accept", token=offered)
    check_problem(accepted, 409, "event_cancelled")
    check_problem(await join(world, event, world.token()), 409, "event_cancelled")
    kinds = {(one.kind, one.subject_id) for one in await world.told()}
    assert {("waitlist.event_cancelled", own) for own in (first, second)} <= kinds


async def test_an_event_says_how_long_its_offers_last(world: World) -> None:
    """`offer_ttl_s` is the organizer's to choose; else the time follows from what is left."""
    event, booking, seller = await full(world, 1, offer_ttl_s=300)
    assert 300 == event["offer_ttl_s"]
    token = world.token()
    own_id = (await join(world, event, token)).body["id"]
    before = dt.datetime.now(dt.UTC)
    await world.cancel(booking, seller)
    offer = (await entry(world, own_id, token))["offer"]
    lasts = dt.datetime.fromisoformat(offer["expires_at"]) - before
    assert dt.timedelta(seconds=299) < lasts < dt.timedelta(seconds=330)
    organizer = await world.organizer()
    assert (await world.draft(organizer, 1))["offer_ttl_s"] is None


async def test_an_entry_says_that_its_owner_has_enough(world: World) -> None:
    """One waits on while an offer elsewhere is open; once that is accepted, the entry says why."""
    event = await world.event(1, 1, max_per_user=1)
    sellers = [world.token(), world.token()]
    bookings = [
        (await world.book(event, seller, (tier_no, 1))).body["id"]
        for tier_no, seller in enumerate(sellers, start=1)
    ]
    token = world.token()
    here = (await join(world, event, token)).body["id"]
    body = {"tier_id": event["tiers"][1]["id"]}
    there = (await join(world, event, token, key="other", **body)).body["id"]
    for booking, seller in zip(bookings, sellers, strict=True):
        await world.cancel(booking, seller)
    got = await entry(world, here, token)
    waits = await entry(world, there, token)
    assert ("offered", "waiting", 1) == (got["status"], waits["status"], waits["position"])
    await world.call("POST", f"/v1/offers/{got['offer']['id']}/accept", token=token)
    ended = await entry(world, there, token)
    assert ("left", "limit", None) == (ended["status"], ended["why"], ended["position"])
